import type { Socket } from 'node:net';
import { type Test, test } from 'tap';
import { build, type TestApp } from '../support/app.ts';
import { until } from '../support/client.ts';
import { type Answer, handshakeOf, RawClient } from '../support/raw-client.ts';

/** A refusal a second, and two at once. */
const SLOW = { LIMIT_REFUSALS_PER_SECOND_IP: '1' };
const BURST = 2;
/** So many refusals of one address may wait. */
const MAX_WAITING = 1_000;

const request = (path: string, headers: Record<string, string> = {}): string =>
  `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${Object.entries(headers)
    .map((pair) => `${pair.join(': ')}\r\n`)
    .join('')}\r\n`;
const LIVE = request('/health/live');
const DENIED = request('/audit', { Authorization: 'Bearer made-up' });
const denied = (from: string): string => DENIED.replace('\r\n\r\n', `\r\nX-Forwarded-For: ${from}\r\n\r\n`);

/** A connection from an address of this machine; cut when the test ends. */
function open(t: Test, { url }: TestApp, address = '127.0.0.1'): RawClient {
  const client = new RawClient(url, 30_000, address);
  t.teardown(() => client.socket.destroy());
  return client;
}

async function ask(client: RawClient, text: string): Promise<Answer> {
  await client.write(text);
  return client.answer();
}

/** How many refusals the server has seen, waiting or not. */
const refusals = ({ app }: TestApp): number =>
  [...app.refusalCounts()].reduce((sum, { count }) => sum + count, 0);

/** Asks for something that is refused as often as this is answered at once. */
async function useBurst(client: RawClient, text: string): Promise<void> {
  for (let n = 0; n < BURST; n += 1) t401((await ask(client, text)).status);
}
function t401(status: number): void {
  if (status !== 401) throw new Error(`answered ${status}`);
}

/** Asks for something that is refused, and returns when that is so; its answer may wait. */
async function askInVain(server: TestApp, client: RawClient, text: string | Buffer): Promise<void> {
  const before = refusals(server);
  await client.write(text);
  await until('it is refused', () => refusals(server) > before);
}

/** How many refusals are on record as such actions, once the server has ended. */
async function onRecord(t: Test, server: TestApp, ...actions: string[]): Promise<number> {
  await server.app.close();
  const after = await build(t, { DATABASE_URL: server.databaseUrl });
  const events = await Promise.all(actions.map((action) => after.events(`action=${action}`)));
  return events.flat().reduce((sum, { details }) => sum + Number(details.count), 0);
}

test('as many refusals as may come at once are prompt; the next waits, and nothing else does', async (t) => {
  const server = await build(t, SLOW);
  const client = open(t, server);
  const startedAt = performance.now();
  await useBurst(client, DENIED);
  await askInVain(server, client, DENIED);
  t.equal((await ask(open(t, server), LIVE)).status, 200, 'who is not refused does not wait');
  t.equal((await ask(open(t, server, '127.0.0.2'), DENIED)).status, 401, 'nor does another address');
  t.equal(client.unread.length, 0);
  const { status, head } = await client.answer();
  t.equal(status, 401);
  t.ok(performance.now() - startedAt > 990, 'one a second');
  t.match(head, /^connection: close\r$/im);
  await client.end();
});

test('every kind of refusal waits, and is the last of its connection', async (t) => {
  const server = await build(t, SLOW);
  const kinds: [string, string, number][] = [
    ['an address that is not there', request('/nowhere'), 404],
    ['an address that cannot be read', request('/%zz'), 400],
    ['a parameter that is not valid', request('/health/live?x=1'), 400],
    ['two hosts', LIVE.replace('\r\n\r\n', '\r\nHost: other\r\n\r\n'), 400],
    ['a handshake without a token', handshakeOf(server.url), 401],
    ['a request that is no handshake', request('/ws'), 426],
    ['bytes that are no request', 'hello\r\n\r\n', 400],
  ];
  for (const [index, [what, text, expected]] of kinds.entries()) {
    const address = `127.0.0.${10 + index}`;
    await useBurst(open(t, server, address), DENIED);
    const client = open(t, server, address);
    await client.write(text);
    t.equal((await ask(open(t, server), LIVE)).status, 200);
    t.equal(client.unread.length, 0, `${what} waits`);
    const { status, head } = await client.answer();
    t.equal(status, expected, what);
    t.match(head, /^connection: (upgrade, )?close\r$/im);
    await client.end();
  }
});

