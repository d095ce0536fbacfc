import { readdir } from 'node:fs/promises';
import { request } from 'node:http';
import { SignJWT } from 'jose';
import { test } from 'tap';
import { WebSocket } from 'ws';
import { build, problemIn, SECRET, type TestApp, temporaryFolder } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { makeKey, signWith } from '../../support/issuer.ts';
import { query } from '../../support/postgres.ts';

type Claims = Record<string, unknown>;

const sign = (claims: Claims, { secret = SECRET, alg = 'HS256' } = {}): Promise<string> =>
  new SignJWT(claims).setProtectedHeader({ alg }).sign(new TextEncoder().encode(secret));

const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');
const good: Claims = { sub: 'eve', scope: 'audit:read chat', exp: inSeconds(600) };

/** Everything that is no valid token here. */
async function badTokens(): Promise<[what: string, authorization: string | undefined][]> {
  const token = await sign(good);
  const [header, payload, signature] = token.split('.');
  return [
    ['none', undefined],
    ['empty', ''],
    ['another scheme', 'Basic YTpi'],
    ['no token', 'Bearer'],
    ['not a JWT', 'Bearer abc'],
    ['two tokens', `Bearer ${token} ${token}`],
    ['another key', `Bearer ${await sign(good, { secret: 'x'.repeat(40) })}`],
    ['another algorithm', `Bearer ${await sign(good, { secret: 'y'.repeat(64), alg: 'HS512' })}`],
    ['alg none', `Bearer ${encode({ alg: 'none' })}.${payload}.`],
    ['alg none, signed', `Bearer ${encode({ alg: 'none' })}.${payload}.${signature}`],
    ['a changed payload', `Bearer ${header}.${encode({ ...good, scope: 'admin' })}.${signature}`],
    ['unknown crit', `Bearer ${encode({ alg: 'HS256', crit: ['x'], x: 1 })}.${payload}.${signature}`],
    ['no exp', `Bearer ${await sign({ sub: 'eve', scope: 'audit:read' })}`],
    ['expired', `Bearer ${await sign({ ...good, exp: inSeconds(-120) })}`],
    ['not yet valid', `Bearer ${await sign({ ...good, nbf: inSeconds(120) })}`],
    ['no sub', `Bearer ${await sign({ scope: 'audit:read', exp: inSeconds(600) })}`],
    ['sub with a control character', `Bearer ${await sign({ ...good, sub: 'a\nb' })}`],
    ['sub too long', `Bearer ${await sign({ ...good, sub: 'x'.repeat(129) })}`],
    ['scope as a list', `Bearer ${await sign({ ...good, scope: ['audit:read'] })}`],
    ['rooms as text', `Bearer ${await sign({ ...good, rooms: 'desk' })}`],
  ];
}

const getWith = (server: TestApp, authorization: string | undefined) =>
  server.get('/audit', authorization === undefined ? {} : { authorization });

test('without a valid token: 401 as a problem, no data, on record as ACCESS_DENIED', async (t) => {
  const server = await build(t);
  for (const [what, authorization] of await badTokens()) {
    const answer = await getWith(server, authorization);
    t.equal(answer.status, 401, what);
    t.equal(answer.headers.get('www-authenticate'), 'Bearer', what);
    t.match(await problemIn(answer), { code: 'unauthenticated' }, what);
  }
  await until('it is on record', async () => (await server.events('action=ACCESS_DENIED')).length > 0);
  const denied = await server.events('action=ACCESS_DENIED');
  t.equal(denied.length, 1, 'the repeats are folded');
  t.match(denied, [
    { user_id: null, ip: '127.0.0.1', details: { code: 'unauthenticated', route: '/audit', method: 'GET' } },
  ]);
});

