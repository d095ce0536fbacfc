import { readFile } from 'node:fs/promises';
import { test } from 'tap';
import { parse } from 'yaml';
import { build } from './support/app.ts';

type Operation = {
  operationId?: string;
  summary?: string;
  responses: Record<string, unknown>;
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

test('Swagger UI is served, with what it needs from this server alone', async (t) => {
  const server = await build(t);
  const page = await server.get('/docs', {});
  t.equal(page.status, 200);
  const html = await page.text();
  t.match(html, 'swagger-ui');
  t.notMatch(html, /(src|href)="https?:/);
  t.match(page.headers.get('content-security-policy'), /default-src 'none'.* script-src 'self';/);
});
