import type { Socket } from 'node:net';
import { test } from 'tap';
import { build } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { query } from '../../support/postgres.ts';
import { proxy } from '../../support/proxy.ts';

const MIB = 1024 * 1024;

test('a join with since brings what was missed, in order and once, then joined, then what is new', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const bob = await connect(t, server, 'bob', { room: 'desk' });
  const { epoch } = await alice.next('welcome');
  await bob.next('welcome');
  await alice.ask({ type: 'message', text: 'seen' });
  const { seq } = await bob.next('message');
  await bob.close();
  for (const text of ['missed 1', 'missed 2', 'missed 3']) await alice.ask({ type: 'message', text });
  await alice.ask({ type: 'join', room: 'other' });
  await alice.ask({ type: 'message', text: 'elsewhere', room: 'other' });

  const back = await connect(t, server, 'bob', { query: 'room=' });
  await back.next('welcome');
  back.send({ type: 'join', room: 'desk', ref: 'back', since: { epoch, seq } });
  // While the replay is read, the room goes on.
  const live = Array.from({ length: 50 }, (_, index) => `live ${index}`);
  for (const text of live) alice.send({ type: 'message', text, room: 'desk' });
  const ack = await back.next('ack');
  await until('all has come', () => back.all('message').length >= 53);
  const messages = back.all('message').map(({ text }) => text);
  const at = back.frames.findIndex(({ type }) => type === 'joined');
  const replayed = back.frames.slice(0, at).filter(({ type }) => type === 'message').length;
  t.match(back.frames[at], { type: 'joined', seq: ack.seq, replayed, truncated: false });
  t.ok(replayed >= 3, 'the missed messages come before joined');
  t.strictSame(
    messages,
    ['missed 1', 'missed 2', 'missed 3', ...live],
    'each once, in order, none of other rooms',
  );
  t.match((await server.events('action=AUDIT_READ&user_id=bob'))[0], {
    room: 'desk',
    details: { path: '/ws', rows: replayed, filters: { room: 'desk', since: `${epoch}:${seq}` } },
  });
});

test('the oldest 1,000 are replayed, and the joiner is told that there were more', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch, seq } = await alice.next('welcome');
  for (let n = 0; n < 1_010; n += 1) alice.send({ type: 'message', text: `${n}`, ref: `${n}` });
  await until('all are said', () => alice.all('ack').length === 1_010);
  const bob = await connect(t, server, 'bob', { query: 'room=' });
  await bob.next('welcome');
  await bob.ask({ type: 'join', room: 'desk', since: { epoch, seq } });
  t.match(bob.all('joined')[0], { replayed: 1_000, truncated: true });
  t.strictSame(
    bob.all('message').map(({ text }) => text),
    Array.from({ length: 1_000 }, (_, index) => `${index}`),
  );
  // In the room already: the rest can be asked for from where the replay ended.
  const last = bob.all('message').at(-1)?.seq;
  await bob.ask({ type: 'join', room: 'desk', since: { epoch, seq: last } });
  t.strictSame(
    bob
      .all('message')
      .slice(1_000)
      .map(({ text }) => text),
    Array.from({ length: 10 }, (_, index) => `${1_000 + index}`),
  );
  t.match(bob.all('joined').at(-1), { replayed: 10, truncated: false });
});

test('another epoch, or a number that the log has not reached, is a reset instead of a replay', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch } = await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'before' });
  for (const since of [
    { epoch: 'another-epoch', seq: 0 },
    { epoch, seq: 9_999 },
  ]) {
    const bob = await connect(t, server, 'bob', { query: 'room=' });
    await bob.next('welcome');
    const ack = await bob.ask({ type: 'join', room: 'desk', since });
    t.match(bob.all('reset'), [{ room: 'desk', epoch, first_seq: 0, seq: ack.seq }]);
    t.strictSame(bob.all('message'), []);
    t.strictSame(
      bob.frames.slice(1).map(({ type }) => type),
      ['reset', 'joined', 'ack'],
    );
    await bob.close();
  }
});

