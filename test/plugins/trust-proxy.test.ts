import { test } from 'tap';
import { readConfig } from '../../src/config.ts';
import { build, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { handshake, head, sendRaw } from '../support/raw.ts';

/** Everything by which somebody may say who they are, or where they come from. */
const CLAIMS = {
  'x-forwarded-for': '6.6.6.6',
  'x-real-ip': '6.6.6.6',
  'x-client-ip': '6.6.6.6',
  'cf-connecting-ip': '6.6.6.6',
  'true-client-ip': '6.6.6.6',
  forwarded: 'for=6.6.6.6;host=evil.example;proto=https',
  'x-forwarded-host': 'evil.example',
  'x-forwarded-proto': 'https',
  'x-user-id': 'admin',
  'x-forwarded-user': 'admin',
  'remote-user': 'admin',
};

/** Who is on record for a read of the log that came from an address with these headers. */
async function recorded(
  { app, token, events }: TestApp,
  remoteAddress: string,
  headers: Record<string, string>,
): Promise<{ ip: string | null; user_id: string | null } | undefined> {
  const authorization = `Bearer ${await token('carol', 'audit:read')}`;
  await app.inject({ url: '/audit?limit=1', remoteAddress, headers: { authorization, ...headers } });
  const [last] = (await events('user_id=carol')).slice(-1);
  return last === undefined ? undefined : { ip: last.ip, user_id: last.user_id };
}

test('without TRUST_PROXY no header says who or where somebody is', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { headers: CLAIMS });
  await alice.next('welcome');
  t.match(await server.events('action=CONNECTED'), [{ ip: '127.0.0.1', user_id: 'alice' }]);
  t.strictSame(await recorded(server, '192.0.2.7', CLAIMS), { ip: '192.0.2.7', user_id: 'carol' });
  t.strictSame(
    await recorded(server, '::ffff:10.0.0.1', CLAIMS),
    { ip: '10.0.0.1', user_id: 'carol' },
    'an address has one spelling',
  );
  const { headers } = await sendRaw(server.url, head('GET /health/live', CLAIMS));
  t.equal(headers['strict-transport-security'], undefined, 'nor is it taken for secure');
  t.equal((await sendRaw(server.url, head('GET /audit', CLAIMS))).status, 401);
});

test('of the proxies in TRUST_PROXY, and of no others, X-Forwarded-For is believed, up to the first stranger', async (t) => {
  const server = await build(t, { TRUST_PROXY: '10.0.0.0/8, 2001:db8::/32' });
  for (const [peer, forwardedFor, ip] of [
    ['10.1.2.3', '192.0.2.7', '192.0.2.7'],
    ['::ffff:10.1.2.3', '192.0.2.7', '192.0.2.7'],
    ['2001:db8::7', '192.0.2.7', '192.0.2.7'],
    ['10.1.2.3', '6.6.6.6, 192.0.2.7', '192.0.2.7'],
    ['10.1.2.3', '6.6.6.6, 192.0.2.7, 10.9.9.9', '192.0.2.7'],
    ['10.1.2.3', '6.6.6.6, 192.0.2.7, ::ffff:10.9.9.9', '192.0.2.7'],
    ['10.1.2.3', '::ffff:192.0.2.7', '192.0.2.7'],
    ['10.1.2.3', '2001:DB9:0::1', '2001:db9::1'],
    ['10.1.2.3', '10.9.9.9', '10.9.9.9'],
    ['10.1.2.3', '6.6.6.6:1, 192.0.2.7:4711, 10.9.9.9:4711', '192.0.2.7'],
    ['10.1.2.3', '[2001:db9::1]:4711', '2001:db9::1'],
    // What a proxy passes on is no address: then none is known.
    ['10.1.2.3', 'unknown', null],
    ['10.1.2.3', 'x"}\u009b2J', null],
    // Strangers, close by or in the other family's clothes.
    ['11.1.2.3', '6.6.6.6', '11.1.2.3'],
    ['::ffff:11.1.2.3', '6.6.6.6', '11.1.2.3'],
    ['127.0.0.1', '6.6.6.6', '127.0.0.1'],
    ['2001:db9::1', '6.6.6.6', '2001:db9::1'],
    ['::10.1.2.3', '6.6.6.6', '::a01:203'],
    ['64:ff9b::10.1.2.3', '6.6.6.6', '64:ff9b::a01:203'],
  ] as const) {
    const seen = await recorded(server, peer, { ...CLAIMS, 'x-forwarded-for': forwardedFor });
    t.strictSame(seen, { ip, user_id: 'carol' }, `${peer}: ${forwardedFor}`);
  }
});

