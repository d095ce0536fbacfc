import { test } from 'tap';
import { build } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { connection } from '../../support/postgres.ts';

test('a message goes to the room, to its sender with the ref, and then the ack comes', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  const carol = await connect(t, server, 'carol', { room: 'elsewhere' });
  for (const client of [alice, bob, carol]) await client.next('welcome');
  const ack = await alice.ask({ type: 'message', text: 'hello', room: 'lobby' });
  const seen = await bob.next('message');
  const { seq, timestamp } = ack;
  t.strictSame(seen, { type: 'message', room: 'lobby', user_id: 'alice', text: 'hello', seq, timestamp });
  const types = alice.frames.slice(-2).map(({ type }) => type);
  t.strictSame(types, ['message', 'ack'], 'the ack comes after the sender’s own message frame');
  t.match(alice.all('message')[0], { ref: ack.ref, text: 'hello' });
  t.strictSame(carol.all('message'), [], 'other rooms hear nothing');
  t.match(await server.events('action=MESSAGE_SENT'), [
    { seq, timestamp, user_id: 'alice', message: 'hello', room: 'lobby', ip: '127.0.0.1', details: {} },
  ]);
});

test('text comes back byte for byte: to the room, from the log, and one by one', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  const texts = [
    'naïve café — ½ €',
    '👩‍👩‍👧‍👦 🇹🇭 e\u0301 vs é',
    'สวัสดี 你好 שלום \u202Eevil\u202C',
    'tab\tnew\nline\r\n\u2028\u2029\u0001\u007f',
    '  ',
    '\ufeffbom',
    '"quotes" and \\ backslashes',
    '{} in the middle',
    'x'.repeat(60_000),
    '\ud83d\ude00'.repeat(10_000),
  ];
  for (const text of texts) await alice.ask({ type: 'message', text });
  const delivered = alice.all('message').map(({ text }) => text);
  t.strictSame(delivered, texts);
  const logged = await server.events('action=MESSAGE_SENT');
  t.strictSame(
    logged.map(({ message }) => message),
    texts,
  );
  for (const { seq, message } of logged.slice(0, 3)) {
    t.equal(((await (await server.get(`/audit/${seq}`)).json()) as { message: string }).message, message);
  }
});

test('text that does not start with { is a message with that very text', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  for (const text of ['hello', '  leading blanks', '[1,2]', '"quoted"', '12', ' ']) alice.send(text);
  await until('all came back', () => alice.all('message').length === 6);
  t.strictSame(
    alice.all('message').map(({ text }) => text),
    ['hello', '  leading blanks', '[1,2]', '"quoted"', '12', ' '],
  );
  t.strictSame(alice.all('ack'), [], 'there was no ref to acknowledge');
});

test('without a room, a message goes to the room last joined', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: 'one' });
  await alice.next('welcome');
  await alice.ask({ type: 'join', room: 'two' });
  await alice.ask({ type: 'message', text: 'to two' });
  await alice.ask({ type: 'leave', room: 'two' });
  await alice.ask({ type: 'message', text: 'to one' });
  t.strictSame(
    alice.all('message').map(({ room, text }) => [room, text]),
    [
      ['two', 'to two'],
      ['one', 'to one'],
    ],
  );
});

const refused: [what: string, frame: unknown, code: string][] = [
  ['JSON that is cut off', '{"type":"message"', 'bad_frame'],
  ['an unknown type', { type: 'shout', text: 'hi', ref: 'x' }, 'bad_frame'],
  ['no type', { text: 'hi' }, 'bad_frame'],
  ['an unknown key', { type: 'message', text: 'hi', txt: 'hi' }, 'bad_frame'],
  ['a key __proto__', '{"type":"message","text":"hi","__proto__":{"room":"x"}}', 'bad_frame'],
  ['a text that is a number', { type: 'message', text: 1 }, 'bad_frame'],
  ['a ref of 65 characters', { type: 'message', text: 'hi', ref: 'r'.repeat(65) }, 'bad_frame'],
  ['deep nesting', `{"type":${'['.repeat(30_000)}${']'.repeat(30_000)}}`, 'bad_frame'],
  [
    'a number beyond all bounds',
    '{"type":"join","room":"r","since":{"epoch":"e","seq":1e1000000}}',
    'bad_frame',
  ],
  ['a room name with a control character', { type: 'message', text: 'hi', room: 'a\nb' }, 'bad_frame'],
  ['a room name of 129 bytes', { type: 'join', room: `${'é'.repeat(64)}x` }, 'bad_frame'],
  ['an empty text', { type: 'message', text: '' }, 'invalid_text'],
  ['an empty frame', '', 'invalid_text'],
  ['NUL', { type: 'message', text: 'a\u0000b' }, 'invalid_text'],
  ['NUL as an escape', '{"type":"message","text":"a\\u0000b"}', 'invalid_text'],
  ['a bare NUL', '\u0000', 'invalid_text'],
  ['a lone surrogate', '{"type":"message","text":"a\\ud800b"}', 'invalid_text'],
  ['a room one is not in', { type: 'message', text: 'hi', room: 'elsewhere' }, 'not_in_room'],
];