test('what stands behind a refusal that waits is not looked at, and its connection is closed', async (t) => {
  const server = await build(t, SLOW);
  const client = open(t, server);
  await useBurst(client, DENIED);
  await askInVain(server, client, DENIED + DENIED + LIVE + handshakeOf(server.url));
  await client.write(DENIED.repeat(5));
  t.equal((await client.answer()).status, 401);
  await client.end();
  t.equal(client.unread.length, 0);
  t.equal(refusals(server), BURST + 1);
});

test('who sends very much behind a refusal that waits is cut at once', async (t) => {
  const server = await build(t, SLOW);
  const client = open(t, server);
  await useBurst(client, DENIED);
  await askInVain(server, client, DENIED.repeat(100));
  await client.end();
  t.equal(client.unread.length, 0);
  t.equal(refusals(server), BURST + 2, 'that is on record as well');
});

test('what is no request, behind a refusal that waits, is not answered', async (t) => {
  const server = await build(t, SLOW);
  const client = open(t, server);
  await useBurst(client, DENIED);
  await askInVain(server, client, `${DENIED}garbage\r\n\r\n`);
  t.equal((await client.answer()).status, 401);
  await client.end();
  t.equal(client.unread.length, 0);
});

test('nothing is read behind a refusal that waits, nor its end, also where no route was asked for', async (t) => {
  const server = await build(t, SLOW);
  await useBurst(open(t, server), DENIED);
  for (const text of [DENIED, request('/%zz'), request('/%zz') + LIVE]) {
    const ours = new Promise<Socket>((resolve) => server.app.server.once('connection', resolve));
    const client = open(t, server);
    await askInVain(server, client, text);
    const { bytesRead } = await ours;
    await client.write('x'.repeat(5_000));
    client.socket.end();
    t.ok((await client.answer()).status >= 400, 'its answer comes');
    t.equal((await ours).bytesRead, bytesRead);
    await client.end();
  }
});

test('a refused handshake waits for longer than a handshake may take', async (t) => {
  const server = await build(t, { ...SLOW, LIMIT_HANDSHAKE_SECONDS: '1' });
  await useBurst(open(t, server), DENIED);
  const clients = Array.from({ length: 3 }, () => open(t, server));
  for (const client of clients) await askInVain(server, client, handshakeOf(server.url));
  for (const client of clients) t.equal((await client.answer()).status, 401);
});

