import { randomBytes } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import pg from 'pg';
import type { Test } from 'tap';

/** Where `before.ts` leaves word of the Postgres that all test files share. */
export const STATE_FILE = join(import.meta.dirname, '../../node_modules/.cache/minutebook-test.json');
export const TEMPLATE = 'minutebook_template';

export type TestPostgres = {
  /** A superuser's URL to the server. */
  url: string;
  /** The folder of a Postgres that was started for the tests; absent for TEST_DATABASE_URL. */
  dataDir?: string;
};

export const testPostgres = (): TestPostgres => JSON.parse(readFileSync(STATE_FILE, 'utf8')) as TestPostgres;

/** The same server, another database. */
export function databaseUrl(name: string, server = testPostgres().url): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

/** Runs statements one by one on a connection of its own; resolves with the rows of the last. */
export async function query<Row extends pg.QueryResultRow>(
  url: string,
  text: string,
  values: unknown[] = [],
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Row>(text, values)).rows;
  } finally {
    await client.end();
  }
}

/** Opens a connection that the test closes at its end. */
export async function connection(t: Test, url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url });
  client.on('error', () => {});
  await client.connect();
  t.teardown(() => client.end());
  return client;
}

/** A migrated database of the test's own, kept when the test fails. `empty`: without Minutebook's schema. */
export async function createDatabase(t: Test, { empty = false } = {}): Promise<string> {
  const name = `test_${randomBytes(6).toString('hex')}`;
  const { url } = testPostgres();
  await query(url, `create database ${name} template ${empty ? 'template0' : TEMPLATE}`);
  t.teardown(async () => {
    if (t.passing()) await query(url, `drop database if exists ${name} with (force)`);
    else t.comment(`the database ${name} is kept`);
  });
  return databaseUrl(name);
}
