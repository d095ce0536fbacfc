import { spawn } from 'node:child_process';
import { mkdtemp, rm, statfs } from 'node:fs/promises';
import { freemem, tmpdir } from 'node:os';
import { join } from 'node:path';
import { build } from 'vite';
import { createClient } from '../db/client.ts';
import { type EmbeddedPostgres, startEmbedded } from '../db/embedded/index.ts';
import { migrate } from '../db/migrate.ts';
import { databaseUrl, query, TEMPLATE } from './support/postgres.ts';

// npm test [-- tap's options and files]: all test files share one real Postgres, each with databases of its own, and the
// pages as they are now.

const MEMORY_FOLDER = '/dev/shm';
const ROOM = 4 * 1024 ** 3;
/** Several test files at a time start several servers each. */
const MAX_CONNECTIONS = 200;

/** Memory, where there is room: hundreds of databases are made and dropped, and the disk would be waited for each time. */
async function findPlace(): Promise<string> {
  const room = await statfs(MEMORY_FOLDER).then(
    ({ bavail, bsize }) => bavail * bsize,
    () => 0,
  );
  return Math.min(room, freemem()) < ROOM ? tmpdir() : MEMORY_FOLDER;
}

/** A Postgres for the tests: that of TEST_DATABASE_URL (a superuser's), or one of our own in a folder. */
async function startPostgres(dataDir: string): Promise<Pick<EmbeddedPostgres, 'url' | 'stop'>> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { url: given, stop: async () => {} };
  return startEmbedded(dataDir, { maxConnections: MAX_CONNECTIONS });
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

function runTap(env: Record<string, string>): Promise<number> {
  const tap = join(import.meta.dirname, '../node_modules/.bin/tap');
  const child = spawn(tap, process.argv.slice(2), { stdio: 'inherit', env: { ...process.env, ...env } });
  return new Promise((resolve) => child.on('exit', (code) => resolve(code ?? 1)));
}

await build({ configFile: join(import.meta.dirname, '../web/vite.config.ts'), logLevel: 'warn' });
const folder = await mkdtemp(join(await findPlace(), 'minutebook-test-'));
const postgres = await startPostgres(join(folder, 'data'));
try {
  await makeTemplate(postgres.url);
  // What one test file or server has compiled, the next need not; else it is a fifth of the suite’s work.
  const NODE_COMPILE_CACHE = join(folder, 'compiled');
  process.exitCode = await runTap({ TEST_DATABASE_URL: postgres.url, NODE_COMPILE_CACHE });
} finally {
  await postgres.stop();
  // Where it was broken off, programs that are about to end may write there still.
  await rm(folder, { recursive: true, force: true, maxRetries: 10 });
}
