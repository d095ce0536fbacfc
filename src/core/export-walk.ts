import { CodedError } from './errors.ts';

/** How much of the log one statement looks at, in events, once one has taken too long. */
const MIN_SPAN = 1_000;
const NARROW_BY = 16;
/** What takes less than this, in milliseconds, may look at twice as much the next time. */
const QUICK_MS = 500;

/** A range of seq: `from` inclusive, `to` exclusive. */
type Range = { from: number; to: number };
type Page<E> = { events: E[]; hasMore: boolean };

/**
 * Walks through a range page by page, oldest first, and yields none that is empty. Where a page would take too long,
 * since next to nothing matches, it is asked for part after part.
 *
 * @param readPage reads the first events of a range; rejects with `too_slow` when that takes too long
 * @param now milliseconds of the monotonic clock
 * @throws CodedError what `readPage` rejects with
 */
export async function* walk<E extends { seq: number }>(
  { from, to }: Range,
  readPage: (part: Range) => Promise<Page<E>>,
  now: () => number,
): AsyncGenerator<E[], void> {
  let span = Number.POSITIVE_INFINITY;
  while (from < to) {
    const part = { from, to: Math.min(to, from + span) };
    const askedAt = now();
    let page: Page<E>;
    try {
      page = await readPage(part);
    } catch (error) {
      if (!(error instanceof CodedError && error.code === 'too_slow') || span <= MIN_SPAN) throw error;
      span = Math.max(MIN_SPAN, Math.floor((part.to - part.from) / NARROW_BY));
      continue;
    }
    if (now() - askedAt < QUICK_MS) span *= 2;
    const last = page.events.at(-1);
    from = page.hasMore && last !== undefined ? last.seq + 1 : part.to;
    if (page.events.length > 0) yield page.events;
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