test('within a minute of expiry or of becoming valid, clocks may differ', async (t) => {
  const server = await build(t);
  for (const claims of [{ exp: inSeconds(-30) }, { nbf: inSeconds(30) }]) {
    const token = await sign({ ...good, ...claims });
    t.equal((await getWith(server, `Bearer ${token}`)).status, 200, JSON.stringify(claims));
  }
});

test('without the right: 403 as a problem, on record with who it was; nothing of the answer leaks', async (t) => {
  const server = await build(t);
  for (const [user, scope] of [
    ['chatter', 'chat'],
    ['nothing', ''],
    ['nearly', 'audit:reader xaudit:read AUDIT:READ'],
  ] as const) {
    const token = await sign({ ...good, sub: user, scope });
    for (const path of ['/audit', '/audit/0', '/audit/actions', '/audit?acton=x']) {
      const answer = await server.get(path, { authorization: `Bearer ${token}` });
      t.equal(answer.status, 403, `${user} ${path}: the right comes before the parameters`);
      t.match(await problemIn(answer), { code: 'forbidden' });
    }
    await until('it is on record', async () => (await server.events(`user_id=${user}`)).length > 0);
    t.match(await server.events(`user_id=${user}&action=ACCESS_DENIED`), [
      { details: { code: 'forbidden', route: '/audit' } },
    ]);
  }
  t.strictSame(await server.events('action=AUDIT_READ&user_id=chatter'), []);
});

test('issuer and audience are asked for when they are configured', async (t) => {
  const server = await build(t, { JWT_ISSUER: 'https://login.example.org', JWT_AUDIENCE: 'minutebook' });
  const both = { iss: 'https://login.example.org', aud: 'minutebook' };
  t.equal((await getWith(server, `Bearer ${await sign({ ...good, ...both })}`)).status, 200);
  t.equal(
    (await getWith(server, `Bearer ${await sign({ ...good, ...both, aud: ['x', 'minutebook'] })}`)).status,
    200,
  );
  for (const claims of [
    {},
    { iss: both.iss },
    { aud: both.aud },
    { ...both, aud: 'x' },
    { ...both, iss: 'x' },
  ]) {
    const answer = await getWith(server, `Bearer ${await sign({ ...good, ...claims })}`);
    t.equal(answer.status, 401, JSON.stringify(claims));
  }
});

test('a WebSocket handshake is refused before the upgrade, and on record as CONNECTION_REFUSED', async (t) => {
  const server = await build(t);
  const refusedWith = async (options: Parameters<typeof connect>[3], status: number, what: string) =>
    t.rejects(connect(t, server, 'eve', options), { message: `refused: ${status}` }, what);
  await refusedWith({ token: 'abc' }, 401, 'no valid token');
  await refusedWith({ token: await sign({ ...good, scope: 'audit:read' }) }, 403, 'no chat scope');
  await refusedWith({ query: 'user=admin' }, 400, 'user= is for development mode');
  for (const origin of [
    'https://evil.example',
    'null',
    `${server.url}.evil.example`,
    server.url.replace('http', 'https'),
    `${server.url}/`,
  ]) {
    await refusedWith({ headers: { origin } }, 403, origin);
  }
  await until(
    'they are on record',
    async () => (await server.events('action=CONNECTION_REFUSED')).length >= 4,
  );
  const events = await server.events('action=CONNECTION_REFUSED');
  t.strictSame(
    events.map(({ details }) => details.code).toSorted(),
    ['forbidden', 'invalid_parameter', 'origin_not_allowed', 'unauthenticated'],
    'one event for each code',
  );
  t.strictSame(await server.events('action=CONNECTED'), []);
  const own = await connect(t, server, 'alice', { headers: { origin: server.url } });
  await own.next('welcome');
});