test('nothing is begun behind an answer that closes its connection', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('alice', 'chat')}`;
  const client = open(t, server);
  await client.write(request('/ws', { authorization }) + request('/audit/me', { authorization }));
  t.equal((await client.answer()).status, 426);
  await client.end();
  t.equal(client.unread.length, 0);
  t.strictSame(await server.events('action=AUDIT_READ&user_id=alice'), []);
});

test('what is no request, behind an answer that has begun, ends the connection without another word', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  const client = open(t, server);
  await client.write(request('/audit/stream', { authorization }));
  t.equal((await client.answer(false)).status, 200);
  await client.write('garbage\r\n\r\n');
  await client.end();
  t.notMatch(client.unread.toString(), /HTTP\/1\.1/);
  await until('it is on record', () => refusals(server) === 1);
});

test('the deadline of a long answer is not that of the next one', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  const ours = new Promise<Socket>((resolve) => server.app.server.once('connection', resolve));
  const client = open(t, server);
  await client.write(request('/openapi.json') + request('/audit/stream', { authorization }));
  t.equal((await client.answer()).status, 200);
  t.equal((await client.answer(false)).status, 200);
  t.equal((await ours).timeout, 0);
});

test('what comes in one piece is answered whole and in its order, one after the other', async (t) => {
  const server = await build(t);
  const client = open(t, server);
  const paths = Array.from({ length: 17 }, (_, n) => (n % 3 === 0 ? '/health/live' : '/openapi.json'));
  await client.write(paths.map((path) => request(path)).join(''));
  for (const path of paths) {
    const { status, body } = await client.answer();
    t.equal(status, 200);
    if (!body.includes(path === '/health/live' ? 'live' : 'openapi')) t.fail(`${path} out of order`);
  }
  t.equal((await ask(client, LIVE)).status, 200, 'and the connection goes on');
  await client.write(LIVE + handshakeOf(server.url));
  t.equal((await client.answer()).status, 200);
  t.equal(
    (await client.answer()).status,
    426,
    'a handshake that does not wait for the answer before it is none',
  );
});

test('who does not wait for the answer holds a place until its turn, and is on record', async (t) => {
  const server = await build(t, { ...SLOW, LIMIT_CONNECTIONS_PER_IP: '3' });
  const first = open(t, server);
  await useBurst(first, DENIED);
  first.reset();
  for (let n = 0; n < 2; n += 1) {
    const client = open(t, server);
    await askInVain(server, client, DENIED);
    client.reset();
  }
  const late = open(t, server);
  await late.write(LIVE);
  await late.end();
  t.notMatch(late.unread.toString(), /^HTTP\/1.1 200/, 'there is no room');
  t.equal((await ask(open(t, server, '127.0.0.2'), LIVE)).status, 200, 'but for others');
  await until('there is room again', () =>
    ask(open(t, server), LIVE).then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
  t.equal(await onRecord(t, server, 'ACCESS_DENIED'), BURST + 2);
});

test('who is cut for too many requests holds a place until its turn, too', async (t) => {
  const server = await build(t, { ...SLOW, LIMIT_CONNECTIONS_PER_IP: '2' });
  for (let n = 0; n < 2; n += 1) {
    const client = open(t, server);
    if (n === 0) await useBurst(client, DENIED);
    await askInVain(server, client, LIVE.repeat(100));
    await client.end();
  }
  const late = open(t, server);
  await late.write(LIVE);
  await late.end();
  t.notMatch(late.unread.toString(), /^HTTP\/1.1 200/, 'there is no room');
  await until('there is room again', () =>
    ask(open(t, server), LIVE).then(
      ({ status }) => status === 200,
      () => false,
    ),
  );
});

test('when the server closes, all that wait are answered at once, and on record', async (t) => {
  const server = await build(t, SLOW);
  await useBurst(open(t, server), DENIED);
  const clients = Array.from({ length: 60 }, () => open(t, server));
  for (const client of clients) await askInVain(server, client, DENIED);
  const handshake = open(t, server);
  await askInVain(server, handshake, handshakeOf(server.url));
  const startedAt = performance.now();
  const [recorded, ...answers] = await Promise.all([
    onRecord(t, server, 'ACCESS_DENIED', 'CONNECTION_REFUSED'),
    ...[...clients, handshake].map((client) => client.answer()),
  ]);
  t.ok(answers.every(({ status }) => status === 401));
  t.equal(recorded, BURST + 61);
  t.ok(performance.now() - startedAt < 10_000, 'within ten seconds');
});

test('0 switches it off', async (t) => {
  const server = await build(t, { LIMIT_REFUSALS_PER_SECOND_IP: '0' });
  const client = open(t, server);
  for (let n = 0; n < 300; n += 1) t401((await ask(client, DENIED)).status);
  t.equal((await ask(client, LIVE)).status, 200);
});

test('behind a trusted proxy the address that it tells counts, and of one too many are refused unread', async (t) => {
  const server = await build(t, { ...SLOW, TRUST_PROXY: '127.0.0.1', LIMIT_CONNECTIONS_PER_IP: '0' });
  const flood = denied('192.0.2.1');
  await useBurst(open(t, server), flood);
  const clients = Array.from({ length: MAX_WAITING }, () => open(t, server));
  for (const client of clients) await client.write(flood);
  await until('they wait', () => refusals(server) === BURST + MAX_WAITING);
  t.equal((await ask(open(t, server), denied('192.0.2.2'))).status, 401);
  for (const text of [
    flood,
    request('/health/live', { 'X-Forwarded-For': '192.0.2.1' }),
    handshakeOf(server.url, { 'X-Forwarded-For': '192.0.2.1' }),
  ]) {
    // Some have had their turn meanwhile.
    for (let n = 0; n < 5; n += 1) await askInVain(server, open(t, server), flood);
    const client = open(t, server);
    const { status, head, body } = await ask(client, text);
    t.equal(status, 429);
    t.match(head, /^connection: close\r$/im);
    t.match(head, /^retry-after: 5\r$/im);
    t.match(JSON.parse(body), { code: 'rate_limited' });
    await client.end();
  }
  t.ok((await onRecord(t, server, 'REQUEST_REFUSED')) >= 3);
});
