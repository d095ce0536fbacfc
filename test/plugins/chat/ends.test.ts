import { connect as connectTcp, type Socket } from 'node:net';
import { test } from 'tap';
import { build } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { query } from '../../support/postgres.ts';

const MIB = 1024 * 1024;

test('the end of a session is on record with code, reason and duration, and ends its stay in its rooms', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  const { session_id } = await alice.next('welcome');
  await bob.next('welcome');
  await alice.ask({ type: 'join', room: 'desk' });
  t.equal((await query(server.databaseUrl, 'select 1 from chat_session')).length, 2);
  alice.socket.close(4000, 'so long');
  const left = await bob.next('left');
  const [end] = await server.events('action=DISCONNECTED');
  t.match(end, {
    seq: left.seq,
    user_id: 'alice',
    session_id,
    details: { code: 4000, reason: 'so long', rooms: ['lobby', 'desk'] },
  });
  t.type(end?.details.duration_ms, 'number');
  t.strictSame(await server.events('action=LEFT'), [], 'DISCONNECTED implies leaving');
  const open = await query<{ user_id: string }>(server.databaseUrl, 'select user_id from chat_session');
  t.strictSame(open, [{ user_id: 'bob' }], 'the row went with the event');
});

test('what was sent before the socket closed is on record before the end is', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  for (let n = 0; n < 200; n += 1) alice.send(`${n}`);
  alice.socket.close();
  await until('the end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  const events = await server.events('user_id=alice');
  t.strictSame(
    events.map(({ action }) => action),
    ['CONNECTED', 'JOINED', ...Array.from({ length: 200 }, () => 'MESSAGE_SENT'), 'DISCONNECTED'],
  );
});

test('binary frames, frames that are too large and frames that break the protocol end the session', async (t) => {
  const server = await build(t, { LIMIT_FRAME_BYTES: '1000' });
  const cases: [
    what: string,
    act: (client: Awaited<ReturnType<typeof connect>>) => void,
    code: number,
    word: string,
  ][] = [
    ['binary', (client) => client.socket.send(Buffer.from('x'), { binary: true }), 1003, 'bad_frame'],
    ['too large', (client) => client.send('x'.repeat(1_001)), 1009, 'too_large'],
    // An unmasked text frame (RFC 6455 5.1), written past the library.
    [
      'unmasked',
      (client) =>
        (client.socket as unknown as { _socket: { write: (b: Buffer) => void } })._socket.write(
          Buffer.from([0x81, 0x01, 0x41]),
        ),
      1002,
      'bad_frame',
    ],
  ];
  for (const [index, [what, act, code, word]] of cases.entries()) {
    const client = await connect(t, server, `user${index}`);
    await client.next('welcome');
    act(client);
    t.equal((await client.closed).code, code, what);
    await until(
      'the end is on record',
      async () => (await server.events(`action=DISCONNECTED&user_id=user${index}`)).length === 1,
    );
    t.match(
      await server.events(`action=MESSAGE_REFUSED&user_id=user${index}`),
      [{ details: { code: word } }],
      what,
    );
  }
  t.strictSame(
    (await server.events('action=DISCONNECTED')).map(({ details }) => details.code),
    [1003, 1009, 1002],
    'the code that the server gave is on record',
  );
  const exact = await connect(t, server, 'exact');
  await exact.next('welcome');
  exact.send('x'.repeat(1_000));
  t.equal((await exact.next('message')).text.length, 1_000, 'one at the limit passes');
});

test('frames beyond the rate are refused by name, and nothing else is', async (t) => {
  const server = await build(t, { LIMIT_FRAMES_PER_SECOND: '10' });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  const begun = performance.now();
  for (let n = 0; n < 30; n += 1) alice.send({ type: 'message', text: `${n}`, ref: `${n}` });
  await until('all are answered', () => alice.all('ack').length + alice.all('error').length === 30);
  const acks = alice.all('ack').length;
  const since = Math.floor(((performance.now() - begun) / 1_000) * 10);
  t.ok(acks >= 20 && acks <= 20 + since, `${acks} passed: twice the rate, and ${since} for the time`);
  for (const { code, ref } of alice.all('error')) {
    t.equal(code, 'rate_limited');
    t.type(ref, 'string');
  }
  t.equal((await server.events('action=MESSAGE_SENT')).length, acks);
  t.match(await server.events('action=MESSAGE_REFUSED'), [{ details: { code: 'rate_limited', count: 1 } }]);
});

test('a reader that does not keep up is closed, and the others are not held up', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const slow = await connect(t, server, 'slow');
  await alice.next('welcome');
  await slow.next('welcome');
  slow.socket.pause();
  const text = 'x'.repeat(60_000);
  let said = 0;
  // More than the kernel's buffers take, until the server has seen that nobody reads it.
  while ((await server.events('action=DISCONNECTED')).length === 0 && said < 5_000) {
    for (let n = 0; n < 20; n += 1) await alice.ask({ type: 'message', text });
    said += 20;
  }
  t.match(await server.events('action=DISCONNECTED'), [
    { user_id: 'slow', details: { code: 1013, reason: 'too slow' } },
  ]);
});

