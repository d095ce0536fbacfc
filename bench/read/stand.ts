import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { resolve } from 'node:path';
import pg from 'pg';
import { limitsOff } from '../arms.ts';
import { npmStart } from '../npm-start.ts';
import { type RunningServer, startServer } from '../processes.ts';
import { type LogFacts, readFacts } from './facts.ts';
import type { Logs } from './logs.ts';
import { Reader } from './reader.ts';

/** At a time. */
const READERS = 4;

type Readers = readonly [Reader, ...Reader[]];

/** A server on a copy of a log, and administrators who read it. */
export type Stand = {
  server: RunningServer;
  facts: LogFacts;
  /** Each under a name of their own, for one user may not have many reads at a time. */
  readers: Readers;
  /** The routes that this server has. */
  routes: ReadonlySet<string>;
  stop: () => Promise<void>;
};

async function factsOf(url: string): Promise<LogFacts> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    return await readFacts(client);
  } finally {
    await client.end();
  }
}

async function openReaders(port: number, secret: string): Promise<Readers> {
  const open = (n: number): Promise<Reader> => Reader.open(port, secret, `admin-${n}`);
  const others = Array.from({ length: READERS - 1 }, (_, n) => open(n + 2));
  return [await open(1), ...(await Promise.all(others))];
}

/** Copies a log, and starts a server on it. @param dataDir where the server may keep what is not in the database */
export async function openStand(logs: Logs, events: number, dataDir: string): Promise<Stand> {
  const url = await logs.copy(events);
  const folder = resolve(dataDir, 'server', String(events));
  await mkdir(folder, { recursive: true });
  const secret = randomBytes(32).toString('hex');
  const server = await startServer({
    name: 'Minutebook',
    args: npmStart.args,
    env: {
      ...npmStart.env,
      ...limitsOff,
      DATABASE_URL: url,
      DATA_DIR: folder,
      PORT: '0',
      JWT_SECRET: secret,
    },
    cwd: folder,
  });
  try {
    const readers = await openReaders(server.port, secret);
    const { body } = await readers[0].get('/openapi.json');
    const { paths = {} } = JSON.parse(body) as { paths?: Record<string, unknown> };
    const stop = async (): Promise<void> => {
      for (const reader of readers) reader.close();
      await server.stop();
    };
    return { server, facts: await factsOf(url), readers, routes: new Set(Object.keys(paths)), stop };
  } catch (error) {
    await server.stop();
    throw error;
  }
}
