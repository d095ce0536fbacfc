import { sql } from 'kysely';
import {
  AppendError,
  type AppendFailure,
  type BatchReceipt,
  type LogStore,
} from '../src/core/commit-batch.ts';
import type { PendingEvent } from '../src/core/events.ts';
import type { Db } from './client.ts';

/** What a Postgres error carries, as far as we look at it. */
type PgError = Error & { code?: string; severity?: string; constraint?: string; syscall?: string };

const isPgError = (error: unknown): error is PgError => error instanceof Error;

/**
 * Sorts an error of an append by what to do next. Only an ERROR that the server itself sent in answer to the
 * statement is certain: a FATAL, a lost connection or a time-out may come after the commit.
 */
export function classifyAppendFailure(error: unknown): AppendFailure {
  if (!isPgError(error) || error.code === undefined) return 'unknown';
  const { code, severity, constraint, syscall } = error;
  // Nothing was sent: there was nobody to send it to. (Of several addresses tried, only the code is told.)
  if (syscall === 'getaddrinfo' || syscall === 'connect' || code === 'ECONNREFUSED') return 'not_applied';
  if (code === 'MB001') return 'fenced';
  // Refused at connecting, before any statement: too many connections, starting up, shutting down, no such role.
  if (code === '53300' || code === '57P03' || code.startsWith('28') || code.startsWith('3D'))
    return 'not_applied';
  if (severity !== 'ERROR') return 'unknown';
  // Disk I/O errors can strike the commit itself.
  if (code.startsWith('58') || code.startsWith('XX')) return 'unknown';
  // A missing partition is a check violation without a constraint; no event is to blame for it.
  if (code.startsWith('22') || code === '23502' || (code === '23514' && constraint !== undefined))
    return 'item';
  // A session that connects twice; any other duplicate would be the log's own trouble.
  if (code === '54000' || code === '54001' || constraint === 'chat_session_pkey') return 'item';
  return 'not_applied';
}

/** What an operator may read of a database error: no host, no SQL, no data. */
const describe = (error: unknown): string =>
  isPgError(error) && error.code !== undefined
    ? `the database answered ${error.code}`
    : 'the database does not answer';

async function translated<T>(work: Promise<T>): Promise<T> {
  try {
    return await work;
  } catch (error) {
    throw new AppendError(classifyAppendFailure(error), describe(error), error);
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

/** One instance’s hand on the log: appends under its term, and takes a new term when told to. */
export class PostgresLogStore implements LogStore {
  readonly #db: Db;
  readonly id: string;
  #term: number;

  private constructor(db: Db, id: string, term: number) {
    this.#db = db;
    this.id = id;
    this.#term = term;
  }

  /** Registers the instance as a writer. */
  static async join(db: Db, id: string): Promise<PostgresLogStore> {
    return new PostgresLogStore(db, id, await joinWriters(db, id));
  }

  append(number: number, batch: readonly PendingEvent[]): Promise<BatchReceipt> {
    return translated(appendBatch(this.#db, { id: this.id, term: this.#term }, number, batch));
  }

  async resolve(number: number): Promise<BatchReceipt | null> {
    // Waits for an attempt still under way, and stops all later ones; then the answer is final.
    await this.rejoin();
    const { rows } = await translated(
      sql<{ first_seq: string; at: string }>`
        select first_seq, to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at
        from public.audit_batch where writer = ${this.id} and number = ${number}`.execute(this.#db),
    );
    const row = rows[0];
    return row === undefined ? null : { first_seq: Number(row.first_seq), timestamp: row.at };
  }

  async rejoin(): Promise<void> {
    this.#term = await translated(joinWriters(this.#db, this.id));
  }

  /** Prolongs the lease, taking a new term if it has run out. */
  async renew(): Promise<void> {
    if (!(await translated(renewLease(this.#db, this.id, this.#term)))) await this.rejoin();
  }

  /** Gives the lease back. */
  async leave(): Promise<void> {
    await leaveWriters(this.#db, this.id, this.#term);
  }
}
