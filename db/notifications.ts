import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';

const CHANNEL = 'minutebook';
/** A connection that is half open tells nothing; so it is asked now and then whether it still listens. */
const CHECK_MS = 10_000;
const CHECK_TIMEOUT_MS = 5_000;
const RECONNECT_MS = 1_000;
/** Each NOTIFY wakes every instance up; what happens in between is told by the next one. */
const TELL_MS = 5;
/** What others wrote lately says that there are others, before the next renewal of the lease does. */
const HEARD_MS = 10_000;

export type NotificationsOptions = {
  url: string;
  applicationName: string;
  /**
   * Another instance says how far the log has come: the number that the next event will get. Also called, with
   * undefined, when something may have been missed.
   */
  onHint: (nextSeq: number | undefined) => void;
  /** The connection was lost, told once until it is back; nothing is lost by it, for hints are not relied on. */
  onError: (error: Error) => void;
};

// What pg keeps to itself: the process of the server that this connection speaks to.
type WithProcessId = pg.Client & { processID?: number };

/**
 * Tells other instances that there is more in the log, by LISTEN and NOTIFY on a connection of its own. Only a
 * hint: it may be lost, doubled or late, and behind PgBouncer there may be none at all.
 */
export class Notifications {
  readonly #options: NotificationsOptions;
  #client: pg.Client | undefined;
  #timer: NodeJS.Timeout | undefined;
  /** Whether a NOTIFY is under way or has only just been; what is to be told meanwhile is told by the next one. */
  #telling = false;
  #toTell: number | undefined;
  #heardAt = Number.NEGATIVE_INFINITY;
  /** Whether there has been no connection since one was lost. */
  #isLost = false;
  #closed = false;

  constructor(options: NotificationsOptions) {
    this.#options = options;
    void this.#connect();
  }

  /** Whether another instance was heard of lately. */
  get hearsOthers(): boolean {
    return performance.now() - this.#heardAt < HEARD_MS;
  }

  /** Tells the others how far the log has come: the number that the next event will get. */
  tell(nextSeq: number): void {
    this.#toTell = nextSeq;
    if (!this.#telling) void this.#tellAll();
  }

  /** Ends the connection. */
  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const client = this.#client;
    this.#client = undefined;
    await client?.end().catch(this.#options.onError);
  }

  async #connect(): Promise<void> {
    const { url, applicationName, onHint } = this.#options;
    const client = new pg.Client({
      connectionString: url,
      application_name: applicationName,
      connectionTimeoutMillis: CHECK_TIMEOUT_MS,
      query_timeout: CHECK_TIMEOUT_MS,
      keepAlive: true,
    });
    client.on('error', (error) => this.#lose(client, error));
    client.on('end', () => this.#lose(client, new Error('the connection for notifications was ended')));
    client.on('notification', ({ processId, payload }) => {
      if (processId === (client as WithProcessId).processID) return;
      this.#heardAt = performance.now();
      onHint(Number(payload) || undefined);
    });
    this.#client = client;
    try {
      await client.connect();
      // Nothing is committed here but hints, and those need not wait for the disk.
      await client.query(`set synchronous_commit = off; listen ${CHANNEL}`);
    } catch (error) {
      this.#lose(client, error as Error);
      return;
    }
    this.#isLost = false;
    // What was told before it listened.
    onHint(undefined);
    this.#check(client);
  }

  #check(client: pg.Client): void {
    if (client !== this.#client) return;
    this.#timer = setTimeout(() => {
      client
        .query<{ listens: boolean }>(`select '${CHANNEL}' in (select pg_listening_channels()) as listens`)
        .then(({ rows }) => {
          if (rows[0]?.listens !== true) throw new Error('the connection for notifications does not listen');
          this.#check(client);
        })
        .catch((error: Error) => this.#lose(client, error));
    }, CHECK_MS);
  }

  /** Gives a connection up and makes another. */
  #lose(client: pg.Client, error: Error): void {
    if (client !== this.#client || this.#closed) return;
    this.#client = undefined;
    if (!this.#isLost) this.#options.onError(error);
    this.#isLost = true;
    clearTimeout(this.#timer);
    client.connection.stream.destroy();
    this.#timer = setTimeout(() => void this.#connect(), RECONNECT_MS);
  }

  async #tellAll(): Promise<void> {
    this.#telling = true;
    while (this.#toTell !== undefined && this.#client !== undefined) {
      const client = this.#client;
      const nextSeq = this.#toTell;
      this.#toTell = undefined;
      try {
        await client.query({
          name: 'notify',
          text: 'select pg_notify($1, $2)',
          values: [CHANNEL, `${nextSeq}`],
        });
      } catch (error) {
        this.#lose(client, error as Error);
      }
      await delay(TELL_MS, undefined, { ref: false });
    }
    this.#telling = false;
  }
}
