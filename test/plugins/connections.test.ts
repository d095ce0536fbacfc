import { connect as connectTls } from 'node:tls';
import { type Test, test } from 'tap';
import { build, type TestApp } from '../support/app.ts';
import { makeCertificate } from '../support/certificate.ts';
import { connect, until } from '../support/client.ts';
import { head, sendRaw } from '../support/raw.ts';
import { type Answer, RawClient } from '../support/raw-client.ts';

const LIVE = 'GET /health/live HTTP/1.1\r\nHost: localhost\r\n\r\n';
/** As many connections beyond its limit may wait for a moment to be told so. */
const LATE = 10;

/** Opens a connection that asks for nothing yet; cut when the test ends. */
function open(t: Test, { url }: TestApp): RawClient {
  const client = new RawClient(url);
  t.teardown(() => client.socket.destroy());
  return client;
}

/** Asks over a connection, and so sees that the server has accepted it, and all that were opened before. */
async function ask(client: RawClient): Promise<Answer> {
  await client.write(LIVE);
  return client.answer();
}

test('an address may have so many connections open, used or not, and one more is told so and closed', async (t) => {
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '3' });
  const [first, , third] = [open(t, server), open(t, server), open(t, server)];
  t.equal((await ask(third)).status, 200);
  const fourth = open(t, server);
  const { status, head: text, body } = await ask(fourth);
  t.equal(status, 429);
  t.match(text, /^connection: close\r$/im);
  t.match(text, /^retry-after: 5\r$/im);
  t.match(JSON.parse(body), { code: 'rate_limited' });
  await fourth.end();
  await t.rejects(connect(t, server, 'alice'), { message: 'refused: 429' });
  t.equal((await ask(third)).status, 200, 'those within the limit are served');

  first.reset();
  await until('there is room again', async () => (await ask(open(t, server))).status === 200);
  t.equal((await ask(open(t, server))).status, 429, 'for one');
});

test('of more connections beyond the limit a few may wait for a moment, and the others are closed at once', async (t) => {
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '2' });
  const within = [open(t, server), open(t, server)];
  const late = Array.from({ length: LATE }, () => open(t, server));
  const others = Array.from({ length: 5 }, () => open(t, server));
  await Promise.all(others.map((client) => client.end()));
  t.notOk([...within, ...late].some(({ ended }) => ended));
  await Promise.all(late.map((client) => client.end()));
  t.ok([...others, ...late].every(({ unread }) => unread.length === 0));
  for (const client of within) t.equal((await ask(client)).status, 200);
  for (const client of within) client.reset();
  let told = 0;
  await until('all places are free', async () => {
    const { status } = await ask(open(t, server));
    if (status === 429) told += 1;
    return status === 200;
  });
  await server.app.close();
  const after = await build(t, { DATABASE_URL: server.databaseUrl });
  const refused = await after.events('action=REQUEST_REFUSED&ip=127.0.0.1');
  t.equal(
    refused.reduce((sum, { details }) => sum + Number(details.count), 0),
    5 + told,
    'those that were closed are on record',
  );
  t.ok(refused.every(({ details }) => details.code === 'rate_limited'));
});

test('a WebSocket is one connection, from the accepted socket to its close', async (t) => {
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '3' });
  const sessions = [await connect(t, server, 'alice'), await connect(t, server, 'bob')];
  const third = open(t, server);
  t.equal((await ask(third)).status, 200);
  t.equal((await ask(open(t, server))).status, 429);
  for (const session of sessions) await session.close();
  await until('there is room again', async () => (await ask(open(t, server))).status === 200);
});

test('under TLS connections count as well, also those that never agree on a key', async (t) => {
  const { cert, key, ca } = await makeCertificate(t);
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '2', TLS_CERT: cert, TLS_KEY: key });
  const statusOf = async (): Promise<number> =>
    (await sendRaw(server.url, head('GET /health/live'), { ca })).status;
  t.equal(await statusOf(), 200);
  const silent = open(t, server);
  const agreed = connectTls({ host: '127.0.0.1', port: Number(new URL(server.url).port), ca });
  t.teardown(() => agreed.destroy());
  await new Promise((resolve) => agreed.once('secureConnect', resolve));
  t.equal(await statusOf(), 429);
  for (let n = 0; n < LATE; n += 1) open(t, server);
  t.equal(await statusOf(), 0, 'and those beyond are closed');
  silent.reset();
  agreed.destroy();
  await until('all places are free', async () => (await statusOf()) === 200);
});

test('the connections of a trusted proxy are not counted, but the WebSockets of whoever is behind it', async (t) => {
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '2', TRUST_PROXY: '127.0.0.1' });
  const clients = Array.from({ length: 20 }, () => open(t, server));
  for (const client of clients) t.equal((await ask(client)).status, 200);
  const from = (ip: string) => connect(t, server, 'alice', { headers: { 'x-forwarded-for': ip } });
  const first = await from('192.0.2.1');
  await from('192.0.2.1');
  await t.rejects(from('192.0.2.1'), { message: 'refused: 429' });
  await from('192.0.2.2');
  await first.close();
  await until('there is room again', () =>
    from('192.0.2.1').then(
      () => true,
      () => false,
    ),
  );
  await t.rejects(from('192.0.2.1'), { message: 'refused: 429' }, 'for one');
});

test('without a limit connections are not counted', async (t) => {
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '0' });
  const clients = Array.from({ length: 50 }, () => open(t, server));
  for (const client of clients) t.equal((await ask(client)).status, 200);
});

test('a connection that asks for nothing more is closed after some ten seconds', async (t) => {
  const server = await build(t);
  const client = open(t, server);
  t.equal((await ask(client)).status, 200);
  const startedAt = performance.now();
  await client.end();
  const seconds = (performance.now() - startedAt) / 1_000;
  t.ok(seconds > 9 && seconds < 15, `after ${seconds} s`);
});
