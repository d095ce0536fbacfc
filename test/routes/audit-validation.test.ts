import { connect as connectTcp } from 'node:net';
import { test } from 'tap';
import type { AuditPage, Problem } from '../../src/core/schemas.ts';
import { build, problemIn } from '../support/app.ts';

/** Queries that must be refused, the parameter that is to blame, and the code. */
const refused: [query: string, parameter: string | undefined, code?: string][] = [
  // Misspelt, empty, twice, or as a list.
  ['usr=bob', 'usr'],
  ['user_id=', 'user_id'],
  ['action=', 'action'],
  ['room=', 'room'],
  ['room=a&room=b', 'room'],
  ['limit=10&limit=20', 'limit'],
  ['order=asc&order=asc', 'order'],
  ['user_id[]=x', 'user_id[]'],
  ['action=MESSAGE_SENT,JOINED', 'action'],
  [Array.from({ length: 51 }, (_, n) => `user_id=u${n}`).join('&'), 'user_id'],
  // Numbers that are none.
  ...[
    '0x10',
    '1e2',
    '%20%2010',
    '10%20',
    '-1',
    '0',
    '1001',
    'NaN',
    '9007199254740993',
    '',
    '01',
    '1.0',
    '%2B5',
  ].map((limit): [string, string] => [`limit=${limit}`, 'limit']),
  // Encodings.
  ['user_id=%00', 'user_id'],
  ['room=a%0Ab', 'room'],
  ['user_id=%ED%A0%80', undefined, 'bad_request'],
  ['user_id=%', undefined, 'bad_request'],
  ['user_id=%C3%28', undefined, 'bad_request'],
  ['user_id=a?%ED%A0%80', undefined, 'bad_request'],
  [`user_id=${'x'.repeat(129)}`, 'user_id'],
  // Addresses, sessions, enumerations.
  ['ip=localhost', 'ip'],
  ['ip=1.2.3', 'ip'],
  ['session_id=abc', 'session_id'],
  ['session_id=urn:uuid:00000000-0000-4000-8000-000000000000', 'session_id'],
  ['action=message_sent', 'action'],
  ['order=up', 'order'],
  ['total=yes', 'total'],
  // Times.
  ...[
    '2026-11-22',
    '2026-11-22T00:00:00',
    '2026-11-22 00:00:00Z',
    '2026-11-22T00:00:00+02:00',
    '2026-02-30T00:00:00Z',
    '2026-11-22T24:00:00Z',
    '2026-11-22T23:59:60Z',
    '2026-11-22T00:00:00.1234567Z',
    '0000-01-01T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '294277-01-01T00:00:00Z',
    '9999-12-31T23:59:59-23:59',
    'infinity',
    'now',
    '-15',
    '15m',
    '-1y',
    '-1234567s',
    '1700000000',
  ].map((from): [string, string] => [`from=${from}`, 'from']),
  ['to=-', 'to'],
  ['from=2026-01-02T00:00:00Z&to=2026-01-01T00:00:00Z', 'from'],
  ['from=2026-01-01T00:00:00Z&to=2026-01-01T00:00:00Z', 'from'],
  ['from=2026-01-01T02:00:00%2B02:00&to=2026-01-01T00:00:00Z', 'from'],
  ['from=-1h&to=-2h', 'from'],
  ['from=-1h&to=-60m', 'from'],
  ['from=-1s&to=2020-01-01T00:00:00Z', 'from'],
  // Cursors.
  ['cursor=', 'cursor', 'invalid_cursor'],
  ['cursor=abc', 'cursor', 'invalid_cursor'],
  ['cursor=a.b.c', 'cursor', 'invalid_cursor'],
  [`cursor=${'x'.repeat(10_000)}`, 'cursor', 'invalid_cursor'],
  [`cursor=x.${'é'.repeat(22)}`, 'cursor', 'invalid_cursor'],
];

test('what is not exactly a filter is refused with the parameter’s name', async (t) => {
  const server = await build(t);
  for (const [query, parameter, code = 'invalid_parameter'] of refused) {
    const answer = await server.get(`/audit?${query}`);
    const name = decodeURIComponent(query.slice(0, 60).replace(/%(?![0-9A-F]{2})|%ED.*|%C3.*/g, ''));
    t.equal(answer.status, 400, name);
    t.equal(answer.headers.get('content-type'), 'application/problem+json; charset=utf-8', name);
    const problem = await problemIn(answer);
    t.equal(problem.code, code, name);
    t.equal(problem.parameter, parameter, name);
    t.equal(problem.status, 400, name);
  }
  t.strictSame(await server.events('action=AUDIT_READ'), [], 'nothing was read');
  t.equal((await server.get('/health/ready')).status, 200);
});