test('what cannot be kept is refused with a code, and nothing is lost by it', async (t) => {
  const server = await build(t);
  const bob = await connect(t, server, 'bob');
  await bob.next('welcome');
  for (const [index, [what, frame, code]] of refused.entries()) {
    // A user of its own for each, so that no refusal is folded into another's.
    const alice = await connect(t, server, `alice${index}`);
    await alice.next('welcome');
    alice.send(frame);
    t.match(await alice.next('error'), { code }, what);
    await alice.ask({ type: 'message', text: `after ${what}` });
    await alice.close();
  }
  await until(
    'the ends are on record',
    async () => (await server.events('action=DISCONNECTED')).length === refused.length,
  );
  for (const [index, [what, , code]] of refused.entries()) {
    const events = await server.events(`action=MESSAGE_REFUSED&user_id=alice${index}`);
    t.match(
      events,
      [{ details: { code, count: 1 }, message: null, room: null }],
      `${what}: one event, no content`,
    );
    t.equal(events.length, 1, what);
  }
  const said = await server.events('action=MESSAGE_SENT');
  t.strictSame(
    said.map(({ message }) => message),
    refused.map(([what]) => `after ${what}`),
    'only the good messages are on record',
  );
  t.equal(bob.all('message').length, refused.length, 'and only they were delivered');
});

test('a refused frame answers with its ref when it can be read', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  alice.send({ type: 'message', text: '', ref: 'mine' });
  t.equal((await alice.next('error')).ref, 'mine');
  alice.send({ type: 'message', text: 'x', room: 'elsewhere', ref: 'mine too' });
  t.equal((await alice.next('error')).ref, 'mine too');
});

test('many messages sent without waiting come back in order, and so they stand in the log', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const texts = Array.from({ length: 1_000 }, (_, index) => `${index}`);
  // Sent before the welcome: kept, and handled in order.
  for (const text of texts) alice.send({ type: 'message', text, ref: text });
  await until('all are acknowledged', () => alice.all('ack').length === texts.length);
  t.strictSame(
    alice.all('ack').map(({ ref }) => ref),
    texts,
  );
  t.equal(alice.frames[0]?.type, 'welcome');
  const logged = await server.events('action=MESSAGE_SENT');
  t.strictSame(
    logged.map(({ message }) => message),
    texts,
  );
});

test('a member gets a frame that was serialised once, whoever it is', async (t) => {
  const server = await build(t);
  const clients = await Promise.all(['a', 'b', 'c'].map((user) => connect(t, server, user)));
  for (const client of clients) await client.next('welcome');
  clients[0]?.send('the same bytes');
  await until('all have it', () => clients.every((client) => client.all('message').length === 1));
  const raw = clients.map((client) => client.raw.find((text) => text.includes('the same bytes')));
  t.equal(new Set(raw).size, 1);
});

test('a message that waits behind a leave is answered within 5 s of its own sending, too', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.ask({ type: 'join', room: 'elsewhere' });
  const lock = await connection(t, server.databaseUrl);
  await lock.query('begin');
  await lock.query('lock table audit_batch in exclusive mode');
  alice.send({ type: 'leave', room: 'elsewhere', ref: 'leave' });
  await until('the leave has waited for a while', async () => {
    const { status } = await server.get('/health/ready');
    return status === 503;
  });
  const sentAt = performance.now();
  alice.send({ type: 'message', room: 'lobby', text: 'behind it', ref: 'message' });
  t.match(await alice.next('error'), { ref: 'leave', code: 'audit_unavailable' });
  t.match(await alice.next('error'), { ref: 'message', code: 'audit_unavailable' });
  const waited = performance.now() - sentAt;
  t.ok(waited < 5_500, `it was refused after ${Math.round(waited)} ms`);
  await lock.query('rollback');
  await alice.ask({ type: 'message', room: 'lobby', text: 'later' });
  t.strictSame(
    (await server.events('action=MESSAGE_SENT')).map(({ message }) => message),
    ['later'],
  );
});
