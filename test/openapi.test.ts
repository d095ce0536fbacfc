import { readFile } from 'node:fs/promises';
import { test } from 'tap';
import { parse } from 'yaml';
import { ownHeaders } from '../plugins/headers.ts';
import { build } from './support/app.ts';
import { answerOf, handshake } from './support/handshake.ts';
import { query } from './support/postgres.ts';

type Operation = {
  operationId?: string;
  parameters?: {
    name: string;
    in: string;
    example?: unknown;
    schema: { default?: unknown; examples?: unknown[] };
  }[];
  summary?: string;
  responses: Record<string, { headers?: Record<string, unknown> }>;
  tags?: string[];
};
type Document = { openapi: string; paths: Record<string, Record<string, Operation>> };

test('openapi.yaml is what the server says of itself; if not: npm run openapi:write', async (t) => {
  const server = await build(t);
  const served = await (await server.get('/openapi.yaml', {})).text();
  t.equal(
    served,
    await readFile(new URL('../openapi.yaml', import.meta.url), 'utf8'),
    'run: npm run openapi:write',
  );
});

test('every operation is described, with all its errors', async (t) => {
  const server = await build(t);
  const document = (await (await server.get('/openapi.json', {})).json()) as Document;
  t.equal(document.openapi, '3.1.0');
  t.strictSame(Object.keys(document.paths).toSorted(), [
    '/audit',
    '/audit/actions',
    '/audit/export',
    '/audit/me',
    '/audit/stats',
    '/audit/stream',
    '/audit/{seq}',
    '/bans',
    '/bans/{user_id}',
    '/health/live',
    '/health/ready',
    '/metrics',
    '/sessions',
    '/sessions/{session_id}',
    '/ws',
    '/ws/ticket',
  ]);
  for (const [path, operations] of Object.entries(document.paths)) {
    for (const operation of Object.values(operations)) {
      t.ok(operation.summary && operation.operationId && operation.tags?.length, path);
      if (path.startsWith('/audit')) t.match(operation.responses, { 200: {}, 401: {}, 403: {} }, path);
    }
  }
  t.strictSame(
    document,
    parse(await (await server.get('/openapi.yaml', {})).text()),
    'both forms are the same',
  );
});

test('the headers of an answer are those that are described', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '7' });
  const document = (await (await server.get('/openapi.json', {})).json()) as Document;
  const chat = { authorization: `Bearer ${await server.token('bob', 'chat')}` };
  const check = async (template: string, path: string, status: number, headers?: Record<string, string>) => {
    const answer = await server.get(path, headers);
    await answer.body?.cancel();
    t.equal(answer.status, status, path);
    const response = document.paths[template]?.get?.responses[status];
    t.ok(response, `${template} ${status}`);
    t.strictSame(
      ownHeaders.filter((name) => answer.headers.has(name)),
      Object.keys(response?.headers ?? {}).toSorted(),
      `${path} ${status}`,
    );
  };
  await check('/audit', '/audit', 401, {});
  await check('/audit', '/audit', 403, chat);
  await check('/audit', '/audit?limit=1', 200);
  await check('/audit/{seq}', '/audit/0', 200);
  await check('/audit/{seq}', '/audit/4711', 404);
  await check('/audit/stats', '/audit/stats', 400);
  await check('/audit/export', '/audit/export', 200);
  await check('/audit/stream', '/audit/stream', 200);
  await query(server.databaseUrl, 'alter table audit_batch rename to gone');
  await check('/audit/stats', '/audit/stats?group_by=room', 503);
  await query(server.databaseUrl, 'alter table gone rename to audit_batch');
  for (const path of ['/audit', '/audit/export', '/audit/stream']) await check(path, path, 429);
  await check('/health/live', '/health/live', 200, {});
  await check('/ws', '/ws', 426, {});
  const refused = await answerOf(await handshake(server, '/ws', { authorization: 'Bearer made-up' }));
  t.match(refused, /^HTTP\/1.1 401/);
  t.strictSame(
    ownHeaders.filter((name) => refused.toLowerCase().includes(`\r\n${name.toLowerCase()}: `)),
    Object.keys(document.paths['/ws']?.get?.responses[401]?.headers ?? {}).toSorted(),
  );
});

test('what Swagger UI fills in makes a request that is good: no example of what may be left out', async (t) => {
  const server = await build(t);
  const document = (await (await server.get('/openapi.json', {})).json()) as Document;
  for (const path of ['/audit', '/audit/stats', '/audit/export', '/audit/{seq}']) {
    const filled = new URLSearchParams();
    let target = path;
    for (const { name, in: place, example, schema } of document.paths[path]?.get?.parameters ?? []) {
      const value = example ?? schema.default;
      if (value === undefined) continue;
      if (place === 'path') target = target.replace(`{${name}}`, String(value));
      else for (const one of [value].flat()) filled.append(name, String(one));
    }
    const answer = await server.get(`${target}?${filled}`);
    t.equal(answer.status, 200, `${target}?${filled}`);
    await answer.body?.cancel();
    const described = document.paths[path]?.get?.parameters?.find(({ name }) => name === 'room');
    if (path !== '/audit/{seq}') t.match(described, { schema: { examples: ['lobby'] } });
  }
});

test('Swagger UI is served, with what it needs from this server alone', async (t) => {
  const server = await build(t);
  const page = await server.get('/docs', {});
  t.equal(page.status, 200);
  const html = await page.text();
  t.match(html, 'swagger-ui');
  t.notMatch(html, /(src|href)="https?:/);
  t.match(page.headers.get('content-security-policy'), /default-src 'none'.* script-src 'self';/);
});
