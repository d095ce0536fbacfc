import { globSync } from 'node:fs';
import { join } from 'node:path';
import type { FastifyInstance } from 'fastify';
import { test } from 'tap';
import { DOCS_POLICY, PAGE_POLICY, securityHeaders } from '../../src/core/security-headers.ts';
import { build, type TestApp } from '../support/app.ts';
import { until } from '../support/client.ts';
import { createDatabase } from '../support/postgres.ts';
import { handshake, head, sendRaw } from '../support/raw.ts';
import { startServer } from '../support/server.ts';

/** What an answer lacks of the headers that every answer has. */
function lacks(headers: Record<string, string>): string[] {
  const isPage = [DOCS_POLICY, PAGE_POLICY].includes(headers['content-security-policy'] ?? '');
  return Object.entries(securityHeaders(false))
    .filter(([name, value]) => headers[name] !== value)
    .map(([name]) => name)
    .filter((name) => !(isPage && name === 'content-security-policy'));
}

/** A script of the pages, below the root. */
const [ASSET = ''] = globSync('assets/console-*.js', { cwd: join(import.meta.dirname, '../../web/dist') });

/** Every path that there is, with its methods; a parameter is 0, and any file is one of ours. */
function routesOf(app: FastifyInstance): { path: string; methods: string[] }[] {
  const above: string[] = [];
  // A tree: four characters of indentation for each branch that a line is on.
  return app
    .printRoutes({ commonPrefix: false })
    .split('\n')
    .flatMap((line) => {
      const [, indent = '', part = '', methods] = /^(.*[├└]── )(\S+)(?: \((.+)\))?/.exec(line) ?? [];
      above.length = Math.max(0, indent.length / 4 - 1);
      above.push(part);
      if (methods === undefined) return [];
      const path = above
        .join('')
        .replaceAll(/:\w+/g, '0')
        .replace('assets/*', ASSET)
        .replace('*', 'static/swagger-ui.css');
      return [{ path, methods: methods.split(', ') }];
    });
}

/** The media types of what we send that is text, and the pictures. */
const TYPES =
  /^(?:(?:application\/(?:problem\+json|json|yaml|x-yaml|javascript|x-ndjson)|text\/(?:html|css|javascript|plain|csv|event-stream)|image\/svg\+xml)(?:; version=0\.0\.4)?; charset=utf-8|image\/(?:png|x-icon))$/i;

const headersOf = ({ headers }: Response): Record<string, string> => Object.fromEntries(headers);

test('every route answers with the headers that protect, and says what its body is', async (t) => {
  const server = await build(t);
  const routes = routesOf(server.app);
  t.ok(routes.length > 15, `${routes.length} routes`);
  const authorization = `Bearer ${await server.token('root', 'audit:read', 'chat', 'admin')}`;
  for (const { path, methods } of [...routes, { path: '/docs/static/logo.svg', methods: ['GET'] }]) {
    for (const method of methods) {
      for (const who of [{}, { authorization }]) {
        const answer = await fetch(server.url + path, { method, headers: who, redirect: 'manual' });
        const what = `${method} ${path} ${answer.status}`;
        const headers = headersOf(answer);
        t.strictSame(lacks(headers), [], what);
        if (headers['content-length'] !== '0' && answer.status !== 204) {
          t.match(headers['content-type'] ?? '', TYPES, what);
        }
        t.equal(headers['strict-transport-security'], undefined, what);
        for (const telltale of ['server', 'x-powered-by']) t.equal(headers[telltale], undefined, what);
        await answer.body?.cancel();
      }
    }
  }
});

