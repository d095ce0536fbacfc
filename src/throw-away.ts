import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { buildApp } from './app.ts';
import { readConfig } from './config.ts';

/**
 * Does something with a server that listens nowhere, with a log of its own, neither of which is left afterwards.
 *
 * @throws SetupError when no Postgres can be started here
 */
export async function withThrowAwayServer<T>(work: (app: FastifyInstance) => Promise<T>): Promise<T> {
  const dataDir = await mkdtemp(join(tmpdir(), 'minutebook-'));
  try {
    const app = await buildApp(readConfig({ DATA_DIR: dataDir, PORT: '0', LOG_LEVEL: 'error' }));
    try {
      await app.ready();
      return await work(app);
    } finally {
      await app.close();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}
