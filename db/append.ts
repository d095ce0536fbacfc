import { sql } from 'kysely';
import {
  AppendError,
  type AppendFailure,
  type BatchReceipt,
  type LogStore,
} from '../src/core/commit-batch.ts';
import type { PendingEvent } from '../src/core/events.ts';
import { Lease } from '../src/core/lease.ts';
import type { Db } from './client.ts';
import { utc } from './sql.ts';

/** What an error of pg carries, as far as we look at it. Its `severity` is in the server’s own language. */
type PgError = Error & { code?: string; constraint?: string; syscall?: string; detail?: string };

const isPgError = (error: unknown): error is PgError => error instanceof Error;

/** Answers that may come although the statement was committed: the connection, the server or the disk failed. */
const UNCERTAIN = /^(08|57P01|57P02|57P05|58|XX)/;
/** Data that the database refuses: the values of an event, or their sizes. */
const REFUSED_DATA = /^(22|54|23502)/;

/**
 * Sorts an error of an append by what to do next. Only what the server itself said of the statement is
 * certain: a lost connection or a time-out may come after the commit.
 */
export function classifyAppendFailure(error: unknown): AppendFailure {
  if (!isPgError(error) || error.code === undefined) return 'unknown';
  const { code, constraint, syscall } = error;
  // Nothing was sent: there was nobody to send it to. (Of several addresses tried, only the code is told.)
  if (syscall === 'getaddrinfo' || syscall === 'connect' || code === 'ECONNREFUSED') return 'not_applied';
  // Node's own codes begin with E, which no class of SQLSTATE does.
  if (code.startsWith('E') || UNCERTAIN.test(code)) return 'unknown';
  if (code === 'MB001') return 'fenced';
  if (code === 'MB003') return 'expelled';
  // A missing partition is a check violation without a constraint; no event is to blame for it.
  if (REFUSED_DATA.test(code) || (code === '23514' && constraint !== undefined)) return 'item';
  // A session that connects twice; any other duplicate would be the log's own trouble.
  if (constraint === 'chat_session_pkey') return 'item';
  return 'not_applied';
}

/** What an operator may read of a database error: no host, no SQL, no data. */
const describe = (error: unknown): string =>
  isPgError(error) && error.code !== undefined
    ? `the database answered ${error.code}`
    : 'the database does not answer';

/** Which events of the batch the database has named, counted from 0. */
const expelledIn = (error: unknown): number[] =>
  isPgError(error) && error.code === 'MB003'
    ? (error.detail ?? '').split(',').map((place) => Number(place) - 1)
    : [];

/**
 * Works on one connection; failures become AppendErrors. Until there is a connection nothing has been sent, so
 * whatever goes wrong before is certain.
 */
async function onConnection<T>(db: Db, work: (connection: Db) => Promise<T>): Promise<T> {
  let connected = false;
  try {
    return await db.connection().execute((connection) => {
      connected = true;
      return work(connection);
    });
  } catch (error) {
    const kind = connected ? classifyAppendFailure(error) : 'not_applied';
    throw new AppendError(kind, describe(error), error, expelledIn(error));
  }
}

/** Registers an instance as a writer, under a name that was never used. */
export async function joinWriters(db: Db, id: string): Promise<number> {
  const { rows } = await sql<{ term: string }>`select public.audit_join(${id}) as term`.execute(db);
  return Number(rows[0]?.term);
}

/** Gives a writer a new term; earlier terms can append nothing any more. Null when it was given up for lost. */
export async function rejoinWriters(db: Db, id: string): Promise<number | null> {
  const { rows } = await sql<{ term: string | null }>`select public.audit_rejoin(${id}) as term`.execute(db);
  const term = rows[0]?.term ?? null;
  return term === null ? null : Number(term);
}

/** What a writer learns when it renews its lease. */
export type Renewal = {
  /** Whether the lease was prolonged; false when the term or the lease has ended. */
  held: boolean;
  epoch: string;
  /** The number that the next event will get. */
  nextSeq: number;
  /** How far the log's time is ahead of the database's clock, in milliseconds; the log waits for a clock that went back. */
  aheadMs: number;
  /** How many other instances hold a lease. */
  others: number;
  /** In how many milliseconds the first lease of another lapses, below 0 when it has; null when there is none. */
  lapseMs: number | null;
};

/** Prolongs the lease. */
export async function renewLease(db: Db, id: string, term: number): Promise<Renewal> {
  const { rows } = await sql<{
    held: boolean;
    epoch: string;
    next_seq: string | null;
    ahead_ms: string | null;
    others: number;
    lapse_ms: string | null;
  }>`select * from public.audit_renew(${id}, ${term})`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('audit_renew returned no row');
  return {
    held: row.held,
    epoch: row.epoch,
    nextSeq: Number(row.next_seq ?? 0),
    aheadMs: Math.max(0, Number(row.ahead_ms ?? 0)),
    others: row.others,
    lapseMs: row.lapse_ms === null ? null : Number(row.lapse_ms),
  };
}

/** Takes an instance off the list of writers; sessions that it leaves behind are ended by another. */
export async function leaveWriters(db: Db, id: string, term: number): Promise<void> {
  await sql`select public.audit_leave(${id}, ${term})`.execute(db);
}

/** Makes partitions until two are spare; resolves with the number of spare ones. */
export async function makePartitions(db: Db): Promise<number> {
  const { rows } = await sql<{ spare: string }>`select public.audit_make_partitions() as spare`.execute(db);
  return Number(rows[0]?.spare);
}

