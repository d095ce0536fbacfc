import { CodedError } from './errors.ts';

/** How much of the log one statement looks at, in events, once one has taken too long. */
const MIN_SPAN = 1_000;
const NARROW_BY = 16;
/** What takes less than this, in milliseconds, may look at twice as much the next time. */
const QUICK_MS = 500;

/** A range of seq: `from` inclusive, `to` exclusive. */
type Range = { from: number; to: number };
/** The last event that a page has, null where it has none, and whether more of the range match. */
type Page = { lastSeq: number | null; hasMore: boolean };

/**
 * Walks through a range page by page, oldest first, and yields none that is empty. Where a page would take too long,
 * since next to nothing matches, it is asked for part after part.
 *
 * @param readPage reads the first events of a range; rejects with `too_slow` when that takes too long
 * @param now milliseconds of the monotonic clock
 * @throws CodedError what `readPage` rejects with
 */
export async function* walk<P extends Page>(
  { from, to }: Range,
  readPage: (part: Range) => Promise<P>,
  now: () => number,
): AsyncGenerator<P, void> {
  let span = Number.POSITIVE_INFINITY;
  while (from < to) {
    const part = { from, to: Math.min(to, from + span) };
    const askedAt = now();
    let page: P;
    try {
      page = await readPage(part);
    } catch (error) {
      if (!(error instanceof CodedError && error.code === 'too_slow') || span <= MIN_SPAN) throw error;
      span = Math.max(MIN_SPAN, Math.floor((part.to - part.from) / NARROW_BY));
      continue;
    }
    if (now() - askedAt < QUICK_MS) span *= 2;
    from = page.hasMore && page.lastSeq !== null ? page.lastSeq + 1 : part.to;
    if (page.lastSeq !== null) yield page;
  }
}

/** A walk whose first step was taken. */
export async function* resumed<T>(
  first: IteratorResult<T, void>,
  rest: AsyncGenerator<T, void>,
): AsyncGenerator<T, void> {
  if (first.done === true) return;
  yield first.value;
  yield* rest;
}
