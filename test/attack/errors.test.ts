import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { FastifyRequest } from 'fastify';
import { type Test, test } from 'tap';
import { parse } from 'yaml';
import { errorCodes } from '../../src/core/errors.ts';
import type { Problem } from '../../src/core/schemas.ts';
import { build, SECRET } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { createDatabase, query } from '../support/postgres.ts';
import { type Proxy as DatabaseProxy, proxy } from '../support/proxy.ts';
import { head, sendRaw } from '../support/raw.ts';
import { type RunningServer, startServer } from '../support/server.ts';
import { tokenFor } from '../support/token.ts';

const ROOT = join(import.meta.dirname, '../..');

/** What the inside is made of, and nobody outside is told. */
const inside: [what: string, pattern: RegExp][] = [
  ['SQL', /\b(select|insert into|update|delete from|returning|where)\s+[\w."*$]+/i],
  [
    'a table, a function or a type',
    /audit_(event|batch|log|writer|append|probe)|chat_(session|ban|kick|apply)|pg_/,
  ],
  [
    'the error of a driver',
    /postgres|kysely|ECONN|EPIPE|ETIMEDOUT|SQLSTATE|relation|column|syntax error|terminated|timeout|socket|lost_/i,
  ],
  ['a stack', /\bat \S+ ?\(|\.[jt]s\b|node_modules|node:|file:/],
  ['an error of JavaScript', /TypeError|ReferenceError|undefined|\[object/],
];

type Operation = { security?: Record<string, string[]>[]; requestBody?: object };

/** A request for every route that there is, each with a token that may ask for it. */
async function requestsForEverything(): Promise<string[]> {
  const { paths } = parse(await readFile(join(ROOT, 'openapi.yaml'), 'utf8')) as {
    paths: Record<string, Record<string, Operation>>;
  };
  const token = `Bearer ${await tokenFor('alice', 'chat', 'audit:read', 'admin')}`;
  return Object.entries(paths).flatMap(([path, operations]) =>
    Object.entries(operations).map(([method, { requestBody }]) => {
      const target = path
        .replace('{seq}', '1')
        .replace('{session_id}', '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11')
        .replace('{user_id}', 'mallory');
      const body = requestBody === undefined ? '' : '{"reason":"spam"}';
      const headers: Record<string, string> = { authorization: token, 'content-length': `${body.length}` };
      if (body !== '') headers['content-type'] = 'application/json';
      return `${head(`${method.toUpperCase()} ${target}`, headers)}${body}`;
    }),
  );
}

/** A server that reaches its database by a way that can be broken, and what must not be told of that way. */
async function startBehindProxy(
  t: Test,
): Promise<{ server: RunningServer; between: DatabaseProxy; databaseUrl: string }> {
  const databaseUrl = await createDatabase(t);
  const between = await proxy(t, databaseUrl);
  const server = await startServer(t, {
    env: { DATABASE_URL: between.url, JWT_SECRET: SECRET, LOG_LEVEL: 'error' },
  });
  return { server, between, databaseUrl };
}

/** Fails where a text tells of the inside. @param secrets what this server alone has */
function checkTold(t: Test, what: string, text: string, secrets: string[]): void {
  for (const [kind, pattern] of inside) t.notMatch(text, pattern, `${kind} in the answer to ${what}`);
  for (const secret of secrets) t.notOk(text.includes(secret), `“${secret}” in the answer to ${what}`);
}

/** Where a database is, and what opens it. Not the role: the tests’ own is called like the product. */
function secretsOf(...urls: string[]): string[] {
  return urls.flatMap((url) => {
    const { hostname, port, pathname, password } = new URL(url);
    return [hostname, port, pathname.slice(1), password].filter((part) => part !== '');
  });
}

/** What is wrong with the database, and how it comes about. */
const troubles: Record<string, (between: DatabaseProxy, databaseUrl: string) => unknown> = {
  'nobody listens': ({ close }) => close(),
  'connections break': ({ setMode }) => setMode('refuse'),
  'no answer comes': ({ setMode }) => setMode('swallow-all'),
  'tables are missing': (_between, databaseUrl) =>
    query(
      databaseUrl,
      ['audit_event', 'audit_batch', 'chat_session', 'chat_ban', 'chat_ticket']
        .map((table) => `alter table ${table} rename to lost_${table};`)
        .join(' '),
    ),
};

for (const [what, strike] of Object.entries(troubles)) {
  test(`no error tells of the inside while the database is down: ${what}`, async (t) => {
    const { server, between, databaseUrl } = await startBehindProxy(t);
    const alice = await connect(t, { url: server.url, token: tokenFor }, 'alice');
    await alice.next('welcome');
    await strike(between, databaseUrl);
    alice.send({ type: 'message', text: 'hello', ref: '1' });
    const secrets = secretsOf(between.url, databaseUrl);
    const requests = await requestsForEverything();
    t.ok(requests.length > 12, `${requests.length} routes are asked`);
    const answers = await Promise.all(
      requests.map(
        async (request) => [request.split(' HTTP')[0] ?? '', await sendRaw(server.url, request)] as const,
      ),
    );
    const failed = answers.filter(([, { status }]) => status >= 500);
    t.ok(failed.length >= 8, `${failed.length} of them fail`);
    for (const [what, { status, headers, body }] of failed) {
      t.match(headers['content-type'], /^application\/problem\+json/, what);
      const problem = JSON.parse(body) as Problem;
      t.equal(
        errorCodes[problem.code as keyof typeof errorCodes]?.status,
        status,
        `${what}: ${problem.code}`,
      );
      // Readiness names the code of the error, for whoever runs the server, and no more of it.
      checkTold(t, what, body.replace(/the database answered [A-Z0-9]+\./, ''), secrets);
    }
    await until('the frame is answered', () => alice.all('error').length > 0);
    for (const text of alice.raw.filter((frame) => frame.includes('"error"'))) {
      checkTold(t, 'a frame', text, secrets);
    }
  });
}

/** A server as in production, into which errors come that nobody foresaw. */
async function startUnforeseen(t: Test): Promise<{ server: RunningServer; databaseUrl: string }> {
  const databaseUrl = await createDatabase(t);
  const server = await startServer(t, {
    env: { DATABASE_URL: databaseUrl, JWT_SECRET: SECRET, LOG_LEVEL: 'error' },
    command: [process.execPath, '--import', './test/support/unforeseen.ts', 'src/server.ts'],
  });
  return { server, databaseUrl };
}

test('an error that a handler did not foresee is a 500 that tells nothing, in full in the log, and the server goes on', async (t) => {
  const { server } = await startUnforeseen(t);
  const alice = await connect(t, { url: server.url, token: tokenFor }, 'alice');
  for (let n = 0; n < 3; n += 1) {
    const answer = await fetch(`${server.url}/health/live`);
    const body = await answer.text();
    t.equal(answer.status, 500);
    t.match(answer.headers.get('content-type'), /^application\/problem\+json/);
    t.match(JSON.parse(body), { code: 'internal', status: 500 });
    checkTold(t, 'a request', body, ['foresaw']);
  }
  const lines = () => server.output().match(/"level":50.*/g) ?? [];
  await until('each is in the log', () => lines().length === 3);
  for (const line of lines()) {
    t.match(line, /nobody foresaw this.*"stack":.*unforeseen\.ts.*"msg":"request failed"/);
    const { req } = JSON.parse(`{${line}`) as { req?: unknown };
    t.match(
      req,
      { method: 'GET', path: '/health/live', ip: '127.0.0.1' },
      'which request it was is told too',
    );
  }
  await alice.ask({ type: 'message', text: 'served' });
  t.equal((await fetch(`${server.url}/health/ready`)).status, 200);
});

test('whatever is thrown, wherever in a request, is a 500 that tells nothing of it', async (t) => {
  const secret = 'secret of the inside';
  const thrown: Record<string, unknown> = {
    'an error': new Error(secret),
    'an error with a status': Object.assign(new Error(secret), { statusCode: 599, code: secret }),
    'a text': secret,
    'an object': { message: secret, stack: secret },
    null: null,
  };
  const places = ['onRequest', 'preHandler', 'handler', 'handler, later', 'onSend'];
  const server = await build(t, {}, (app) => {
    const failed = new WeakSet<FastifyRequest>();
    app.addHook('onRoute', (route) => {
      if (route.url !== '/health/live') return;
      // Once: the answer that tells of the failure goes through hooks as well.
      const fail = (request: FastifyRequest, place: string): void => {
        const { 'x-place': where, 'x-thrown': what } = request.headers;
        if (where !== place || failed.has(request)) return;
        failed.add(request);
        throw thrown[String(what)];
      };
      const handler = route.handler;
      route.onRequest = async (request) => fail(request, 'onRequest');
      route.preHandler = async (request) => fail(request, 'preHandler');
      route.onSend = async (request) => fail(request, 'onSend');
      route.handler = function (request, reply) {
        fail(request, 'handler');
        const later = request.headers['x-place'] === 'handler, later';
        if (!later) return handler.call(this, request, reply);
        return new Promise(setImmediate).then(() => fail(request, 'handler, later'));
      };
    });
  });
  for (const place of places) {
    for (const name of Object.keys(thrown)) {
      const what = `${name} in ${place}`;
      const answer = await fetch(`${server.url}/health/live`, {
        headers: { 'x-place': place, 'x-thrown': name },
      });
      const body = await answer.text();
      t.equal(answer.status, 500, what);
      t.match(answer.headers.get('content-type'), /^application\/problem\+json/, what);
      t.match(JSON.parse(body), { code: 'internal' }, what);
      checkTold(t, what, body, [secret]);
    }
  }
  t.equal((await fetch(`${server.url}/health/live`)).status, 200, 'and it goes on');
});

for (const [how, signal] of [
  ['thrown by a callback', 'SIGWINCH'],
  ['of a promise that nobody waits for', 'SIGCONT'],
] as const) {
  test(`an error that nobody catches, ${how}, ends the process in order, with the end of each session on record`, async (t) => {
    const { server, databaseUrl } = await startUnforeseen(t);
    const alice = await connect(t, { url: server.url, token: tokenFor }, 'alice');
    await alice.ask({ type: 'message', text: 'on record' });
    server.child.kill(signal);
    t.equal((await alice.closed).code, 1001, 'it says goodbye');
    t.equal(await server.exited, 1, 'a supervisor sees that it failed');
    t.match(server.output(), /"level":60.*nobody foresaw this.*stopping after an unexpected error/);
    t.notMatch(alice.raw.join(), 'foresaw');
    const rows = await query<{ action: string }>(
      databaseUrl,
      'select action from audit_event order by seq desc limit 3',
    );
    t.strictSame(
      rows.map(({ action }) => action),
      ['SERVER_STOPPED', 'DISCONNECTED', 'MESSAGE_SENT'],
    );
  });
}
