import type { Filter } from '../filter.ts';

/** The columns that the index knows, each with the number that it has in the database. */
export const fields = [
  { number: 1, column: 'action' },
  { number: 2, column: 'user_id' },
  { number: 3, column: 'room' },
  { number: 4, column: 'target_user_id' },
  { number: 5, column: 'session_id' },
  { number: 6, column: 'ip' },
] as const;

export type Column = (typeof fields)[number]['column'];

/** Events whose column has one of these values. */
export type Terms = { field: number; values: string[] };
/** Events that have any of these terms. */
export type Alternatives = Terms[];

/** What a filter asks the index. */
export type Question = {
  /** An event matches when it has all of these, each by any of its alternatives; exact but for the interval and `q`. */
  all: Alternatives[];
  /** The actions and the room that are asked for, as masks: where a mask shares no bit, none of them is. */
  actions: bigint | undefined;
  rooms: bigint | undefined;
};

const fieldOf = (column: Column): number => fields.find((field) => field.column === column)?.number ?? 0;

/** What the index has to hold of the events that a filter matches. */
export function questionOf(filter: Filter): Question {
  const { action, user_id, room, involves } = filter;
  const all: Alternatives[] = [];
  if (action !== undefined) all.push([{ field: fieldOf('action'), values: action }]);
  if (user_id !== undefined) all.push([{ field: fieldOf('user_id'), values: user_id }]);
  for (const column of ['room', 'target_user_id', 'session_id', 'ip'] as const) {
    const value = filter[column];
    if (value !== undefined) all.push([{ field: fieldOf(column), values: [value] }]);
  }
  if (involves !== undefined) {
    const values = [involves];
    all.push([
      { field: fieldOf('user_id'), values },
      { field: fieldOf('target_user_id'), values },
    ]);
  }
  return {
    all,
    actions: action === undefined ? undefined : maskOf(action),
    rooms: room === undefined ? undefined : maskOf([room]),
  };
}

/** Where the hash starts (FNV-1a): a number with which no two actions of the registry have the same bit. */
const HASH_START = 315;

/** One of 64 bits for a value, always the same one; other values may have it too. */
export function bitOf(value: string): number {
  let hash = HASH_START;
  for (let at = 0; at < value.length; at += 1) hash = Math.imul(hash ^ value.charCodeAt(at), 0x0100_0193);
  return (hash ^ (hash >>> 16)) & 63;
}

/** The bits of some values, as Postgres’ bigint has them: signed. */
const maskOf = (values: readonly string[]): bigint =>
  BigInt.asIntN(
    64,
    values.reduce((mask, value) => mask | (1n << BigInt(bitOf(value))), 0n),
  );