test('since that is malformed is refused, and joins nothing', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { query: 'room=' });
  const { epoch } = await alice.next('welcome');
  for (const since of [
    { epoch },
    { seq: 1 },
    { epoch, seq: -1 },
    { epoch, seq: 1.5 },
    { epoch, seq: '1' },
    41,
  ]) {
    alice.send({ type: 'join', room: 'desk', since, ref: 'x' });
    t.match(await alice.next('error'), { code: 'bad_frame', ref: 'x' }, JSON.stringify(since));
  }
  t.strictSame(await server.events('action=JOINED'), []);
});

test('a replay of many large messages comes through, at the pace of the reader', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch, seq } = await alice.next('welcome');
  const texts = Array.from({ length: 200 }, (_, index) => `${index} ${'x'.repeat(60_000)}`);
  for (const text of texts) await alice.ask({ type: 'message', text });
  const bob = await connect(t, server, 'bob', { query: 'room=' });
  await bob.next('welcome');
  const seen = () => bob.all('message').map(({ text }) => text);
  let from = seq;
  for (;;) {
    await bob.ask({ type: 'join', room: 'desk', since: { epoch, seq: from } });
    const joined = bob.all('joined').at(-1);
    if (joined?.truncated !== true) break;
    from = bob.all('message').at(-1)?.seq ?? from;
  }
  t.strictSame(seen(), texts, 'page by page, each once');
  t.strictSame(await server.events('action=DISCONNECTED'), []);
});

test('a replay that cannot be read leaves the joiner in the room, told that there is more', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch, seq } = await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'before' });
  const bob = await connect(t, server, 'bob', { query: 'room=' });
  await bob.next('welcome');
  await query(server.databaseUrl, 'alter table audit_log rename to away');
  const ack = await bob.ask({ type: 'join', room: 'desk', since: { epoch, seq } });
  t.match(bob.all('joined'), [{ seq: ack.seq, replayed: 0, truncated: true }]);
  t.strictSame(bob.all('error'), [], 'the join is on record, so nothing says that it is not');
  await query(server.databaseUrl, 'alter table away rename to audit_log');
  await bob.ask({ type: 'join', room: 'desk', since: { epoch, seq } });
  t.match(bob.all('message'), [{ text: 'before' }], 'and it can be asked for again');
});

test('replays count as queries: at the limit one more is refused, the join holds, and the client is told so', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '3' });
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch, seq } = await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'before' });
  const bob = await connect(t, server, 'bob', { query: 'room=' });
  await bob.next('welcome');
  const since = { epoch, seq };
  const own = await fetch(`${server.url}/audit/me`, {
    headers: { authorization: `Bearer ${await server.token('bob', 'chat')}` },
  });
  t.equal(own.headers.get('ratelimit')?.startsWith('"queries";r=2;'), true, 'one is used');
  await bob.ask({ type: 'join', room: 'desk' });
  for (let n = 0; n < 2; n += 1) await bob.ask({ type: 'join', room: 'desk', since });
  t.equal(bob.all('message').length, 2, 'two are left, and a join without since is none');
  await bob.ask({ type: 'leave', room: 'desk' });

  const before = bob.frames.length;
  bob.send({ type: 'join', room: 'desk', ref: 'beyond', since });
  const ack = await bob.next('ack');
  t.match(bob.frames.slice(before), [
    { type: 'error', code: 'rate_limited', ref: 'beyond' },
    { type: 'joined', room: 'desk', seq: ack.seq, replayed: 0, truncated: true },
    { type: 'ack', ref: 'beyond' },
  ]);
  await bob.ask({ type: 'message', text: 'in the room all the same' });
  const carol = await connect(t, server, 'carol', { query: 'room=' });
  await carol.next('welcome');
  await carol.ask({ type: 'join', room: 'desk', since });
  t.equal(carol.all('joined')[0]?.replayed, 2, 'others are not held up');

  await server.app.close();
  const after = await build(t, { DATABASE_URL: server.databaseUrl });
  t.equal((await after.events('action=AUDIT_READ&user_id=bob')).length, 3);
  t.equal((await after.events('action=JOINED&user_id=bob')).length, 2);
  t.match(await after.events('action=MESSAGE_REFUSED'), [
    { user_id: 'bob', details: { code: 'rate_limited', count: 1 } },
  ]);
});

