import { type Expression, type RawBuilder, sql } from 'kysely';

/** A timestamptz as the log’s text form: RFC 3339, UTC, microseconds. */
export const utc = (instant: Expression<unknown>): RawBuilder<string> =>
  sql<string>`to_char(${instant} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;

/** One value compares directly, so that the primary key gives the order as well. */
export const oneOf = (values: readonly string[]) =>
  values.length === 1 ? sql<string>`${values[0]}` : sql<string>`any(${values}::text[])`;
