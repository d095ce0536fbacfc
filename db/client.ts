import { Kysely, PostgresDialect } from 'kysely';
import pg from 'pg';
import type { Database } from './tables.ts';

export type Db = Kysely<Database>;

export type Purpose = 'write' | 'tail' | 'read' | 'handshake' | 'moderation' | 'index' | 'migrate';

export type ClientOptions = {
  url: string;
  /** Shown in pg_stat_activity, so that an operator sees whose connection it is. */
  applicationName: string;
  /** What the pool is for; each keeps out of the way of the others. */
  purpose: Purpose;
  /** Idle connections that broke; the pool replaces them, so this is for the log only. */
  onError: (error: Error) => void;
  /** How long reading may take, in milliseconds; undefined: as is usual. Only for the purpose of reading. */
  readMs?: number;
};

/** How long reading may take where nothing else was said: a snapshot that is held for longer slows down writing. */
const READ_MS = 5_000;
/** By how much the client's own timeout is longer than the server's. */
const CLIENT_MS = 1_000;

/**
 * Settings by purpose. Server-side timeouts (ms) end a statement for certain; the client's own is longer, and
 * hits only when the server does not answer at all.
 */
const purposes = {
  //
  // connect: also how long somebody waits for a connection that others have. Where senders wait for it, it is less,
  // with the wait before the next attempt (500 ms), than the 2 s in which a database that is back is used.
  write: { max: 3, statement_timeout: 3_000, lock_timeout: 1_000, query_timeout: 4_000, connect: 1_250 },
  // One connection that no query of an administrator can take. What senders wait for comes over it, so a read
  // that stands still is given up before their 5 s are over. It may take 2 s on the way, and still be good.
  tail: { max: 1, statement_timeout: 2_500, lock_timeout: 1_000, query_timeout: 3_000, connect: 1_250 },
  read: {
    max: 4,
    statement_timeout: READ_MS,
    lock_timeout: 1_000,
    query_timeout: READ_MS + CLIENT_MS,
    connect: 2_000,
  },
  // Neither waits for an auditor's query, nor can a flood of handshakes keep the log waiting. So goes the question who
  // is banned, where the log cannot tell.
  handshake: { max: 2, statement_timeout: 3_000, lock_timeout: 1_000, query_timeout: 4_000, connect: 1_250 },
  // Who floods the handshakes or the log's readers is whom an administrator wants out, so they wait for neither.
  moderation: { max: 2, statement_timeout: 3_000, lock_timeout: 1_000, query_timeout: 4_000, connect: 1_250 },
  // What makes the index is nobody's to wait for; a block of it takes some 50 ms.
  index: { max: 1, statement_timeout: 10_000, lock_timeout: 1_000, query_timeout: 11_000, connect: 2_000 },
  migrate: { max: 2, statement_timeout: 0, lock_timeout: 0, query_timeout: 0, connect: 2_000 },
} as const satisfies Record<Purpose, object>;

// A statement that begins with `/* name */` is prepared once per connection under that name: it is then not
// parsed and planned again. Only for hot statements of one fixed text.
const NAMED = /^\/\* (\w+) \*\//;

/** What pg keeps to itself: the socket under a client. */
type WithStream = { connection: { stream: { destroy: () => void } } };

const FIRST_BYTES = 512 * 1024;

/**
 * Where a `copy ... to stdout` puts its bytes: the one parameter that such a statement has. Who copies again and again
 * takes the same one, for large buffers that are thrown away make V8 collect everything.
 */
export class CopyTarget {
  #buffer = Buffer.allocUnsafeSlow(FIRST_BYTES);
  #length = 0;

  /** What has come; until something else is copied here. */
  get bytes(): Buffer {
    return this.#buffer.subarray(0, this.#length);
  }

  clear(): void {
    this.#length = 0;
  }

  add(chunk: Buffer): void {
    const length = this.#length + chunk.length;
    if (length > this.#buffer.length) {
      const larger = Buffer.allocUnsafeSlow(2 * length);
      this.#buffer.copy(larger, 0, 0, this.#length);
      this.#buffer = larger;
    }
    chunk.copy(this.#buffer, this.#length);
    this.#length = length;
  }
}

/** A query of pg that keeps what `copy` sends; pg’s own drops it. */
class CopyQuery extends pg.Query {
  readonly #target: CopyTarget;

