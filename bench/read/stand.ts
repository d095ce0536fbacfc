import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { limitsOff } from '../arms.ts';
import { ROOT, type RunningServer, startServer } from '../processes.ts';
import { type LogFacts, readFacts } from './facts.ts';
import type { Logs } from './logs.ts';
import { Reader } from './reader.ts';

/** At a time. */
export const READERS = 4;

/** A server on a copy of a log, and administrators who read it. */
export type Stand = {
  server: RunningServer;
  facts: LogFacts;
  /** Each under a name of their own, for one user may not have many reads at a time. */
  readers: readonly Reader[];
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

/** Copies a log, and starts a server on it. @param folder for what the server keeps beside the database */
export async function openStand(logs: Logs, events: number, folder: string): Promise<Stand> {
  const url = await logs.copy(events);
  await mkdir(folder, { recursive: true });
  const secret = randomBytes(32).toString('hex');
  const server = await startServer({
    name: 'Minutebook',
    // As `npm start` does.
    args: ['--max-semi-space-size=8', join(ROOT, 'src/server.ts')],
    env: {
      ...limitsOff,
      DATABASE_URL: url,
      DATA_DIR: folder,
      PORT: '0',
      JWT_SECRET: secret,
      NODE_COMPILE_CACHE: join(ROOT, 'node_modules/.cache/node'),
    },
    cwd: folder,
  });
  const readers: Reader[] = [];
  const stop = async (): Promise<void> => {
    for (const reader of readers) reader.close();
    await server.stop();
  };
  try {
    for (let n = 1; n <= READERS; n += 1) readers.push(await Reader.open(server.port, secret, `admin-${n}`));
    const { body } = (await readers[0]?.get('/openapi.json')) ?? { body: '{}' };
    const { paths = {} } = JSON.parse(body) as { paths?: Record<string, unknown> };
    return { server, facts: await factsOf(url), readers, routes: new Set(Object.keys(paths)), stop };
  } catch (error) {
    await stop();
    throw error;
  }
}
