import { test } from 'tap';
import { build } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';

test('the first frame is the welcome, with the number of its CONNECTED', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { headers: { 'user-agent': 'a test' } });
  const welcome = await alice.next('welcome');
  const joined = await alice.next('joined');
  t.equal(alice.frames[0], welcome);
  t.match(welcome, { user_id: 'alice', rooms: ['lobby'], epoch: server.app.audit.epoch });
  t.match(await server.events('user_id=alice'), [
    {
      seq: welcome.seq,
      timestamp: welcome.timestamp,
      action: 'CONNECTED',
      session_id: welcome.session_id,
      details: { user_agent: 'a test' },
    },
    { seq: joined.seq, action: 'JOINED', room: 'lobby', session_id: welcome.session_id },
  ]);
});

test('?room= names the first room, and an empty one joins none', async (t) => {
  const server = await build(t);
  const named = await connect(t, server, 'alice', { room: 'trading desk ☕' });
  t.strictSame((await named.next('welcome')).rooms, ['trading desk ☕']);
  const none = await connect(t, server, 'bob', { query: 'room=' });
  t.strictSame((await none.next('welcome')).rooms, []);
  none.send('to nobody');
  t.match(await none.next('error'), { code: 'not_in_room' });
  for (const query of ['room=a&room=b', `room=${'x'.repeat(129)}`, 'room=%00', 'rom=x']) {
    await t.rejects(connect(t, server, 'carol', { query }), { message: 'refused: 400' }, query);
  }
});

test('joining and leaving are told to the room, and acknowledged', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'desk' });
  const bob = await connect(t, server, 'bob', { query: 'room=' });
  await alice.next('welcome');
  await bob.next('welcome');
  const joined = await bob.ask({ type: 'join', room: 'desk' });
  t.match(await alice.next('joined', ({ user_id }) => user_id === 'bob'), { room: 'desk', seq: joined.seq });
  t.match(bob.all('joined'), [{ user_id: 'bob', room: 'desk', seq: joined.seq }]);
  t.notOk('replayed' in (bob.all('joined')[0] ?? {}), 'nothing was asked for, nothing was replayed');
  const left = await bob.ask({ type: 'leave', room: 'desk' });
  t.match(await alice.next('left'), { user_id: 'bob', room: 'desk', seq: left.seq });
  t.match(bob.all('left'), [{ seq: left.seq }], 'the leaver is told as well');
  await alice.ask({ type: 'message', text: 'he is gone' });
  t.strictSame(bob.all('message'), []);
  t.match(await server.events('user_id=bob&action=JOINED&action=LEFT'), [
    { seq: joined.seq, action: 'JOINED', room: 'desk' },
    { seq: left.seq, action: 'LEFT', room: 'desk' },
  ]);
});

test('a join while in, or a leave while out, is acknowledged without a new event', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const first = await alice.next('joined');
  const again = await alice.ask({ type: 'join', room: 'lobby' });
  t.strictSame([again.seq, again.timestamp], [first.seq, first.timestamp], 'with the number of the first');
  const out = await alice.ask({ type: 'leave', room: 'elsewhere' });
  t.strictSame([out.seq, out.timestamp], [null, null]);
  t.equal((await server.events('action=JOINED&action=LEFT')).length, 1);
});

test('room names tell upper from lower case, and forms of one letter apart', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'é' });
  const bob = await connect(t, server, 'bob', { room: 'e\u0301' });
  await alice.next('welcome');
  await bob.next('welcome');
  await alice.ask({ type: 'message', text: 'composed' });
  await bob.ask({ type: 'message', text: 'decomposed' });
  t.equal(alice.all('message').length, 1);
  t.equal(bob.all('message').length, 1);
});

test('in a room of more than 200, comings and goings are not told', async (t) => {
  const server = await build(t);
  const clients = await Promise.all(
    Array.from({ length: 201 }, (_, index) => connect(t, server, `user${index}`, { room: 'hall' })),
  );
  await Promise.all(clients.map((client) => client.next('welcome')));
  const first = clients[0];
  const before = first?.all('joined').length;
  const late = await connect(t, server, 'late', { room: 'hall' });
  await late.next('joined', ({ user_id }) => user_id === 'late');
  await late.ask({ type: 'message', text: 'hello all' });
  await until('everybody has the message', () =>
    clients.every((client) => client.all('message').length === 1),
  );
  t.equal(first?.all('joined').length, before);
});

test('a session can be in so many rooms and no more', async (t) => {
  const server = await build(t, { LIMIT_ROOMS_PER_SESSION: '3' });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  await alice.ask({ type: 'join', room: 'two' });
  await alice.ask({ type: 'join', room: 'three' });
  alice.send({ type: 'join', room: 'four', ref: 'x' });
  t.match(await alice.next('error'), { code: 'forbidden', ref: 'x' });
  await alice.ask({ type: 'leave', room: 'two' });
  await alice.ask({ type: 'join', room: 'four' });
});

test('a token may limit its bearer to some rooms', async (t) => {
  const server = await build(t);
  const { SignJWT } = await import('jose');
  const { SECRET } = await import('../../support/app.ts');
  const token = await new SignJWT({ scope: 'chat', rooms: ['desk'] })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('alice')
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(SECRET));
  await t.rejects(connect(t, server, 'alice', { token, room: 'lobby' }), { message: 'refused: 403' });
  const alice = await connect(t, server, 'alice', { token });
  t.strictSame((await alice.next('welcome')).rooms, [], 'the default room is not for this token');
  await alice.ask({ type: 'join', room: 'desk' });
  alice.send({ type: 'join', room: 'lobby', ref: 'x' });
  t.match(await alice.next('error'), { code: 'forbidden', ref: 'x' });
});