test('so does what goes wrong, also where no route and no hook is reached', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('root', 'audit:read', 'chat')}`;
  const chunked = { 'content-length': '3', 'transfer-encoding': 'chunked' };
  for (const [what, bytes, status] of [
    ['no such address', head('GET /nowhere'), 404],
    ['no such method', head('PUT /audit'), 404],
    ['no token', head('GET /audit'), 401],
    ['a wrong parameter', head('GET /audit?x=1', { authorization }), 400],
    ['a path that is no URL', head('GET /%'), 400],
    ['a name that is too long', head(`GET /audit/${'1'.repeat(600)}`, { authorization }), 400],
    ['no Host', 'GET /health/live HTTP/1.1\r\nConnection: close\r\n\r\n', 400],
    ['an expectation of nobody knows what', head('GET /health/live', { expect: 'a miracle' }), 200],
    ['a body that is too large', `${head('POST /audit', { 'content-length': '70000' })}x`, 404],
    ['headers that are too large', head('GET /', { x: 'x'.repeat(40_000) }), 431],
    ['no HTTP', 'hello\r\n\r\n', 400],
    ['a tunnel', head('CONNECT evil.example:80'), 400],
    ['a tunnel for a WebSocket', handshake('/ws').replace('GET', 'CONNECT'), 400],
    ['a method of RTSP', head('DESCRIBE /audit').replace('HTTP/1.1', 'RTSP/1.0'), 400],
    ['HTTP/2 without asking', 'PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n', 400],
    ['HTTP/2 in letters', head('GET /health/live').replace('HTTP/1.1', 'HTTP/2.0'), 400],
    ['HTTP/0.9 with a version', head('GET /health/live').replace('HTTP/1.1', 'HTTP/0.9'), 400],
    ['a body of two lengths', `${head('POST /audit', chunked)}0\r\n\r\n`, 400],
    ['a line that is folded', head('GET /', { x: 'a\r\n b' }), 400],
    ['a handshake without a token', handshake('/ws'), 401],
    [
      'a handshake of another origin',
      handshake('/ws', { authorization, origin: 'https://evil.example' }),
      403,
    ],
    ['a handshake elsewhere', handshake('/audit', { authorization }), 404],
    ['a handshake of an old version', handshake('/ws', { 'sec-websocket-version': '8' }), 426],
    ['a handshake without a key', handshake('/ws', { 'sec-websocket-key': 'x' }), 400],
    [
      'a handshake with a poor list',
      handshake('/ws', { authorization, 'sec-websocket-protocol': 'a,,b' }),
      400,
    ],
    [
      'a handshake with a name twice',
      handshake('/ws', { authorization, 'sec-websocket-protocol': 'a, a' }),
      400,
    ],
  ] as const) {
    const answer = await sendRaw(server.url, bytes);
    t.equal(answer.status, status, what);
    t.strictSame(lacks(answer.headers), [], what);
    if (status === 200) continue;
    t.equal(answer.headers['content-type'], 'application/problem+json; charset=utf-8', what);
    t.equal(answer.headers['cache-control'], 'no-store', what);
    t.match(JSON.parse(answer.body), { status, type: /^urn:minutebook:problem:/ }, what);
  }
  t.equal((await server.get('/health/live')).status, 200, 'and it lives');
});

test('the port of the metrics protects its answers as well', async (t) => {
  const server = await startServer(t, { env: { DATABASE_URL: await createDatabase(t), METRICS_PORT: '0' } });
  const served = (): string | undefined =>
    /metrics are served on (http:\S+)\/metrics/.exec(server.output())?.[1];
  await until('it says where', () => served() !== undefined);
  const url = served() ?? '';
  for (const bytes of [
    head('GET /metrics'),
    head('GET /'),
    'hello\r\n\r\n',
    'GET /metrics HTTP/1.1\r\nConnection: close\r\n\r\n',
  ]) {
    const answer = await sendRaw(url, bytes);
    t.ok(answer.status > 0, bytes);
    t.strictSame(lacks(answer.headers), [], bytes);
  }
});

test('a method that a route does not know finds nothing', async (t) => {
  const server = await build(t, { ALLOWED_ORIGINS: 'https://app.example.com' });
  const authorization = `Bearer ${await server.token('root', 'audit:read', 'chat', 'admin')}`;
  for (const path of [
    '/audit',
    '/audit/0',
    '/health/live',
    '/docs',
    '/openapi.json',
    '/metrics',
    '/ws',
    '/nowhere',
  ]) {
    for (const method of ['TRACE', 'TRACK', 'OPTIONS', 'PATCH', 'PROPFIND', 'PUT', 'POST', 'DELETE']) {
      const answer = await sendRaw(
        server.url,
        head(`${method} ${path}`, { authorization, 'content-length': '0' }),
      );
      // TRACK is none of HTTP's; Node refuses to read it.
      t.ok([400, 404, 405].includes(answer.status), `${method} ${path}: ${answer.status}`);
      t.notMatch(answer.text, authorization, 'and nothing is echoed');
    }
  }
});

test('no other spelling of a path comes past the check of the token', async (t) => {
  const server = await build(t);
  for (const path of [
    '/audit/',
    '//audit',
    '/AUDIT',
    '/Audit',
    '/./audit',
    '/docs/../audit',
    '/docs/..%2faudit',
    '/docs%2f..%2faudit',
    '/docs/static/..%2f..%2f..%2fpackage.json',
    '/docs/static/%2e%2e/%2e%2e/package.json',
    '/docs/static/..\\..\\package.json',
    '/audit;x=1',
    '/audit%00',
    '/audit%2f0',
    '/audit%3f',
    '/health/..%2faudit',
    'http://localhost/audit',
    `${server.url}/audit`,
    '*',
  ]) {
    const { status } = await sendRaw(server.url, head(`GET ${path}`));
    t.ok([400, 401, 404].includes(status), `${path}: ${status}`);
  }
});

// ---- CORS

const ALLOWED = 'https://app.example.com';
const STRANGERS = [
  'https://evil.example',
  'null',
  'https://app.example.com.evil.example',
  'https://APP.example.com',
  'https://app.example.com:443',
  'http://app.example.com',
  'https://app.example.com, https://evil.example',
];

const corsOf = (answer: Response): string[] =>
  [...answer.headers.keys()].filter((name) => name.startsWith('access-control-'));

const preflight = (server: TestApp, origin: string, path = '/audit'): Promise<Response> =>
  fetch(server.url + path, {
    method: 'OPTIONS',
    headers: {
      origin,
      'access-control-request-method': 'GET',
      'access-control-request-headers': 'authorization',
    },
  });

test('without ALLOWED_ORIGINS no page of another origin may call the API', async (t) => {
  const server = await build(t);
  for (const origin of [ALLOWED, server.url, ...STRANGERS]) {
    const asked = await preflight(server, origin);
    t.equal(asked.status, 404, origin);
    t.strictSame(corsOf(asked), [], origin);
    t.strictSame(corsOf(await server.get('/health/live', { origin })), [], origin);
  }
});

test('with ALLOWED_ORIGINS their pages may, to the letter, and no other', async (t) => {
  const server = await build(t, { ALLOWED_ORIGINS: `${ALLOWED}, https://b.example` });
  for (const origin of [ALLOWED, 'https://b.example']) {
    const asked = await preflight(server, origin);
    t.equal(asked.status, 204, origin);
    t.equal(asked.headers.get('access-control-allow-origin'), origin);
    t.equal(asked.headers.get('access-control-allow-methods'), 'GET, HEAD, POST, PUT, DELETE');
    t.match(asked.headers.get('access-control-allow-headers'), /^Authorization, Content-Type/);
    t.strictSame(lacks(headersOf(asked)), [], 'a preflight protects as well');

    const authorization = `Bearer ${await server.token('root', 'audit:read')}`;
    for (const [headers, status] of [
      [{ origin, authorization }, 200],
      [{ origin }, 401],
    ] as const) {
      const answer = await server.get('/audit', headers);
      t.equal(answer.status, status);
      t.equal(answer.headers.get('access-control-allow-origin'), origin, 'a page may read errors, too');
      t.equal(answer.headers.get('access-control-allow-credentials'), null, 'there are no cookies to send');
      t.match(
        answer.headers.get('access-control-expose-headers'),
        /Content-Disposition, Link, RateLimit, .*Retry-After/,
      );
      t.match(answer.headers.get('vary'), 'Origin');
    }
  }
  for (const origin of STRANGERS) {
    const asked = await preflight(server, origin);
    t.equal(asked.status, 404, origin);
    t.strictSame(corsOf(asked), [], origin);
    const answer = await server.get('/health/live', { origin });
    t.strictSame(corsOf(answer), [], origin);
    t.match(answer.headers.get('vary'), 'Origin', 'a cache must not hand it to others');
  }
  t.strictSame(corsOf(await server.get('/health/live', {})), [], 'no Origin, no CORS');
  t.equal(
    (await preflight(server, ALLOWED, '/nowhere')).status,
    204,
    'a preflight tells nothing of what there is',
  );
  const bare = await fetch(`${server.url}/audit`, { method: 'OPTIONS', headers: { origin: ALLOWED } });
  t.equal(bare.status, 204, 'what asks for no method is none of an error');
});