  constructor(text: string, target: CopyTarget, done: (error: Error | undefined) => void) {
    super(text, done);
    this.#target = target;
    target.clear();
  }

  /** pg calls this with each piece, and uses again what the piece is made of. */
  handleCopyData({ chunk }: { chunk: Buffer }): void {
    this.#target.add(chunk);
  }
}

/**
 * Three things that Kysely’s driver has no way to say. Named statements are sent by name. What `copy` sends is kept. And a
 * connection on which the server did not answer in time is destroyed: pg would leave the statement on it and the pool hand
 * it out again, to stand still once more.
 */
function adaptQuery(client: pg.PoolClient): void {
  const query = client.query.bind(client) as (query: unknown, values?: unknown) => Promise<unknown>;
  const copy = (text: string, target: CopyTarget): Promise<unknown> =>
    new Promise((resolve, reject) => {
      query(new CopyQuery(text, target, (error) => (error ? reject(error) : resolve({ rows: [] }))));
    });
  const send = (text: unknown, values?: unknown): Promise<unknown> => {
    if (typeof text !== 'string') return query(text, values);
    if (Array.isArray(values) && values[0] instanceof CopyTarget) return copy(text, values[0]);
    const name = NAMED.exec(text)?.[1];
    return name === undefined ? query(text, values) : query({ name, text, values });
  };
  client.query = ((text: unknown, values?: unknown) => {
    const result = send(text, values);
    result.catch((error: Error) => {
      // pg gives this error no code.
      if (error.message !== 'Query read timeout') return;
      (client as unknown as WithStream).connection.stream.destroy();
    });
    return result;
  }) as typeof client.query;
}

/** The connections of a pool: open, idle among them, and callers that wait for one. */
export type PoolStats = { open: number; idle: number; waiting: number };

/** How long the reads of a client may take, where it was told. */
const readTimes = new WeakMap<Db, number>();

/** How long a whole read over a client may take, in milliseconds: as long as one statement of it. */
export const readMsOf = (db: Db): number => readTimes.get(db) ?? READ_MS;

function settingsOf({ purpose, readMs }: ClientOptions) {
  const settings = purposes[purpose];
  if (readMs === undefined) return settings;
  return { ...settings, statement_timeout: readMs, query_timeout: readMs + CLIENT_MS };
}

/** Opens a pool under Kysely. Connections are made when first needed. */
export const createClient = (options: ClientOptions): Db => openPool(options).db;

/** As `createClient`, with a look at the pool under it. */
export function openPool(options: ClientOptions): { db: Db; stats: () => PoolStats } {
  const { max, statement_timeout, lock_timeout, query_timeout, connect } = settingsOf(options);
  const pool = new pg.Pool({
    connectionString: options.url,
    application_name: options.applicationName,
    max,
    // undefined, not 0: pg takes 0 for “at once” in some of its versions.
    query_timeout: query_timeout || undefined,
    connectionTimeoutMillis: connect,
    idleTimeoutMillis: 60_000,
    keepAlive: true,
    // By statement, not by start-up parameters, which PgBouncer refuses.
    onConnect: async (client) => {
      await client.query(
        `set statement_timeout = ${statement_timeout}; set lock_timeout = ${lock_timeout}; set timezone = 'UTC'; ` +
          `set default_transaction_isolation = 'read committed'; set idle_in_transaction_session_timeout = 10000; ` +
          // A read that took several processes would take them from whoever writes.
          `set max_parallel_workers_per_gather = 0; ` +
          // As it is, but never off, and so that it stays when somebody switches it off later.
          `select set_config('synchronous_commit',
             coalesce(nullif(current_setting('synchronous_commit'), 'off'), 'on'), false)`,
      );
    },
  });
  pool.on('error', options.onError);
  pool.on('connect', (client) => {
    // Without this, a backend that dies while its connection is checked out ends the whole process.
    client.on('error', options.onError);
    adaptQuery(client);
  });
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  if (options.readMs !== undefined) readTimes.set(db, options.readMs);
  return {
    db,
    stats: () => ({ open: pool.totalCount, idle: pool.idleCount, waiting: pool.waitingCount }),
  };
}
