import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import type { Test } from 'tap';
import type { Scope } from '../../plugins/auth/index.ts';
import { buildApp } from '../../src/app.ts';
import { readConfig } from '../../src/config.ts';
import type { AuditEvent, AuditPage, Problem } from '../../src/core/schemas.ts';
import { createDatabase } from './postgres.ts';

export const SECRET = 'a secret for tests, thirty-two bytes or more';

export type TestApp = {
  app: FastifyInstance;
  databaseUrl: string;
  /** http://127.0.0.1:PORT */
  url: string;
  token: (user: string, ...scopes: Scope[]) => Promise<string>;
  /** GET with an auditor's token; another may be given. */
  get: (path: string, headers?: Record<string, string>) => Promise<Response>;
  /** A page of the log, by an auditor. */
  page: (query?: string) => Promise<AuditPage>;
  /** Every event that matches, oldest first, by walking all pages. */
  events: (query?: string) => Promise<AuditEvent[]>;
};

/** Tests are faster than people; those of the limits set their own. */
const ratesOff = {
  LIMIT_FRAMES_PER_SECOND: '0',
  LIMIT_FRAMES_PER_SECOND_USER: '0',
  LIMIT_QUERIES_PER_MINUTE: '0',
};

/** A folder that goes when the test ends. */
export async function temporaryFolder(t: Test): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'minutebook-'));
  t.teardown(() => rm(path, { recursive: true, force: true }));
  return path;
}

/**
 * Starts the same app as production on a free port unless PORT is given, with a database of its own unless DATABASE_URL is given;
 * closed when the test ends. An empty JWT_SECRET means development mode.
 *
 * @param onCreated may register routes of the test's own
 */
export async function build(
  t: Test,
  environment: Record<string, string> = {},
  onCreated?: (app: FastifyInstance) => void,
): Promise<TestApp> {
  const databaseUrl = environment.DATABASE_URL ?? (await createDatabase(t));
  const app = await buildApp(
    readConfig({
      PORT: '0',
      LOG_LEVEL: 'silent',
      JWT_SECRET: SECRET,
      DATA_DIR: await temporaryFolder(t),
      ...ratesOff,
      DATABASE_URL: databaseUrl,
      ...environment,
    }),
    onCreated,
  );
  t.teardown(() => app.close());
  const url = (await app.listen({ host: '127.0.0.1', port: Number(environment.PORT ?? 0) })).replace(
    /\/$/,
    '',
  );
  const token = (user: string, ...scopes: Scope[]) => app.auth.issueToken(user, scopes, '1h');
  const get: TestApp['get'] = async (path, headers) =>
    fetch(url + path, {
      headers: headers ?? { authorization: `Bearer ${await token('auditor', 'audit:read')}` },
    });
  const page: TestApp['page'] = async (query = '') => {
    const response = await get(`/audit?${query}`);
    if (response.status !== 200) throw new Error(`${response.status}: ${await response.text()}`);
    return (await response.json()) as AuditPage;
  };
  const events: TestApp['events'] = async (query = '') => {
    const all: AuditEvent[] = [];
    for (let cursor = ''; ; ) {
      const { data, has_more, next_cursor } = await page(`${query}&order=asc&limit=1000${cursor}`);
      all.push(...data);
      if (!has_more) return all;
      cursor = `&cursor=${next_cursor}`;
    }
  };
  return { app, databaseUrl, url, token, get, page, events };
}

/** The problem in an answer. */
export const problemIn = async (response: Response): Promise<Problem> => (await response.json()) as Problem;
