import { sql } from 'kysely';
import {
  AppendError,
  type AppendFailure,
  type BatchReceipt,
  type LogStore,
} from '../src/core/commit-batch.ts';
import type { PendingEvent } from '../src/core/events.ts';
import type { Db } from './client.ts';
import { utc } from './sql.ts';

/** What an error of pg carries, as far as we look at it. Its `severity` is in the server’s own language. */
type PgError = Error & { code?: string; constraint?: string; syscall?: string };

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
    throw new AppendError(connected ? classifyAppendFailure(error) : 'not_applied', describe(error), error);
  }
}

/** Registers an instance as a writer, or gives it a new term; earlier terms can append nothing any more. */
export async function joinWriters(db: Db, id: string): Promise<number> {
  const { rows } = await sql<{ term: string }>`select public.audit_join(${id}) as term`.execute(db);
  return Number(rows[0]?.term);
}

/** Prolongs the lease; false when the term or the lease has ended. */
export async function renewLease(db: Db, id: string, term: number): Promise<boolean> {
  const { rows } = await sql<{ ok: boolean | null }>`
    select public.audit_renew(${id}, ${term}) as ok`.execute(db);
  return rows[0]?.ok === true;
}

/** Takes an instance off the list of writers. */
export async function leaveWriters(db: Db, id: string, term: number): Promise<void> {
  await sql`select public.audit_leave(${id}, ${term})`.execute(db);
}

async function secondsAhead(db: Db): Promise<number> {
  const { rows } = await sql<{ ahead: string | null }>`
    select extract(epoch from timestamp - clock_timestamp()) as ahead
    from public.audit_batch order by first_seq desc limit 1`.execute(db);
  return Math.max(0, Number(rows[0]?.ahead ?? 0));
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

/** What `audit_join` and `audit_renew` give. */
const LEASE_MS = 10_000;

/** One instance’s hand on the log: appends under its term, and takes a new term when told to. */
export class PostgresLogStore implements LogStore {
  readonly #db: Db;
  readonly id: string;
  #term: number;
  /** When the last lease was asked for, in milliseconds of the monotonic clock. */
  #leasedAt: number;

  private constructor(db: Db, id: string, term: number, leasedAt: number) {
    this.#db = db;
    this.id = id;
    this.#term = term;
    this.#leasedAt = leasedAt;
  }

  /** How long the lease lasts at least, in milliseconds; 0 when it may have run out. */
  get leaseLeftMs(): number {
    return Math.max(0, this.#leasedAt + LEASE_MS - performance.now());
  }

  /** Registers the instance as a writer. */
  static async join(db: Db, id: string): Promise<PostgresLogStore> {
    const askedAt = performance.now();
    return new PostgresLogStore(db, id, await joinWriters(db, id), askedAt);
  }

  append(number: number, batch: readonly PendingEvent[]): Promise<BatchReceipt> {
    const writer = { id: this.id, term: this.#term };
    return onConnection(this.#db, (connection) => appendBatch(connection, writer, number, batch));
  }

  async resolve(number: number): Promise<BatchReceipt | null> {
    // Waits for an attempt still under way, and stops all later ones; then the answer is final.
    await this.rejoin();
    const { rows } = await onConnection(this.#db, (connection) =>
      sql<{ first_seq: string; at: string }>`
        select first_seq, ${utc(sql.ref('timestamp'))} as at
        from public.audit_batch where writer = ${this.id} and number = ${number}`.execute(connection),
    );
    const row = rows[0];
    return row === undefined ? null : { first_seq: Number(row.first_seq), timestamp: row.at };
  }

  async rejoin(): Promise<void> {
    const askedAt = performance.now();
    this.#term = await onConnection(this.#db, (connection) => joinWriters(connection, this.id));
    this.#leasedAt = askedAt;
  }

  /** Prolongs the lease, taking a new term if it has run out. */
  async renew(): Promise<void> {
    const askedAt = performance.now();
    const term = this.#term;
    const renewed = await onConnection(this.#db, (connection) => renewLease(connection, this.id, term));
    if (renewed) this.#leasedAt = askedAt;
    else await this.rejoin();
  }

  /** Appends an event and takes it back, to see whether the log can be written; leaves no gap and no row. */
  async probe(): Promise<void> {
    await onConnection(this.#db, (connection) =>
      sql`select public.audit_probe(${this.id}, ${this.#term})`.execute(connection),
    );
  }

  /** How far the log's time is ahead of the database's clock, in seconds; the log waits for a clock that went back. */
  secondsAhead(): Promise<number> {
    return onConnection(this.#db, secondsAhead);
  }

  /** Gives the lease back. */
  async leave(): Promise<void> {
    await leaveWriters(this.#db, this.id, this.#term);
  }
}
