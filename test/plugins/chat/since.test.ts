import { test } from 'tap';
import { build } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { query } from '../../support/postgres.ts';

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
