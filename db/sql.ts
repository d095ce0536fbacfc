import { type Expression, type RawBuilder, sql } from 'kysely';

/** A timestamptz as the log’s text form: RFC 3339, UTC, microseconds. */
export const utc = (instant: Expression<unknown>): RawBuilder<string> =>
  sql<string>`to_char(${instant} at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')`;
