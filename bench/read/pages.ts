import { encodeCursor, filterKey } from '../../src/core/cursor.ts';
import type { Case, Place, Query } from './cases.ts';
import type { LogFacts } from './facts.ts';

/** So much of the log is older than the last page, at least. */
const END = 1 / 1_000;
const END_EVENTS = 100;

/** As a query string; a list is a name given more than once. */
export function pathOf(path: string, query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    for (const one of typeof value === 'string' ? [value] : value) parameters.append(name, one);
  }
  const text = parameters.toString();
  return text === '' ? path : `${path}?${text}`;
}

/**
 * The page of a case that begins at a place. Nobody walks there: the cursor is made with the log's own key, as the
 * page before would have given it.
 */
export function pageOf(facts: LogFacts, { query }: Case, place: Place): string {
  if (place === 'first') return pathOf('/audit', query);
  const { from, to } = query.from === undefined ? facts.range : facts.commonRange;
  const length = to - from;
  const seq = from + (place === 'middle' ? Math.floor(length / 2) : Math.ceil(length * END) + END_EVENTS);
  const cursor = encodeCursor(facts.cursorKey, {
    epoch: facts.epoch,
    order: 'desc',
    filters: filterKey(query),
    seq,
    ...(typeof query.from === 'string' ? { from: query.from } : {}),
    ...(typeof query.to === 'string' ? { to: query.to } : {}),
  });
  return pathOf('/audit', { ...query, cursor });
}