test('ALLOWED_ORIGINS is compared to the letter', async (t) => {
  const server = await build(t, { ALLOWED_ORIGINS: 'https://app.example.com, https://b.example' });
  const allowed = await connect(t, server, 'alice', { headers: { origin: 'https://app.example.com' } });
  await allowed.next('welcome');
  for (const origin of [
    'https://app.example.com.evil.io',
    'https://evil.io/?https://app.example.com',
    'https://APP.example.com',
    'https://app.example.com:443',
    'http://app.example.com',
    'null',
    server.url,
  ]) {
    await t.rejects(connect(t, server, 'eve', { headers: { origin } }), { message: 'refused: 403' }, origin);
  }
});

test('plain HTTP at the WebSocket’s address is told what to do', async (t) => {
  const server = await build(t);
  const answer = await server.get('/ws');
  t.equal(answer.status, 426);
  t.match(await problemIn(answer), { code: 'upgrade_required' });
});

test('in development mode a name is enough to chat, and only to chat', async (t) => {
  const server = await build(t, { JWT_SECRET: '' });
  const alice = await connect(t, server, 'alice', {
    query: 'user=alice',
    headers: { authorization: '' },
  }).catch(() => undefined);
  t.equal(alice, undefined, 'an empty Authorization header is not none');
  const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws?user=alice`);
  t.teardown(() => socket.terminate());
  const [first] = await new Promise<[Buffer]>((resolve) =>
    socket.once('message', (data: Buffer) => resolve([data])),
  );
  t.match(JSON.parse(first.toString()), { type: 'welcome', user_id: 'alice' });
  t.equal((await server.get('/audit?user_id=alice', {})).status, 401, 'the log needs a token here as well');
});

test('in development mode only loopback names are served, so that no web page can rebind to us', async (t) => {
  const server = await build(t, { JWT_SECRET: '' });
  const { port } = new URL(server.url);
  const statusFor = (host: string): Promise<number> =>
    new Promise((resolve, reject) => {
      request({ port, host: '127.0.0.1', path: '/health/live', headers: { host } }, (response) => {
        response.resume();
        resolve(response.statusCode ?? 0);
      })
        .on('error', reject)
        .end();
    });
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '[::1]', `localhost:${port}`]) {
    t.equal(await statusFor(host), 200, host);
  }
  for (const host of [
    'evil.example',
    'localhost.evil.example',
    '127.evil.example',
    '127.0.0.1.evil.example',
  ]) {
    t.equal(await statusFor(host), 403, host);
  }
});

test('with a public key alone the server takes tokens by that key, and makes none', async (t) => {
  const key = makeKey('RS256');
  const dataDir = await temporaryFolder(t);
  const server = await build(t, { JWT_SECRET: '', JWT_PUBLIC_KEY: key.publicPem, DATA_DIR: dataDir });
  t.equal(server.app.auth.development, false);
  await t.rejects(server.token('alice', 'chat'), /nothing to sign tokens with/);
  t.strictSame(await readdir(dataDir), [], 'not even a key for it');
  const token = await signWith(key);
  const alice = await connect(t, server, 'alice', { token });
  await alice.next('welcome');
  for (const authorization of [
    `Bearer ${await sign(good, { secret: key.publicPem })}`,
    `Bearer ${await sign(good)}`,
  ]) {
    t.equal((await getWith(server, authorization)).status, 401);
    await t.rejects(connect(t, server, 'eve', { token: authorization.slice(7) }), {
      message: 'refused: 401',
    });
  }
  const name = new WebSocket(`${server.url.replace('http', 'ws')}/ws?user=alice`);
  const status = await new Promise((resolve) =>
    name.on('error', () => {}).on('unexpected-response', (_request, { statusCode }) => resolve(statusCode)),
  );
  t.equal(status, 401, 'and this is no development mode');
  const refusals = (): Promise<{ action: string }[]> =>
    query(
      server.databaseUrl,
      `select action from audit_event where details->>'code' = 'unauthenticated' order by action`,
    );
  await until('both kinds are on record', async () => (await refusals()).length >= 2);
  t.strictSame(await refusals(), [{ action: 'ACCESS_DENIED' }, { action: 'CONNECTION_REFUSED' }]);
});
