import { mkdir } from 'node:fs/promises';
import pg from 'pg';
import { type EmbeddedPostgres, startEmbedded } from '../../db/embedded/index.ts';
import { seedDatabase } from '../seed/run.ts';

const MAX_CONNECTIONS = 100;
/** The same in every run, so that two can be compared. */
const SEED = 1;

/** The logs that are read: made once, kept in a Postgres of their own, and copied for each use. */
export class Logs {
  readonly #postgres: EmbeddedPostgres;
  readonly #client: pg.Client;

  private constructor(postgres: EmbeddedPostgres, client: pg.Client) {
    this.#postgres = postgres;
    this.#client = client;
  }

  static async open(dataDir: string): Promise<Logs> {
    await mkdir(dataDir, { recursive: true });
    const postgres = await startEmbedded(dataDir, { maxConnections: MAX_CONNECTIONS });
    const client = new pg.Client({ connectionString: postgres.url, application_name: 'minutebook bench' });
    // An idle connection that breaks says so at the next query.
    client.on('error', () => {});
    try {
      await client.connect();
    } catch (error) {
      await postgres.stop();
      throw error;
    }
    return new Logs(postgres, client);
  }

  async version(): Promise<string> {
    const { rows } = await this.#client.query<{ server_version: string }>('show server_version');
    return rows[0]?.server_version ?? '';
  }

  /** Makes the log of so many events, unless there is one. */
  async make(events: number, progress: (text: string) => void): Promise<void> {
    if (await this.#exists(nameOf(events))) return;
    // What a run that was stopped has left is not taken for a log.
    const making = `${nameOf(events)}_making`;
    await this.#client.query(`drop database if exists ${making} with (force)`);
    await this.#client.query(`create database ${making} template template0`);
    const startedAt = performance.now();
    await seedDatabase(this.urlOf(making), { events, seed: SEED });
    const seconds = (performance.now() - startedAt) / 1_000;
    await this.#client.query(`alter database ${making} rename to ${nameOf(events)}`);
    progress(`made ${events.toLocaleString('en-US')} events in ${seconds.toFixed(1)} s`);
  }

  /** A copy of a log; the one before of the same log is dropped. Resolves with its URL. */
  async copy(events: number): Promise<string> {
    const copy = `${COPY}_${events}`;
    await this.#drop(copy);
    // By files: what is copied block by block would fill the WAL.
    await this.#client.query(`create database ${copy} template ${nameOf(events)} strategy file_copy`);
    await this.#client.query('checkpoint');
    return this.urlOf(copy);
  }

  async close(): Promise<void> {
    await this.#dropCopies().catch(() => {});
    await this.#client.end();
    await this.#postgres.stop();
  }

  urlOf(name: string): string {
    const url = new URL(this.#postgres.url);
    url.pathname = `/${name}`;
    return url.href;
  }

  async #drop(name: string): Promise<void> {
    await this.#client.query(`drop database if exists ${name} with (force)`);
  }

  /** Drops every copy, those too that a run which was killed has left. */
  async #dropCopies(): Promise<void> {
    const { rows } = await this.#client.query<{ name: string }>(
      'select datname as name from pg_database where starts_with(datname, $1)',
      [COPY],
    );
    for (const { name } of rows) await this.#drop(name);
  }

  async #exists(name: string): Promise<boolean> {
    const { rows } = await this.#client.query('select from pg_database where datname = $1', [name]);
    return rows.length > 0;
  }
}

const COPY = 'read_copy';
const nameOf = (events: number): string => `log_${events}`;
