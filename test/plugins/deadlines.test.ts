import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'tap';
import { type Db, openPool } from '../../db/client.ts';
import { Deadline } from '../../db/deadline.ts';
import { build, problemIn, type TestApp } from '../support/app.ts';
import { makeCertificate } from '../support/certificate.ts';
import { connect, until } from '../support/client.ts';
import { handshakeBytes } from '../support/handshake.ts';
import { proxy } from '../support/proxy.ts';
import { RawClient } from '../support/raw-client.ts';
import { makeSlow, readSlowly } from '../support/slow-log.ts';

const SECOND_MS = 1_000;
/** Who is late is looked for every second, and has to be told. */
const LATE_MS = 3 * SECOND_MS;
/** Clocks of timers and of the system may differ by as much. */
const CLOCKS_MS = 20;

/** How long something takes, in milliseconds. */
async function timeOf(work: Promise<unknown>): Promise<number> {
  const begun = performance.now();
  await work;
  return performance.now() - begun;
}

const isWithin = (ms: number, limitMs: number): boolean =>
  ms >= limitMs - CLOCKS_MS && ms < limitMs + LATE_MS;

const authorization = async (server: TestApp) => ({
  Authorization: `Bearer ${await server.token('alice', 'chat')}`,
});

for (const seconds of [1, 3]) {
  test(`half a request is cut after ${seconds} s, not before, and one that is whole by then is answered`, async (t) => {
    const server = await build(t, { LIMIT_HANDSHAKE_SECONDS: `${seconds}` });
    const head = handshakeBytes(server, '/ws', await authorization(server));
    const inTime = new RawClient(server.url);
    const late = new RawClient(server.url);
    const silent = new RawClient(server.url);
    for (const { socket } of [inTime, late, silent]) t.teardown(() => socket.destroy());
    for (const client of [inTime, late]) await client.write(head.slice(0, 100));
    const cut = Promise.all([late, silent].map((client) => timeOf(client.end())));
    await delay(seconds * SECOND_MS * 0.5);
    await inTime.write(head.slice(100));
    t.equal((await inTime.answer()).status, 101);
    for (const ms of await cut) t.ok(isWithin(ms, seconds * SECOND_MS), `after ${Math.round(ms)} ms`);
    t.match(late.unread.toString(), /^HTTP\/1.1 408 /);
    t.notOk(inTime.ended);
  });

  test(`a handshake that is not over after ${seconds} s is cut, not before, and another one opens`, async (t) => {
    const server = await build(t, { LIMIT_HANDSHAKE_SECONDS: `${seconds}` }, (app) => {
      // Before all other hooks, as if the database took so long.
      app.addHook('onRequest', async ({ headers: { 'x-wait': wait } }) => {
        if (wait !== undefined) await delay(Number(wait), undefined, { ref: false });
      });
    });
    const headers = await authorization(server);
    const waiting = (share: number) => ({ ...headers, 'x-wait': `${seconds * SECOND_MS * share}` });
    const late = new RawClient(server.url);
    t.teardown(() => late.socket.destroy());
    await late.write(handshakeBytes(server, '/ws', waiting(10)));
    const cut = timeOf(late.end());
    const alice = await connect(t, server, 'alice', { headers: waiting(0.5) });
    await alice.next('welcome');
    const ms = await cut;
    t.ok(isWithin(ms, seconds * SECOND_MS), `after ${Math.round(ms)} ms`);
    await alice.ask({ type: 'message', text: 'still here' });
  });
}

test('the longest deadlines that can be set are no short ones', async (t) => {
  const server = await build(t, {
    LIMIT_HANDSHAKE_SECONDS: '999',
    LIMIT_IDLE_SECONDS: '999999999',
    LIMIT_READ_SECONDS: '999',
  });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  await delay(2 * SECOND_MS);
  await alice.ask({ type: 'message', text: 'still here' });
  t.equal((await server.events('action=MESSAGE_SENT')).length, 1);
});

