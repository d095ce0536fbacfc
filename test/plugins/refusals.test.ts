import { type Test, test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { proxy } from '../support/proxy.ts';

test('a flood of refusals is one event at once, and one with the count when the server ends', async (t) => {
  const server = await build(t);
  const { databaseUrl } = server;
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  for (let n = 0; n < 500; n += 1) alice.send('{');
  await until('all are answered', () => alice.all('error').length === 500);
  t.match(await server.events('action=MESSAGE_REFUSED'), [{ user_id: 'alice', details: { count: 1 } }]);
  await server.app.close();
  const after = await build(t, { DATABASE_URL: databaseUrl });
  t.strictSame(
    (await after.events('action=MESSAGE_REFUSED')).map(({ details }) => details.count),
    [1, 499],
  );
});

test('refusals while the log is down are counted, and on record when it is back', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  between.setMode('refuse');
  await until('the log is down', async () => (await server.get('/health/ready')).status === 503);
  alice.send({ type: 'message', text: 'lost', ref: 'lost' });
  alice.send('{');
  await until('both are answered', () => alice.all('error').length === 2);
  t.strictSame(
    alice
      .all('error')
      .map(({ code }) => code)
      .toSorted(),
    ['audit_unavailable', 'bad_frame'],
    'the refusal needed no database',
  );
  between.setMode('pass');
  await until('the log is back', async () => (await server.get('/health/ready')).status === 200);
  await server.app.close();
  const after = await build(t, { DATABASE_URL: databaseUrl });
  t.strictSame((await after.events('action=MESSAGE_REFUSED')).map(({ details }) => details.code).toSorted(), [
    'audit_unavailable',
    'bad_frame',
  ]);
});

/** A server that believes what this machine says of where a request comes from, and a way to ask it from anywhere. */
async function crossroads(t: Test) {
  const server = await build(t, { TRUST_PROXY: '127.0.0.1' });
  const from = (address: string, path: string, init: RequestInit = {}): Promise<Response> =>
    fetch(server.url + path, { ...init, headers: { ...init.headers, 'x-forwarded-for': address } });
  /** All that was refused, once the server has ended and recorded what it still counted. */
  async function onRecord(): Promise<AuditEvent[]> {
    await server.app.close();
    const after = await build(t, { DATABASE_URL: server.databaseUrl });
    return after.events('action=ACCESS_DENIED&action=REQUEST_REFUSED');
  }
  return { from, onRecord };
}

const sum = (events: readonly AuditEvent[]): number =>
  events.reduce((total, { details }) => total + Number(details.count), 0);

test('whatever one address does, the single refusal of another is on record by itself', async (t) => {
  const { from, onRecord } = await crossroads(t);
  const methods = ['GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'PATCH'];
  const paths = [
    '/nobody',
    '/audit',
    '/audit/0',
    '/audit/me',
    '/audit/actions',
    '/sessions',
    '/bans',
    '/ws',
    '/nothing',
  ];
  const bodies = [{ body: '{', headers: { 'content-type': 'text/xml' } }, { body: 'x'.repeat(70_000) }];
  const flood = [
    ...methods.flatMap((method) => paths.map((path) => ({ path, init: { method } }))),
    ...methods.slice(2).flatMap((method) => bodies.map((one) => ({ path: '/', init: { method, ...one } }))),
  ];
  for (let round = 0; round < 2; round += 1) {
    for (const { path, init } of flood) t.ok((await from('192.0.2.1', path, init)).status >= 400);
  }
  t.equal((await from('192.0.2.2', '/audit')).status, 401);
  t.equal((await from('192.0.2.3', '/nothing')).status, 404);
  const events = await onRecord();
  for (const [ip, action, code, route] of [
    ['192.0.2.2', 'ACCESS_DENIED', 'unauthenticated', '/audit'],
    ['192.0.2.3', 'REQUEST_REFUSED', 'not_found', '*'],
  ]) {
    const own = events.filter((event) => event.ip === ip);
    t.match(own, [{ action, details: { code, count: 1, method: 'GET', route } }]);
    t.equal(own.length, 1);
  }
  const others = events.filter(({ ip }) => ip !== '192.0.2.2' && ip !== '192.0.2.3');
  t.ok(
    others.every(({ ip, details }) => ip === '192.0.2.1' && details.sources === undefined),
    'the flood is on record under its own name',
  );
  t.equal(sum(others), 2 * flood.length, 'and the counts add up');
  t.match(
    others.find(({ details }) => details.code === 'unauthenticated'),
    { details: { count: 1, method: 'GET', route: '/audit' } },
    'the first says where it was',
  );
  t.ok(others.some(({ details }) => details.code === 'unauthenticated' && details.route === '*'));
});

test('of more than 100 addresses, 100 are named, and the others share events whose counts add up', async (t) => {
  const { from, onRecord } = await crossroads(t);
  const codes = ['/audit', '/nothing', '/ws', '/bans'];
  for (const path of codes) t.ok((await from('192.0.2.1', path)).status >= 400);
  for (let number = 0; number < 150; number += 1) await from(`198.51.100.${number}`, '/audit');
  const events = await onRecord();
  t.equal(sum(events), 150 + codes.length);
  t.equal(new Set(events.map(({ ip }) => ip).filter((ip) => ip !== null)).size, 100);
  const shared = events.filter(({ ip }) => ip === null);
  t.equal(sum(shared), 51, 'the many kinds of one took one place');
  t.equal(
    shared.reduce((total, { details }) => total + Number(details.sources), 0),
    51,
  );
  t.ok(shared.length <= 2, 'one at once, and one with the rest');
});

test('beyond 100 events, further kinds of many addresses share events, and each address is named at least once', async (t) => {
  const { from, onRecord } = await crossroads(t);
  const startedAt = performance.now();
  const requests: [path: string, init: RequestInit][] = [
    ['/audit', {}],
    ['/nothing', {}],
    ['/ws', {}],
    ['/', { method: 'POST', body: '{', headers: { 'content-type': 'text/xml' } }],
    ['/', { method: 'POST', body: 'x'.repeat(70_000) }],
  ];
  for (const [path, init] of requests) {
    const answers = Array.from({ length: 100 }, (_, number) => from(`198.51.100.${number}`, path, init));
    for (const { status } of await Promise.all(answers)) t.ok(status >= 400);
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const events = await onRecord();
  t.equal(sum(events), requests.length * 100, 'the counts add up');
  const names = events.map(({ ip }) => ip).filter((ip) => ip !== null);
  t.equal(new Set(names).size, 100);
  t.ok(
    names.length >= 200 && names.length <= 200 + 10 * (seconds + 1),
    `${names.length} events name somebody`,
  );
  const shared = events.filter(({ ip }) => ip === null);
  t.ok(
    shared.length > 0 && shared.every(({ details }) => Number(details.sources) > 0),
    'how many share them',
  );
});