test('addresses with ports are told apart, and who is not told counts as the proxy that does not tell', async (t) => {
  const server = await build(t, {
    LIMIT_HANDSHAKES_PER_MINUTE_IP: '2',
    TRUST_PROXY: '127.0.0.1, 10.0.0.0/8',
  });
  const statusOf = async (forwardedFor: string): Promise<number> => {
    const headers = { authorization: 'Bearer made.up.token', 'x-forwarded-for': forwardedFor };
    return (await sendRaw(server.url, handshake('/ws', headers))).status;
  };
  for (const ip of ['192.0.2.1', '192.0.2.2', '[2001:db9::1]', '[2001:db9:0:1::1]']) {
    for (const port of [1, 2]) t.equal(await statusOf(`${ip}:${port}`), 401, ip);
    t.equal(await statusOf(`${ip}:3`), 429, ip);
  }
  for (const proxy of ['10.0.0.1', '10.0.0.2']) {
    for (const name of ['unknown', '_hidden']) t.equal(await statusOf(`${name}, ${proxy}`), 401, proxy);
    t.equal(await statusOf(`secret, ${proxy}:80`), 429, proxy);
  }
  const refused = await server.events('action=CONNECTION_REFUSED');
  t.strictSame(
    refused.filter(({ details }) => details.code === 'unauthenticated').map(({ ip }) => ip),
    ['192.0.2.1', '192.0.2.2', '2001:db9::1', '2001:db9:0:1::1', null, null],
    'one event for each, and no address where none is known',
  );
});

test('a path that cannot be read is on record with the address that the proxy tells', async (t) => {
  const server = await build(t, { TRUST_PROXY: '127.0.0.1' });
  t.equal((await sendRaw(server.url, head('GET /%zz', { 'x-forwarded-for': '192.0.2.7' }))).status, 400);
  await until('it is on record', async () => (await server.events('ip=192.0.2.7')).length === 1);
});

test('a range of IPv6 never lets all of IPv4 in', async (t) => {
  for (const range of ['::/1', '::ffff:10.0.0.1']) {
    const server = await build(t, { TRUST_PROXY: range });
    for (const peer of ['192.0.2.7', '::ffff:192.0.2.7']) {
      const seen = await recorded(server, peer, CLAIMS);
      t.strictSame(seen, { ip: '192.0.2.7', user_id: 'carol' }, `${range}: ${peer}`);
    }
    await server.app.close();
  }
  for (const range of [
    '::ffff:10.0.0.0/8',
    '::ffff:10.0.0.0/104',
    '::ffff:a00:0/1',
    '0:0:0:0:0:FFFF:0:0/96',
  ]) {
    t.throws(
      () => readConfig({ TRUST_PROXY: range }),
      { message: `TRUST_PROXY: “${range}” is a network of IPv4; write it as such, like 10.0.0.0/8.` },
      range,
    );
  }
});

test('no header stands in for Host or Origin, not even a trusted proxy’s', async (t) => {
  const development = await build(t, { JWT_SECRET: '', TRUST_PROXY: '127.0.0.1' });
  const host = (headers: Record<string, string>) =>
    sendRaw(development.url, head('GET /health/live', headers)).then(({ status }) => status);
  t.equal(await host({ ...CLAIMS }), 200);
  t.equal(
    await host({ host: 'evil.example', 'x-forwarded-host': 'localhost', forwarded: 'host=localhost' }),
    403,
  );

  const server = await build(t, { TRUST_PROXY: '127.0.0.1' });
  const authorization = `Bearer ${await server.token('alice', 'chat')}`;
  const origin = 'https://evil.example';
  for (const headers of [CLAIMS, { host: 'evil.example' }, { 'x-forwarded-port': '443' }]) {
    const answer = await sendRaw(server.url, handshake('/ws', { authorization, origin, ...headers }));
    t.equal(answer.status, 403, JSON.stringify(headers));
  }
});

test('behind a trusted proxy that ends TLS, answers are for secure connections', async (t) => {
  const server = await build(t, { TRUST_PROXY: '127.0.0.1' });
  const hsts = async (headers: Record<string, string>) =>
    (await sendRaw(server.url, head('GET /health/live', headers))).headers['strict-transport-security'];
  t.match(await hsts({ 'x-forwarded-proto': 'https' }), /^max-age=/);
  t.equal(await hsts({ 'x-forwarded-proto': 'http' }), undefined);
  t.equal(
    await hsts({ 'x-forwarded-proto': 'https, http' }),
    undefined,
    'the last one is the proxy’s own word',
  );
  t.equal(await hsts({}), undefined);
});