test('what waits for a reader who does not read stays within its bound', async (t) => {
  const server = await build(t);
  const streams = new Map<number | undefined, Socket>();
  server.app.server.on('connection', (stream: Socket) => streams.set(stream.remotePort, stream));
  const alice = await connect(t, server, 'alice');
  const slow = await connect(t, server, 'slow');
  await alice.next('welcome');
  await slow.next('welcome');
  slow.socket.pause();
  const { _socket: near } = slow.socket as unknown as { _socket: Socket };
  const stream = streams.get(near.localPort);
  let most = 0;
  const text = '\u0001'.repeat(60_000);
  // Faster than the 5 s after which a slow reader is closed anyway: 100 of these are 34 MiB as JSON.
  for (let n = 0; n < 300 && stream?.closed === false; n += 1) {
    alice.send(text);
    if (n % 10 === 9) await until('all is said', () => alice.all('message').length === n + 1);
    most = Math.max(most, stream.writableLength);
  }
  await until('it is closed', () => stream?.closed === true);
  t.ok(most <= 33 * MIB, `${(most / MIB).toFixed(1)} MiB waited`);
  await until('the end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  t.match(await server.events('action=DISCONNECTED'), [{ user_id: 'slow', details: { code: 1013 } }]);
});

test('a burst is not slowness: who reads gets it all, however much came at once', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  await alice.next('welcome');
  await bob.next('welcome');
  // Control characters are six bytes each as JSON: 60 frames make 21 MiB.
  const text = '\u0001'.repeat(60_000);
  for (let n = 0; n < 60; n += 1) alice.send(text);
  await until('all has come', () => bob.all('message').length === 60 && alice.all('message').length === 60);
  t.strictSame(await server.events('action=DISCONNECTED'), []);
});

test('what comes after the server has closed is not said any more', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  alice.socket.send(Buffer.from('x'), { binary: true });
  alice.send('too late');
  t.equal((await alice.closed).code, 1003);
  await until('the end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  t.strictSame(await server.events('action=MESSAGE_SENT'), []);
});

test('a session ends when its token expires', async (t) => {
  const server = await build(t);
  const { SignJWT } = await import('jose');
  const { SECRET } = await import('../../support/app.ts');
  // Clocks may differ by a minute, so this one has a second left.
  const token = await new SignJWT({ scope: 'chat' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('alice')
    .setExpirationTime(Math.floor(Date.now() / 1_000) - 58)
    .sign(new TextEncoder().encode(SECRET));
  const alice = await connect(t, server, 'alice', { token });
  await alice.next('welcome');
  t.strictSame(await alice.closed, { code: 4401, reason: 'the token has expired' });
  await until('the end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
});

test('the server stops in time with a peer that does not answer, and its end is on record', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  // A peer that has opened a session and then neither reads nor writes.
  const { port, hostname } = new URL(server.url);
  const dead = connectTcp(Number(port), hostname);
  t.teardown(() => dead.destroy());
  const token = await server.token('dead', 'chat');
  dead.write(
    `GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      `Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nAuthorization: Bearer ${token}\r\n\r\n`,
  );
  dead.pause();
  await until('it is in', async () => (await server.events('action=JOINED&user_id=dead')).length === 1);
  const startedAt = performance.now();
  await server.app.close();
  t.ok(performance.now() - startedAt < 10_000, 'within the ten seconds that are promised');
  t.equal((await alice.closed).code, 1001);
  const rows = await query<{ action: string; user_id: string | null; details: { code: number } }>(
    server.databaseUrl,
    `select action, user_id, details from audit_event order by seq desc limit 3`,
  );
  t.equal(rows[0]?.action, 'SERVER_STOPPED');
  t.strictSame(
    rows
      .slice(1)
      .map(({ action, user_id }) => `${action} ${user_id}`)
      .toSorted(),
    ['DISCONNECTED alice', 'DISCONNECTED dead'],
  );
});

test('while the server stops, frames are refused and what is pending is committed', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  for (let n = 0; n < 100; n += 1) alice.send({ type: 'message', text: `${n}`, ref: `${n}` });
  await alice.next('ack');
  await server.app.close();
  await alice.closed;
  const answered = [...alice.all('ack'), ...alice.all('error')]
    .map(({ ref }) => Number(ref))
    .toSorted((a, b) => a - b);
  t.strictSame(answered, [...answered.keys()], 'every frame that was taken is answered');
  for (const { code } of alice.all('error')) t.equal(code, 'overloaded');
  const [{ count } = { count: '' }] = await query<{ count: string }>(
    server.databaseUrl,
    `select count(*) from audit_event where action = 'MESSAGE_SENT'`,
  );
  t.equal(Number(count), alice.all('ack').length, 'acknowledged is what is on record');
});
