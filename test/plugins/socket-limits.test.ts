import type { Socket } from 'node:net';
import { type Test, test } from 'tap';
import { build, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { answerOf, handshake, handshakeBytes, speak } from '../support/handshake.ts';
import { proxy } from '../support/proxy.ts';

const authorization = async (server: TestApp, user: string): Promise<Record<string, string>> => ({
  Authorization: `Bearer ${await server.token(user, 'chat')}`,
});

/** Opens a session of a user; resolves with the client, or with the status of the refusal. */
const attempt = (t: Test, server: TestApp, user: string) =>
  connect(t, server, user).catch((error: { status?: number }) => error.status);

/** Opens sessions of one user until one is refused; resolves with how many there were. */
async function fill(t: Test, server: TestApp, user: string): Promise<number> {
  for (let open = 0; ; open += 1) {
    const client = await attempt(t, server, user);
    if (typeof client === 'number') {
      t.equal(client, 429);
      return open;
    }
  }
}

test('a user may have so many sessions open, and not one more, until one is closed', async (t) => {
  const server = await build(t, { LIMIT_SESSIONS_PER_USER: '3' });
  const first = await connect(t, server, 'alice');
  t.equal(await fill(t, server, 'alice'), 2);
  const text = await answerOf(await handshake(server, '/ws', await authorization(server, 'alice')));
  t.match(text, /^HTTP\/1.1 429 [\s\S]*^retry-after: 5\r$[\s\S]*"code":"rate_limited"/im);
  await connect(t, server, 'bob');
  await first.close();
  await until('there is room again', async () => typeof (await attempt(t, server, 'alice')) !== 'number');
  t.equal(await fill(t, server, 'alice'), 0);
  await until('it is on record', async () => (await server.events('action=CONNECTION_REFUSED')).length > 0);
  t.match(await server.events('action=CONNECTION_REFUSED'), [
    { user_id: 'alice', ip: '127.0.0.1', details: { code: 'rate_limited', count: 1 } },
  ]);
});

test('an address may have so many connections open, and not one more, until one is closed', async (t) => {
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '3' });
  const alice = await connect(t, server, 'alice');
  await connect(t, server, 'bob');
  t.equal(await fill(t, server, 'carol'), 1);
  alice.socket.terminate();
  await until('there is room again', async () => typeof (await attempt(t, server, 'dave')) !== 'number');
  t.equal(await fill(t, server, 'erin'), 0);
});

test('an address may begin so many handshakes in a minute, and not one more', async (t) => {
  const server = await build(t, { LIMIT_HANDSHAKES_PER_MINUTE_IP: '3' });
  for (let number = 0; number < 3; number += 1) await (await connect(t, server, `user-${number}`)).close();
  const text = await answerOf(await handshake(server, '/ws', await authorization(server, 'alice')));
  t.match(text, /^HTTP\/1.1 429 /);
  t.match(text, /^ratelimit-policy: "handshakes";q=3;w=60\r$/im);
  t.match(
    text,
    /^ratelimit: "handshakes";r=0;t=(\d+)\r$[\s\S]*^retry-after: \1\r$|^retry-after: (\d+)\r$[\s\S]*^ratelimit: "handshakes";r=0;t=\2\r$/im,
  );
  const denied = await answerOf(await handshake(server, '/ws'));
  t.match(denied, /^HTTP\/1.1 401 /, 'who has no token is told that first');
});

test('handshakes with a made-up ticket or token count, and beyond the limit the database is not asked', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, {
    DATABASE_URL: between.url,
    LIMIT_HANDSHAKES_PER_MINUTE_IP: '6',
    TRUST_PROXY: '127.0.0.1',
  });
  const statusOf = async (headers: Record<string, string>, ip: string): Promise<number> => {
    const text = await answerOf(await handshake(server, '/ws', { ...headers, 'X-Forwarded-For': ip }));
    return Number(text.split(' ')[1]);
  };
  const ticket = { 'Sec-WebSocket-Protocol': `minutebook.v1, ticket.${'x'.repeat(43)}` };
  const token = { Authorization: 'Bearer made.up.token' };
  const good = await authorization(server, 'alice');
  const first = '192.0.2.1';
  // At once, so that none can be counted only when its answer is known.
  const statuses = await Promise.all(Array.from({ length: 8 }, () => statusOf(ticket, first)));
  t.strictSame(statuses.toSorted(), [401, 401, 401, 401, 401, 401, 429, 429]);
  let asked = false;
  between.onRequest('ticket_take', () => {
    asked = true;
  });
  t.equal(await statusOf(ticket, first), 429);
  t.notOk(asked);
  t.equal(await statusOf(token, first), 429);
  t.equal(await statusOf(good, first), 429, 'nobody knows that it is good');
  t.equal(await statusOf({}, first), 401, 'who shows nothing costs nothing');

  for (let number = 0; number < 3; number += 1) {
    t.equal(await statusOf({}, '192.0.2.2'), 401, 'and is not counted');
    t.equal(await statusOf(token, '192.0.2.2'), 401);
    await (await connect(t, server, 'bob', { headers: { 'X-Forwarded-For': '192.0.2.2' } })).close();
  }
  t.equal(await statusOf(token, '192.0.2.2'), 429, 'good and bad ones together, each once');
});

test('limits of 0 hold nobody up', async (t) => {
  const server = await build(t, {
    LIMIT_SESSIONS_PER_USER: '0',
    LIMIT_CONNECTIONS_PER_IP: '0',
    LIMIT_HANDSHAKES_PER_MINUTE_IP: '0',
  });
  const clients = await Promise.all(Array.from({ length: 40 }, () => connect(t, server, 'alice')));
  t.equal(clients.length, 40);
});

