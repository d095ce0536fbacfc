import type { Pages } from '../../common/use-pages.ts';

type ListEndProps = { pages: Pages<unknown>; empty: string; thing: string };

/** What stands below a list: how much there is, more of it, or why there is not. */
export function ListEnd({
  pages: { rows, hasMore, error, isLoading, more, refresh },
  empty,
  thing,
}: ListEndProps) {
  const count = rows?.length ?? 0;
  const words =
    rows === undefined
      ? 'Reading …'
      : count === 0
        ? empty
        : `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}${hasMore ? ' so far' : ''}, as of the last look.`;
  if (error !== undefined) {
    return (
      <div class="notice bad list-end" role="alert">
        <p>{(error as Error).message}</p>
        <button type="button" onClick={refresh}>
          Try again
        </button>
      </div>
    );
  }
  return (
    <div class="list-end">
      <p class="faint" role="status">
        {words}
      </p>
      {hasMore && (
        <button type="button" onClick={more} disabled={isLoading}>
          Show more
        </button>
      )}
    </div>
  );
}
