import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { startEmbedded } from '../db/embedded/index.ts';
import { processOf } from './cpu.ts';

/** What Postgres has without being told; the one of our own would have fewer. */
const MAX_CONNECTIONS = 100;

/** The Postgres that all arms share. */
export type BenchPostgres = {
  version: string;
  /** Settings that what is measured depends on. */
  settings: Record<string, string>;
  /** The postmaster on this machine; null when it runs elsewhere, and its CPU cannot be seen. */
  pid: number | null;
  maxConnections: number;
  /** Makes an empty database and resolves with its URL. */
  createDatabase: (name: string) => Promise<string>;
  /** Writes out what is dirty, so that each measurement begins in the same state. */
  checkpoint: () => Promise<void>;
  /** Drops the databases, and stops what was started. */
  stop: () => Promise<void>;
};

async function serverPid(client: pg.Client, url: string): Promise<number | null> {
  const { hostname } = new URL(url);
  if (!['127.0.0.1', 'localhost', '::1', ''].includes(hostname)) return null;
  const { rows } = await client.query<{ pid: number }>('select pg_backend_pid() as pid');
  try {
    const { name, parent } = processOf(rows[0]?.pid ?? 0);
    // Numbers from a container, or from beyond a tunnel, mean something else here.
    return name === 'postgres' ? parent : null;
  } catch {
    return null;
  }
}

async function settingsOf(client: pg.Client): Promise<Record<string, string>> {
  const names = [
    'fsync',
    'synchronous_commit',
    'full_page_writes',
    'shared_buffers',
    'max_wal_size',
    'max_connections',
  ];
  const { rows } = await client.query<{ name: string; setting: string }>(
    'select name, current_setting(name) as setting from pg_settings where name = any ($1) order by name',
    [names],
  );
  return Object.fromEntries(rows.map(({ name, setting }) => [name, setting]));
}

/** Starts a Postgres in `folder`, or uses the one given. @param given the URL of a role that may create databases */
export async function openPostgres(folder: string, given: string | undefined): Promise<BenchPostgres> {
  const dataDir = join(folder, 'data');
  await mkdir(dataDir, { recursive: true });
  const embedded =
    given === undefined ? await startEmbedded(dataDir, { maxConnections: MAX_CONNECTIONS }) : undefined;
  const url = given ?? embedded?.url ?? '';
  const client = new pg.Client({ connectionString: url, application_name: 'minutebook bench' });
  // An idle connection that breaks says so at the next query.
  client.on('error', () => {});
  const made: string[] = [];
  /** Databases are made one after the other: two copies of one template stand in each other's way. */
  let making: Promise<unknown> = Promise.resolve();
  const stop = async (): Promise<void> => {
    for (const name of made) await client.query(`drop database if exists ${name} with (force)`);
    await client.end();
    await embedded?.stop();
  };
  try {
    await client.connect();
    const { rows } = await client.query<{ version: string; connections: string }>(
      `select current_setting('server_version') as version, current_setting('max_connections') as connections`,
    );
    const settings = await settingsOf(client);
    if (settings.fsync !== 'on')
      throw new Error('fsync is off in this Postgres; what it does so counts for nothing.');
    const run = randomBytes(4).toString('hex');
    return {
      version: rows[0]?.version ?? '',
      settings,
      pid: await serverPid(client, url),
      maxConnections: Number(rows[0]?.connections),
      createDatabase: async (name) => {
        const database = `minutebook_bench_${run}_${name}`;
        const make = () => client.query(`create database ${database} template template0`);
        const done = making.then(make);
        making = done.catch(() => {});
        await done;
        made.push(database);
        const address = new URL(url);
        address.pathname = `/${database}`;
        return address.href;
      },
      checkpoint: async () => {
        await client.query('checkpoint');
      },
      stop,
    };
  } catch (error) {
    await client.end().catch(() => {});
    await embedded?.stop();
    throw error;
  }
}
