import { mkdir, mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createClient } from '../../db/client.ts';
import { startEmbedded } from '../../db/embedded/index.ts';
import { migrate } from '../../db/migrate.ts';
import { databaseUrl, query, STATE_FILE, TEMPLATE, type TestPostgres } from './postgres.ts';

/** One real Postgres for all test files: TEST_DATABASE_URL, or one of our own, which outlives this script. */
async function start(): Promise<TestPostgres> {
  const given = process.env.TEST_DATABASE_URL;
  if (given) return { url: given };
  const dataDir = await mkdtemp(join(tmpdir(), 'minutebook-test-'));
  const { url } = await startEmbedded(dataDir);
  return { url, dataDir };
}

const postgres = await start();
await mkdir(dirname(STATE_FILE), { recursive: true });
await writeFile(STATE_FILE, JSON.stringify(postgres));

await query(postgres.url, `drop database if exists ${TEMPLATE}`);
await query(postgres.url, `create database ${TEMPLATE} template template0`);
const db = createClient({
  url: databaseUrl(TEMPLATE, postgres.url),
  applicationName: 'minutebook test',
  purpose: 'migrate',
  onError: console.error,
});
await migrate(db);
await db.destroy();
// The lock of the data folder would keep this script alive; Postgres lives on without it.
process.exit(0);
