import type { Filter } from '../filter.ts';

/** The columns that the index knows, and the pairs of them that it knows as well. */
const COLUMNS = ['action', 'user_id', 'room', 'target_user_id', 'session_id', 'ip'] as const;
export type Column = (typeof COLUMNS)[number];

/**
 * What the index is asked by, and the number that each has in the database. A pair has postings of its own, so that
 * two common values that never meet are told apart at once.
 */
export const fields: readonly { number: number; columns: readonly [Column] | readonly [Column, Column] }[] = [
  { number: 1, columns: ['action'] },
  { number: 2, columns: ['user_id'] },
  { number: 3, columns: ['room'] },
  { number: 4, columns: ['target_user_id'] },
  { number: 5, columns: ['session_id'] },
  { number: 6, columns: ['ip'] },
  { number: 7, columns: ['user_id', 'action'] },
  { number: 8, columns: ['room', 'action'] },
  { number: 9, columns: ['user_id', 'room'] },
];

/** Some values of one field: an event has a term of these when its value is one of them. */
export type Terms = { field: number; values: string[] };
/** Events that have a term of any of these. */
export type Alternatives = Terms[];

/** Beyond this many, pairs of values are looked up apart. */
const MAX_PAIRS = 200;

/** The value of a pair; no name, action or address holds a line break. */
export const pairOf = (first: string, second: string): string => `${first}\n${second}`;

const fieldOf = (...columns: Column[]): number =>
  fields.find((field) => field.columns.join() === columns.join())?.number ?? 0;

/**
 * What the index has to hold of an event that a filter matches: all of it, each by any of its alternatives. Exact but
 * for the interval and `q`; empty when the filter asks for neither column.
 */
export function termsOf(filter: Filter): Alternatives[] {
  const asked: Partial<Record<Column, string[]>> = {};
  if (filter.action !== undefined) asked.action = filter.action;
  if (filter.user_id !== undefined) asked.user_id = filter.user_id;
  for (const column of ['room', 'target_user_id', 'session_id', 'ip'] as const) {
    const value = filter[column];
    if (value !== undefined) asked[column] = [value];
  }
  const all: Alternatives[] = [];
  const covered = new Set<Column>();
  for (const { number, columns } of fields) {
    const [first, second] = columns;
    const [some, others] = [asked[first], second === undefined ? undefined : asked[second]];
    if (second === undefined || some === undefined || others === undefined) continue;
    if (some.length * others.length > MAX_PAIRS) continue;
    covered.add(first).add(second);
    const values = some.flatMap((one) => others.map((other) => pairOf(one, other)));
    all.push([{ field: number, values }]);
  }
  for (const column of COLUMNS) {
    const values = asked[column];
    if (values !== undefined && !covered.has(column)) all.push([{ field: fieldOf(column), values }]);
  }
  if (filter.involves !== undefined) {
    const values = [filter.involves];
    all.push([
      { field: fieldOf('user_id'), values },
      { field: fieldOf('target_user_id'), values },
    ]);
  }
  return all;
}
