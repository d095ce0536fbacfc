import { randomBytes } from 'node:crypto';
import pg from 'pg';
import type { Test } from 'tap';

/** The migrated database that every test's own is a copy of. */
export const TEMPLATE = 'minutebook_template';

/** A superuser's URL to the Postgres that `npm test` has started. */
export function serverUrl(): string {
  const url = process.env.TEST_DATABASE_URL;
  if (!url) throw new Error('There is no Postgres to test on; run “npm test -- FILE” instead of tap itself.');
  return url;
}

/** The same server, another database. */
export function databaseUrl(name: string, server = serverUrl()): string {
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
  const url = serverUrl();
  // Copied as files: less work than block by block through the log, here and when it is dropped.
  await query(url, `create database ${name} template ${empty ? 'template0' : TEMPLATE} strategy file_copy`);
  t.teardown(async () => {
    if (t.passing()) await query(url, `drop database if exists ${name} with (force)`);
    else t.comment(`the database ${name} is kept`);
  });
  return databaseUrl(name);
}

/** Puts a log back to what it was before a seq, as a restored copy of its files would. */
export const putBack = (url: string, seq: number): Promise<unknown> =>
  query(
    url,
    `begin;
     set local session_replication_role = replica;
     delete from audit_event where seq >= ${seq};
     delete from audit_batch where first_seq >= ${seq};
     commit;`,
  );