test('an unencoded + is named as what it is', async (t) => {
  const server = await build(t);
  const { detail } = await problemIn(await server.get('/audit?from=2026-11-22T00:00:00+02:00'));
  t.match(detail, '%2B');
  const encoded = await server.get('/audit?from=2026-11-22T00:00:00%2B02:00');
  t.match(await encoded.json(), { from: '2026-11-21T22:00:00.000000Z' });
});

test('text in a filter is only ever text', async (t) => {
  const server = await build(t);
  for (const text of [
    '%',
    '_',
    '\\',
    "'; drop table audit_event; --",
    "' or '1'='1",
    '$1',
    '{"$ne":null}',
    'null',
  ]) {
    for (const name of ['user_id', 'room', 'target_user_id', 'involves']) {
      const page = await server.page(`${name}=${encodeURIComponent(text)}`);
      t.strictSame(page.data, [], `${name}=${text}`);
    }
  }
  t.ok((await server.page()).data.length > 0, 'the log is still there');
});

test('a number of an event is a number', async (t) => {
  const server = await build(t);
  for (const seq of ['abc', '-1', '1e2', '0x1', '1.5', '9007199254740993', '%20', '%00', '01']) {
    const answer = await server.get(`/audit/${seq}`);
    t.equal(answer.status, 400, seq);
    t.match(await problemIn(answer), { code: 'invalid_parameter', parameter: 'seq' }, seq);
  }
  for (const path of ['/audit/%', '/audit/%ff', '/audit/%ED%A0%80']) {
    t.equal((await server.get(path)).status, 400, path);
  }
  t.match(await problemIn(await server.get('/audit/999999')), { code: 'not_found', status: 404 });
  for (const path of ['/audit/0?x=1', '/audit/actions?x=1', '/health/live?x=1', '/health/ready?x=1']) {
    t.equal((await server.get(path)).status, 400, `${path}: no parameters here`);
  }
});

test('methods and addresses that are not offered are refused', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  for (const method of ['POST', 'PUT', 'DELETE', 'PATCH']) {
    const answer = await fetch(`${server.url}/audit`, { method, headers: { authorization } });
    t.equal(answer.status, 404, method);
    t.match(await problemIn(answer), { code: 'not_found' }, method);
  }
  for (const path of [
    '/AUDIT',
    '//audit',
    '/audit/',
    '/foo/../audit/..',
    '/docs%2f..%2faudit',
    '/audit%00',
  ]) {
    const status = await rawStatus(server.url, path);
    t.ok([400, 401, 404].includes(status), `${path}: ${status}`);
  }
  const bare = await fetch(`${server.url}/audit`, { method: 'HEAD', headers: { authorization } });
  t.equal(bare.status, 200);
});

/** The status of a path sent as it is, which fetch would tidy up. */
function rawStatus(url: string, path: string): Promise<number> {
  const { port, hostname } = new URL(url);
  return new Promise((resolve, reject) => {
    const socket = connectTcp(Number(port), hostname, () =>
      socket.write(`GET ${path} HTTP/1.1\r\nHost: ${hostname}\r\nConnection: close\r\n\r\n`),
    );
    let text = '';
    socket.on('data', (chunk) => {
      text += chunk.toString();
    });
    socket.on('error', reject);
    socket.on('close', () => resolve(Number(text.split(' ')[1])));
  });
}

test('bodies and media types that make no sense change nothing', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  for (const type of [' application/json', 'application/json garbage', 'APPLICATION/JSON;', 'text/plain']) {
    const answer = await fetch(`${server.url}/audit`, {
      method: 'POST',
      headers: { authorization, 'content-type': type },
      body: '{"n":"5"}',
    });
    t.ok(answer.status >= 400 && answer.status < 500, `${type}: ${answer.status}`);
  }
});

test('every answer of the log may not be stored, and says what it is', async (t) => {
  const server = await build(t);
  for (const path of ['/audit', '/audit/0', '/audit/actions', '/audit/999999', '/audit?x=1']) {
    const answer = await server.get(path);
    t.equal(answer.headers.get('cache-control'), 'no-store', path);
    t.match(answer.headers.get('content-type'), /^application\/(problem\+)?json; charset=utf-8$/, path);
    t.type((await answer.json()) as AuditPage | Problem, Object, path);
  }
});
