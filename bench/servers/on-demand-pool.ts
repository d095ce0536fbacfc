import pg from 'pg';

/** What a pool of connections is asked for here. */
export type Pool = { query: (text: string, values: unknown[]) => Promise<unknown> };

export type OnDemandOptions = {
  url: string;
  /** Connections kept when nobody needs them (MaxIdleConns of Go's database/sql, 2 unless set). */
  maxIdle: number;
  /** Connections in all (MaxOpenConns); who comes when all are in use waits for one, in order. */
  maxOpen: number;
};

/**
 * A pool as Go's database/sql has it: takes an idle connection, else opens another at once; one that comes back
 * is handed to who has waited longest, or kept if fewer than `maxIdle` are idle, else closed.
 */
export class OnDemandPool implements Pool {
  readonly #options: OnDemandOptions;
  readonly #idle: pg.Client[] = [];
  readonly #waiters: ((client: pg.Client) => void)[] = [];
  #open = 0;

  constructor(options: OnDemandOptions) {
    this.#options = options;
  }

  async query(text: string, values: unknown[]): Promise<unknown> {
    const client = await this.#take();
    try {
      return await client.query(text, values);
    } finally {
      this.#giveBack(client);
    }
  }

  /** Closes the idle connections. */
  async end(): Promise<void> {
    await Promise.all(this.#idle.splice(0).map((client) => client.end()));
  }

  async #take(): Promise<pg.Client> {
    const idle = this.#idle.pop();
    if (idle !== undefined) return idle;
    if (this.#open >= this.#options.maxOpen) {
      return new Promise((resolve) => this.#waiters.push(resolve));
    }
    this.#open += 1;
    const client = new pg.Client({ connectionString: this.#options.url });
    try {
      await client.connect();
    } catch (error) {
      this.#open -= 1;
      throw error;
    }
    return client;
  }

  #giveBack(client: pg.Client): void {
    const waiter = this.#waiters.shift();
    if (waiter !== undefined) waiter(client);
    else if (this.#idle.length < this.#options.maxIdle) this.#idle.push(client);
    else {
      this.#open -= 1;
      client.end().catch(console.error);
    }
  }
}
