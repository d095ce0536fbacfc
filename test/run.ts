import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { createClient } from '../db/client.ts';
import { type EmbeddedPostgres, startEmbedded } from '../db/embedded/index.ts';
import { migrate } from '../db/migrate.ts';
import { databaseUrl, query, TEMPLATE } from './support/postgres.ts';

// npm test [-- tap's options and files]: all test files share one real Postgres, each with databases of its own, and the
// pages as they are now.

/** A Postgres for the tests: that of TEST_DATABASE_URL (a superuser's), or a throw-away one of our own. */
async function startPostgres(): Promise<EmbeddedPostgres> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { url: given, stop: async () => {} };
  const dataDir = await mkdtemp(join(tmpdir(), 'minutebook-test-'));
  const { url, stop } = await startEmbedded(dataDir);
  return { url, stop: () => stop().then(() => rm(dataDir, { recursive: true, force: true })) };
}

/** Makes the database that every test's own is copied from. */
async function makeTemplate(url: string): Promise<void> {
  await query(url, `drop database if exists ${TEMPLATE}`);
  await query(url, `create database ${TEMPLATE} template template0`);
  const db = createClient({
    url: databaseUrl(TEMPLATE, url),
    applicationName: 'minutebook test',
    purpose: 'migrate',
    onError: console.error,
  });
  await migrate(db);
  await db.destroy();
}

function runTap(url: string): Promise<number> {
  const tap = join(import.meta.dirname, '../node_modules/.bin/tap');
  const child = spawn(tap, process.argv.slice(2), {
    stdio: 'inherit',
    env: { ...process.env, TEST_DATABASE_URL: url },
  });
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}

await build({ configFile: join(import.meta.dirname, '../web/vite.config.ts'), logLevel: 'warn' });
const postgres = await startPostgres();
try {
  await makeTemplate(postgres.url);
  process.exitCode = await runTap(postgres.url);
} finally {
  await postgres.stop();
}