test('who agrees on no key of TLS is cut after the same time', async (t) => {
  const { cert, key } = await makeCertificate(t);
  const server = await build(t, { LIMIT_HANDSHAKE_SECONDS: '2', TLS_CERT: cert, TLS_KEY: key });
  const silent = new RawClient(server.url);
  t.teardown(() => silent.socket.destroy());
  const ms = await timeOf(silent.end());
  t.ok(isWithin(ms, 2 * SECOND_MS), `after ${Math.round(ms)} ms`);
});

test('a session that says nothing for so long is ended, on record; who says something within it stays', async (t) => {
  const server = await build(t, { LIMIT_IDLE_SECONDS: '2' });
  const begun = performance.now();
  const [idle, pinging, talker] = [
    await connect(t, server, 'idle'),
    await connect(t, server, 'pinging'),
    await connect(t, server, 'talker'),
  ];
  const pings = setInterval(() => pinging.socket.ping(), 200);
  t.teardown(() => clearInterval(pings));
  let open = 2;
  const times = [idle, pinging].map(async ({ closed }) => {
    t.strictSame(await closed, { code: 1008, reason: 'idle for too long' });
    open -= 1;
    return performance.now() - begun;
  });
  while (open > 0) {
    await talker.ask({ type: 'message', text: 'still here' });
    await delay(500);
  }
  for (const ms of await Promise.all(times)) {
    t.ok(ms >= 2 * SECOND_MS && ms < 2 * SECOND_MS + 2 * LATE_MS, `after ${Math.round(ms)} ms`);
  }
  await talker.ask({ type: 'message', text: 'still here' });
  await until(
    'both ends are on record',
    async () => (await server.events('action=DISCONNECTED')).length === 2,
  );
  const ends = await server.events('action=DISCONNECTED');
  t.strictSame(ends.map(({ user_id }) => user_id).toSorted(), ['idle', 'pinging']);
  for (const { details } of ends)
    t.match(details, { code: 1008, reason: 'idle for too long', rooms: ['lobby'] });
});

test('who waits for an answer is not idle, however long it takes', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url, LIMIT_IDLE_SECONDS: '1' });
  const idle = await connect(t, server, 'idle');
  await idle.next('welcome');
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  between.setMode('hold');
  alice.send({ type: 'message', text: 'a message', ref: 'one' });
  t.equal((await idle.closed).code, 1008);
  await delay(SECOND_MS);
  between.setMode('pass');
  t.match(await alice.next('ack'), { ref: 'one' }, 'the answer comes');
});

test('a read that takes longer than the limit is too_slow, and one that takes less is answered', async (t) => {
  for (const [limit, takes, status] of [
    ['1', 0.3, 200],
    ['1', 1.5, 503],
    ['3', 1.5, 200],
    ['3', 4, 503],
  ] as const) {
    const server = await build(t, { LIMIT_READ_SECONDS: limit });
    await makeSlow(server, takes);
    let answer: Response | undefined;
    const ms = await timeOf(
      readSlowly(server, 'auditor').then((response) => {
        answer = response;
      }),
    );
    t.equal(answer?.status, status, `${takes} s of ${limit} s`);
    if (answer?.status !== 503) continue;
    t.match(await problemIn(answer), { code: 'too_slow' });
    t.ok(isWithin(ms, Number(limit) * SECOND_MS), `after ${Math.round(ms)} ms`);
  }
});

test('a whole read has the time of one statement: that of its connections', async (t) => {
  const clientOf = (readMs?: number): Db => {
    const options = {
      url: 'postgres://127.0.0.1',
      applicationName: 'minutebook test',
      purpose: 'read',
    } as const;
    const { db } = openPool({ ...options, onError: () => {}, ...(readMs === undefined ? {} : { readMs }) });
    t.teardown(() => db.destroy());
    return db;
  };
  const [short, usual] = [Deadline.of(clientOf(100)), Deadline.of(clientOf())];
  t.notOk(short.isOver);
  t.doesNotThrow(() => short.check());
  await delay(100 + CLOCKS_MS);
  t.throws(() => short.check(), { code: 'too_slow' });
  t.notOk(usual.isOver);
});