test('however a handshake ends, its place is given back, and once', async (t) => {
  const server = await build(t, { LIMIT_SESSIONS_PER_USER: '4', LIMIT_CONNECTIONS_PER_IP: '4' });
  const alice = await authorization(server, 'alice');
  /** Ends each connection in its own way, with no more than four at a time. */
  const endings: Record<string, () => Promise<unknown>> = {
    'refused after it was counted': async () => answerOf(await handshake(server, '/ws?room=%00', alice)),
    'refused before it was counted': async () => answerOf(await handshake(server, '/ws')),
    'refused by the WebSocket library': async () =>
      answerOf(await handshake(server, '/ws', { ...alice, 'Sec-WebSocket-Protocol': 'a,,b' })),
    'reset at some moment': async () => {
      const socket = await handshake(server, '/ws', alice);
      socket.on('error', () => {});
      await new Promise((resolve) => setTimeout(resolve, Math.random() * 8));
      socket.resetAndDestroy();
    },
    'reset in the middle of its head': async () => {
      const socket = await speak(server, handshakeBytes(server, '/ws', alice).slice(0, -2));
      socket.on('error', () => {});
      socket.resetAndDestroy();
    },
    'open and cut': async () => {
      const client = await attempt(t, server, 'alice');
      if (typeof client === 'object') client.socket.terminate();
    },
    'open and closed': async () => {
      const client = await attempt(t, server, 'alice');
      if (typeof client === 'object') await client.close();
    },
  };
  for (const [how, end] of Object.entries(endings)) {
    for (let round = 0; round < 10; round += 1) await Promise.all(Array.from({ length: 4 }, end));
    t.pass(how);
  }
  await until('nobody is connected', async () => {
    const { socketStats } = server.app;
    const sessions = (await (await server.get('/sessions')).json()) as { data: unknown[] };
    return socketStats().open === 0 && sessions.data.length === 0;
  });
  let open = 0;
  await until('all places are free', async () => {
    if (typeof (await attempt(t, server, 'alice')) === 'object') open += 1;
    return open === 4;
  });
  t.equal(await fill(t, server, 'alice'), 0, 'and no more than those');
});

test('a handshake whose peer goes while it is looked at takes no place', async (t) => {
  const seen = new Set<Socket>();
  const server = await build(t, { LIMIT_SESSIONS_PER_USER: '1' }, (app) => {
    // Before all other hooks, and so before the token is looked at.
    app.addHook('onRequest', async (request) => {
      if (request.headers['x-wait'] === undefined) return;
      seen.add(request.raw.socket);
      await until('the peer is gone', () => request.raw.socket.closed);
    });
  });
  const headers = { ...(await authorization(server, 'alice')), 'x-wait': 'yes' };
  const socket = await handshake(server, '/ws', headers);
  socket.on('error', () => {});
  await until('it is looked at', () => seen.size === 1);
  socket.resetAndDestroy();
  await until('it is over', () => [...seen].every(({ closed }) => closed));
  const client = await connect(t, server, 'alice');
  await client.next('welcome');
});

test('the frames of a user are counted over all sessions, and those beyond the rate are refused', async (t) => {
  const server = await build(t, { LIMIT_FRAMES_PER_SECOND_USER: '10' });
  const clients = [await connect(t, server, 'alice'), await connect(t, server, 'alice')];
  const bob = await connect(t, server, 'bob');
  for (const client of [...clients, bob]) await client.next('welcome');
  const begun = performance.now();
  for (const client of clients) {
    for (let n = 0; n < 20; n += 1) client.send({ type: 'message', text: `${n}`, ref: `${n}` });
  }
  const answers = () => clients.flatMap((client) => [...client.all('ack'), ...client.all('error')]);
  await until('all are answered', () => answers().length === 40);
  const refused = clients.flatMap((client) => client.all('error'));
  const passed = 40 - refused.length;
  const since = Math.floor(((performance.now() - begun) / 1_000) * 10);
  t.ok(passed >= 20 && passed <= 20 + since, `${passed} passed: twice the rate, and ${since} for the time`);
  for (const { code, ref } of refused) {
    t.equal(code, 'rate_limited');
    t.type(ref, 'string');
  }
  await bob.ask({ type: 'message', text: 'not held up' });
  t.match(await server.events('action=MESSAGE_REFUSED'), [
    { user_id: 'alice', message: null, details: { code: 'rate_limited', count: 1 } },
  ]);
});

test('a message in so many fragments passes, and in one more it ends the session', async (t) => {
  for (const limit of [64, 3]) {
    const server = await build(t, limit === 64 ? {} : { LIMIT_FRAGMENTS: `${limit}` });
    for (const fragments of [limit, limit + 1]) {
      const user = `with ${fragments}`;
      const client = await connect(t, server, user);
      await client.next('welcome');
      for (let n = 1; n <= fragments; n += 1) client.socket.send('x', { fin: n === fragments });
      if (fragments === limit) t.equal((await client.next('message')).text.length, fragments);
      else {
        t.equal((await client.closed).code, 1008);
        await until('it is on record', async () =>
          (await server.events('action=MESSAGE_REFUSED')).some(
            ({ user_id, details }) => user_id === user && details.code === 'bad_frame',
          ),
        );
      }
    }
  }
});

test('without a limit a message may come in any number of fragments', async (t) => {
  const server = await build(t, { LIMIT_FRAGMENTS: '0' });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  for (let n = 1; n <= 1_000; n += 1) alice.socket.send('x', { fin: n === 1_000 });
  t.equal((await alice.next('message')).text.length, 1_000);
});

test('without a limit a frame may be as long as the longest text', async (t) => {
  const server = await build(t, { LIMIT_FRAME_BYTES: '0' });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  alice.send('x'.repeat(1_000_000));
  t.equal((await alice.next('message')).text.length, 1_000_000);
});