async function appendBatch(
  db: Db,
  writer: { id: string; term: number },
  number: number,
  batch: readonly PendingEvent[],
): Promise<BatchReceipt> {
  const column = <T>(pick: (pending: PendingEvent) => T): T[] => batch.map(pick);
  const { rows } = await sql<{ first_seq: string; at: string }>`/* audit_append */
    select first_seq, at from public.audit_append(
      ${writer.id}, ${writer.term}, ${number},
      ${column(({ event }) => event.occurred_at)}::timestamptz[],
      ${column(({ event }) => event.action)}::text[],
      ${column(({ event }) => event.user_id)}::text[],
      ${column(({ event }) => event.message)}::text[],
      ${column(({ event }) => event.room)}::text[],
      ${column(({ event }) => event.session_id)}::uuid[],
      ${column(({ event }) => event.target_user_id)}::text[],
      ${column(({ event }) => event.ip)}::text[],
      ${column(({ detailsJson }) => detailsJson)}::jsonb[])`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('audit_append returned no row');
  return { first_seq: Number(row.first_seq), timestamp: row.at };
}

/** Which history this log has, after a check against what is remembered of it. */
export type History = {
  epoch: string;
  /** Why a new epoch has begun just now; null when none has. */
  reason: string | null;
  /** Where a reader of the log goes on: with the first event of an epoch that has just begun, else with the next one. */
  nextSeq: number;
};

/** One instance’s hand on the log: appends under its term, and takes a new term when told to. */
export class PostgresLogStore implements LogStore {
  readonly #db: Db;
  readonly id: string;
  readonly lease: Lease;
  #term: number;

  private constructor(db: Db, id: string, term: number, lease: Lease) {
    this.#db = db;
    this.id = id;
    this.#term = term;
    this.lease = lease;
  }

  /**
   * Registers the instance as a writer.
   *
   * @param id a name that was never used
   * @param onLost called when it has lost its place: its sessions are ended by others, and it can never write again
   */
  static async join(db: Db, id: string, onLost: () => void = () => {}): Promise<PostgresLogStore> {
    const askedAt = performance.now();
    const term = await joinWriters(db, id);
    return new PostgresLogStore(db, id, term, new Lease(askedAt, onLost));
  }

  append(number: number, batch: readonly PendingEvent[]): Promise<BatchReceipt> {
    const writer = { id: this.id, term: this.#term };
    return onConnection(this.#db, (connection) => appendBatch(connection, writer, number, batch));
  }

  async resolve(number: number): Promise<BatchReceipt | null> {
    // Waits for an attempt still under way, and stops all later ones; then the answer is final.
    if (!(await this.rejoin())) await this.#surrender();
    const { rows } = await onConnection(this.#db, (connection) =>
      sql<{ first_seq: string; at: string }>`
        select first_seq, ${utc(sql.ref('timestamp'))} as at
        from public.audit_batch where writer = ${this.id} and number = ${number}`.execute(connection),
    );
    const row = rows[0];
    return row === undefined ? null : { first_seq: Number(row.first_seq), timestamp: row.at };
  }

  async rejoin(): Promise<boolean> {
    if (this.lease.isLost) return false;
    const askedAt = performance.now();
    const term = await onConnection(this.#db, (connection) => rejoinWriters(connection, this.id));
    if (term === null) this.lease.lose();
    else {
      this.#term = term;
      this.lease.renewed(askedAt);
    }
    return !this.lease.isLost;
  }

  /** Prolongs the lease, taking a new term if it has run out; `held` is false when its place is lost. */
  async renew(): Promise<Renewal> {
    const term = this.#term;
    const askedAt = performance.now();
    const renewal = await onConnection(this.#db, (connection) => renewLease(connection, this.id, term));
    if (renewal.held) this.lease.renewed(askedAt);
    else await this.rejoin();
    return { ...renewal, held: !this.lease.isLost };
  }

  /** Appends an event and takes it back, to see whether the log can be written; leaves no gap and no row. */
  async probe(): Promise<void> {
    await onConnection(this.#db, (connection) =>
      sql`select public.audit_probe(${this.id}, ${this.#term})`.execute(connection),
    );
  }

  /**
   * Ends what an instance has left whose lease has lapsed: `INSTANCE_LOST`, and `DISCONNECTED` for each of its
   * sessions, at most `most` of them in one commit. Resolves with the number of events; 0: nothing is left to do.
   */
  async reap(most: number): Promise<number> {
    const { rows } = await onConnection(this.#db, (connection) =>
      sql<{ count: number }>`select public.audit_reap(${this.id}, ${this.#term}, ${most}) as count`.execute(
        connection,
      ),
    );
    return rows[0]?.count ?? 0;
  }

  /**
   * Begins a new epoch when the log was put back to an older state or brought to another database.
   *
   * @param seen of each epoch that is remembered, the number after its last known event
   */
  async checkHistory(seen: ReadonlyMap<string, number>): Promise<History> {
    const { rows } = await onConnection(this.#db, (connection) =>
      sql<{ epoch: string; reason: string | null; next_seq: string }>`
        select * from public.audit_check_history(${this.id}, ${this.#term},
          ${[...seen.keys()]}::text[], ${[...seen.values()]}::bigint[])`.execute(connection),
    );
    const row = rows[0];
    if (row === undefined) throw new Error('audit_check_history returned no row');
    return { epoch: row.epoch, reason: row.reason, nextSeq: Number(row.next_seq) };
  }

  /** Gives the lease back. */
  async leave(): Promise<void> {
    await leaveWriters(this.#db, this.id, this.#term);
  }

  async #surrender(): Promise<void> {
    await onConnection(this.#db, (connection) =>
      sql`select public.audit_surrender(${this.id})`.execute(connection),
    );
  }
}
