import type { Client } from 'pg';
import { users } from '../seed/cast.ts';

/** An interval as a query gives it. */
export type Interval = { from: string; to: string };

/** What has to be looked up in a log before it can be asked for. */
export type LogFacts = {
  epoch: string;
  cursorKey: Buffer;
  /** Numbers of the first and after the last event, in all and by the interval. */
  range: { from: number; to: number };
  commonRange: { from: number; to: number };
  times: Record<'common' | 'rare' | 'single' | 'never', Interval>;
  /** The beginning of the log: up to where the rare user was, and up to before. */
  early: { with: Interval; before: Interval };
  /** A session that said much, and one that said little. */
  sessions: { common: string; rare: string };
  /** Somebody whom an administrator was busy with once or twice. */
  target: string;
};

/** Of the batch that a number is in, as text, some microseconds later. */
async function timeAt(client: Client, seq: number, later = 0): Promise<string> {
  const { rows } = await client.query<{ at: string }>(
    `select to_char((timestamp + $2::integer * interval '1 microsecond') at time zone 'UTC',
       'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
     from public.audit_batch where first_seq <= $1 order by first_seq desc limit 1`,
    [seq, later],
  );
  return rows[0]?.at ?? '';
}

/** The first value of a column that fits, by the primary key: what is looked for is near the beginning. */
async function firstOf(client: Client, column: string, condition: string, values: string[]): Promise<string> {
  const { rows } = await client.query<{ value: string }>(
    `select ${column}::text as value from public.audit_event where ${condition} order by seq limit 1`,
    values,
  );
  return rows[0]?.value ?? '';
}

export async function readFacts(client: Client): Promise<LogFacts> {
  const { rows } = await client.query<{ epoch: string; key: Buffer; next: number }>(`
    select epoch, cursor_key as key,
      (select first_seq + count from public.audit_batch order by first_seq desc limit 1)::float8 as next
    from public.audit_log`);
  const log = rows[0];
  if (log === undefined) throw new Error('This database has no log.');
  const at = (share: number, events = 0, later = 0): Promise<string> =>
    timeAt(client, Math.floor(log.next * share) + events, later);
  const begin = await at(0);
  return {
    epoch: log.epoch,
    cursorKey: log.key,
    range: { from: 0, to: log.next },
    commonRange: { from: Math.floor(log.next / 3), to: Math.floor((2 * log.next) / 3) },
    times: {
      common: { from: await at(1 / 3), to: await at(2 / 3) },
      rare: { from: await at(0.1), to: await at(0.1, 200, 1) },
      single: { from: await at(0.05), to: await at(0.05, 0, 1) },
      never: { from: '1980-01-01T00:00:00Z', to: '1981-01-01T00:00:00Z' },
    },
    early: {
      with: { from: begin, to: await at(0.05, 0, 1) },
      before: { from: begin, to: await at(0.015, 0, 1) },
    },
    sessions: {
      common: await firstOf(client, 'session_id', 'user_id = $1', [users.third]),
      rare: await firstOf(client, 'session_id', 'user_id = $1', [users.rare]),
    },
    target: await firstOf(client, 'target_user_id', 'target_user_id is not null and target_user_id <> $1', [
      users.target,
    ]),
  };
}