test('a user has one replay at a time: the next one waits its turn, and not for long', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const phone = await connect(t, server, 'bob', { room: 'desk' });
  const laptop = await connect(t, server, 'bob', { room: 'desk' });
  const { epoch, seq } = await phone.next('welcome');
  await laptop.next('joined');
  await phone.ask({ type: 'message', text: 'before' });
  const join = { type: 'join', room: 'desk', since: { epoch, seq } };
  const statement = 'public.audit_log l, bounds';

  /** The replay of the phone is under way, and gets no answer. */
  const begin = async (): Promise<void> => {
    const asked = new Promise<void>((resolve) =>
      between.onRequest(statement, () => {
        between.setMode('hold');
        resolve();
      }),
    );
    phone.send({ ...join, ref: 'phone' });
    await asked;
  };
  await begin();
  let second = false;
  between.onRequest(statement, () => {
    second = true;
  });
  const since = performance.now();
  laptop.send({ ...join, ref: 'laptop' });
  t.match(await laptop.next('error'), { code: 'rate_limited', ref: 'laptop' });
  const waited = performance.now() - since;
  t.ok(waited > 1_900 && waited < 3_000, `refused after ${waited} ms`);
  t.notOk(second, 'the database was not asked');
  t.match(await laptop.next('joined'), { replayed: 0, truncated: true });
  t.match(await laptop.next('ack'), { ref: 'laptop' });
  between.setMode('pass');
  await phone.next('ack', ({ ref }) => ref === 'phone');
  t.match(phone.all('joined').at(-1), { replayed: 1, truncated: false });

  await begin();
  laptop.send({ ...join, ref: 'again' });
  between.setMode('pass');
  await laptop.next('ack', ({ ref }) => ref === 'again');
  t.match(laptop.all('joined').at(-1), { replayed: 1, truncated: false }, 'it waited, and got it');
  t.equal(laptop.all('error').length, 1);
});

test('a replay is as long as its bytes on the wire allow, and one message at least', async (t) => {
  const server = await build(t, { LIMIT_FRAME_BYTES: '0' });
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch, seq } = await alice.next('welcome');
  // As JSON these are six times as long.
  const texts = ['a', 'b'].map((name) => name + '\u0001'.repeat(500_000));
  const long = `c${'\u0001'.repeat(900_000)}`;
  for (const text of [...texts, long, 'd']) {
    alice.send(text);
    await alice.next('message', (message) => message.text === text);
  }
  const bob = await connect(t, server, 'bob', { query: 'room=' });
  await bob.next('welcome');
  let from = seq;
  for (const [name, truncated] of [
    ['a', true],
    ['b', true],
    ['c', true],
    ['d', false],
  ] as const) {
    await bob.ask({ type: 'join', room: 'desk', since: { epoch, seq: from } });
    t.match(bob.all('joined').at(-1), { replayed: 1, truncated });
    t.equal(bob.all('message').at(-1)?.text[0], name);
    from = bob.all('message').at(-1)?.seq ?? from;
  }
  t.equal((await server.events('action=AUDIT_READ&user_id=bob'))[0]?.details.rows, 1, 'as many as were sent');
});

test('who does not read a replay is closed, and little of it waits for them', async (t) => {
  const server = await build(t);
  const streams = new Map<number | undefined, Socket>();
  server.app.server.on('connection', (stream: Socket) => streams.set(stream.remotePort, stream));
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const { epoch, seq } = await alice.next('welcome');
  for (let n = 0; n < 12; n += 1) alice.send('\u0001'.repeat(60_000));
  await until('all is said', () => alice.all('message').length === 12);
  const slow = await connect(t, server, 'slow', { room: 'desk' });
  await slow.next('joined');
  slow.socket.pause();
  const { _socket: near } = slow.socket as unknown as { _socket: Socket };
  const stream = streams.get(near.localPort);
  let most = 0;
  // Each is 4 MiB, and more of them than the kernel takes.
  for (let n = 0; n < 10; n += 1) slow.send({ type: 'join', room: 'desk', since: { epoch, seq } });
  await until('it is closed', () => {
    most = Math.max(most, stream?.writableLength ?? 0);
    return stream?.closed === true;
  });
  t.ok(most < MIB, `${(most / MIB).toFixed(2)} MiB waited`);
  await until('the end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  t.match(await server.events('action=DISCONNECTED'), [
    { user_id: 'slow', details: { code: 1013, reason: 'too slow' } },
  ]);
});
