import { type Test, test } from 'tap';
import { WebSocket } from 'ws';
import { build, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { noLimits } from '../support/limits.ts';
import { act } from '../support/moderation.ts';

/** A frame that must be refused, and the code. */
type Refused = [what: string, frame: string, code: string];

const json = (frame: Record<string, unknown>): string => JSON.stringify(frame);
const nested = (depth: number): string => '['.repeat(depth) + ']'.repeat(depth);
const join = (seq: string, epoch = '"e"'): string =>
  `{"type":"join","room":"r","since":{"epoch":${epoch},"seq":${seq}}}`;

const refused: Refused[] = [
  // T-UN-1 to T-UN-5: what Postgres would refuse, or change on its way in.
  ['NUL as an escape in a text', '{"type":"message","text":"a\\u0000b"}', 'invalid_text'],
  ['NUL as a byte in plain text', 'a\0b', 'invalid_text'],
  ['NUL as a byte in JSON', '{"type":"message","text":"a\0b"}', 'bad_frame'],
  ['NUL in a room', '{"type":"join","room":"a\\u0000b"}', 'bad_frame'],
  ['NUL in a key', '{"type":"message","text":"x","a\\u0000":1}', 'bad_frame'],
  ['the first half of a pair', '{"type":"message","text":"a\\ud83d"}', 'invalid_text'],
  ['the second half of a pair', '{"type":"message","text":"\\ude00b"}', 'invalid_text'],
  ['a pair the wrong way round', '{"type":"message","text":"\\ude00\\ud83d"}', 'invalid_text'],
  ['half of a pair in a room', '{"type":"message","text":"x","room":"\\ud83d"}', 'bad_frame'],
  // T-UN-6: depth.
  ['a text of 10,000 lists', `{"type":"message","text":${nested(10_000)}}`, 'bad_frame'],
  ['an unknown key of 30,000 lists', `{"type":"message","text":"x","x":${nested(30_000)}}`, 'bad_frame'],
  ['7,000 objects in each other', `${'{"type":'.repeat(7_000)}1${'}'.repeat(7_000)}`, 'bad_frame'],
  // T-UN-7: numbers that cannot be kept.
  ...[
    '1e400',
    '1e1000000',
    '-1',
    '0.5',
    '9007199254740993',
    '12345678901234567890.10',
    '"1"',
    'true',
    '01',
    '0x10',
  ].map((seq): Refused => [`the number ${seq}`, join(seq), 'bad_frame']),
  ['a number of 20,000 digits', join('1'.repeat(20_000)), 'bad_frame'],
  ['an epoch that is a number', join('1', '1'), 'bad_frame'],
  // T-UN-8: of two keys of one name the last holds, and it is that one that is judged.
  ['a good text and then a bad one', '{"type":"message","text":"good","text":"\\u0000"}', 'invalid_text'],
  ['a good type and then a bad one', '{"type":"message","text":"x","type":"shout"}', 'bad_frame'],
  // T-UN-9: keys that every object has.
  ...['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', '__defineGetter__'].flatMap(
    (key): Refused[] => [
      [`the key ${key}`, `{"type":"message","text":"x","${key}":{"admin":true}}`, 'bad_frame'],
      [`the type ${key}`, json({ type: key, text: 'x' }), 'bad_frame'],
    ],
  ),
  ['an escaped __proto__', '{"type":"message","text":"x","\\u005f_proto__":{"room":"x"}}', 'bad_frame'],
  // T-UN-10: what no index would take.
  ['a room of 129 bytes', json({ type: 'join', room: 'x'.repeat(129) }), 'bad_frame'],
  ['a room of 65 characters of two bytes', json({ type: 'join', room: 'é'.repeat(65) }), 'bad_frame'],
  [
    'a room of 3,000 random bytes',
    json({ type: 'join', room: Buffer.alloc(2_000, 7).toString('base64') }),
    'bad_frame',
  ],
];

test('what cannot be kept as it is: refused by code, unheard, one event without its content, and all goes on', async (t) => {
  const server = await build(t, noLimits);
  const witness = await connect(t, server, 'witness');
  await witness.next('welcome');
  for (const [index, [what, frame, code]] of refused.entries()) {
    const client = await connect(t, server, `user-${index}`);
    await client.next('welcome');
    client.send(frame);
    t.match(await client.next('error'), { code }, what);
    await client.close();
    await witness.next('left', ({ user_id }) => user_id === `user-${index}`);
    await witness.ask({ type: 'message', text: `served after ${index}` });
  }
  t.equal(witness.all('message').length, refused.length, 'the room heard the witness alone');
  const events = await server.events();
  for (const [index, [what, , code]] of refused.entries()) {
    const own = events.filter(({ user_id }) => user_id === `user-${index}`);
    t.strictSame(
      own.map(({ action }) => action),
      ['CONNECTED', 'JOINED', 'MESSAGE_REFUSED', 'DISCONNECTED'],
      what,
    );
    t.match(own[2], { message: null, room: null, details: { code, count: 1 } }, what);
  }
});

/** Requests of whoever may chat, and no more. */
async function denied(t: Test, server: TestApp, paths: readonly string[]): Promise<void> {
  const authorization = `Bearer ${await server.token('mallory', 'chat')}`;
  for (const path of paths) {
    const answer = await server.get(path, { authorization });
    t.equal(answer.status, 403, path);
    const problem = (await answer.json()) as Record<string, unknown>;
    t.match(problem, { code: 'forbidden', status: 403 }, path);
    t.strictSame(
      Object.keys(problem).toSorted(),
      ['code', 'detail', 'status', 'title', 'type'],
      'nothing of the log',
    );
  }
}

test('T-AZ-5: whoever may only chat reads nothing of the log, the same answer for all there is, and it is on record', async (t) => {
  const server = await build(t, noLimits);
  await denied(t, server, [
    '/audit',
    '/audit?user_id=mallory',
    '/audit/0',
    '/audit/999999',
    '/audit/actions',
    '/audit/stream',
    '/sessions',
  ]);
  t.equal((await server.get('/health/ready')).status, 200);
  await server.app.close();
  const after = await build(t, { ...noLimits, DATABASE_URL: server.databaseUrl });
  const events = await after.events('user_id=mallory');
  t.strictSame(
    events.map(({ action, details: { since, ...details } }) => ({ action, ...details })),
    [
      { action: 'ACCESS_DENIED', code: 'forbidden', count: 1, method: 'GET', route: '/audit' },
      { action: 'ACCESS_DENIED', code: 'forbidden', count: 6, method: '*', route: '*' },
    ],
    'the first with its route, the others by their number, and no AUDIT_READ',
  );
});

test('T-AZ-6: of what is queued around a leave, the log and the room have what came before it, and no more', async (t) => {
  const server = await build(t, noLimits);
  const bob = await connect(t, server, 'bob', { room: 'r' });
  const alice = await connect(t, server, 'alice', { room: 'r' });
  for (const client of [bob, alice]) await client.next('welcome');
  const say = (from: number): void => {
    for (let n = from; n < from + 100; n += 1)
      alice.send(json({ type: 'message', room: 'r', text: `${n}`, ref: `${n}` }));
  };
  say(0);
  alice.send(json({ type: 'leave', room: 'r', ref: 'leave' }));
  say(100);
  await until('all are answered', () => alice.all('error').length === 100 && alice.all('ack').length === 101);
  t.ok(alice.all('error').every(({ code }) => code === 'not_in_room'));
  const before = Array.from({ length: 100 }, (_, n) => `${n}`);
  t.strictSame(
    bob.all('message').map(({ text }) => text),
    before,
  );
  const [left] = await server.events('action=LEFT&user_id=alice');
  const said = await server.events('action=MESSAGE_SENT&user_id=alice');
  t.strictSame(
    said.map(({ message }) => message),
    before,
  );
  t.ok(
    said.every(({ seq }) => seq < (left?.seq ?? 0)),
    'the log shows the order',
  );
});

test('T-AZ-6: of what is queued when its session is kicked, the log and the room have what came before, and no more', async (t) => {
  const server = await build(t, noLimits);
  const bob = await connect(t, server, 'bob', { room: 'r' });
  const mallory = await connect(t, server, 'mallory', { room: 'r' });
  await bob.next('welcome');
  const { session_id } = await mallory.next('welcome');
  const say = (from: number, to: number): void => {
    for (let n = from; n < to; n += 1)
      mallory.send(json({ type: 'message', room: 'r', text: `${n}`, ref: `${n}` }));
  };
  say(0, 100);
  await mallory.next('ack');
  const kicking = act(server, 'DELETE', `/sessions/${session_id}`);
  // Some of it is under way, some in the queue, some in the inbox, and some comes when all is over.
  for (let n = 100; mallory.socket.readyState === WebSocket.OPEN; n += 100) {
    say(n, n + 100);
    await new Promise((resolve) => setTimeout(resolve, 1));
  }
  const { seq } = await kicking;
  t.match(await mallory.closed, { code: 4403 });
  await until('its end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  await bob.ask({ type: 'message', text: 'the end' });
  const said = await server.events('action=MESSAGE_SENT&user_id=mallory');
  t.ok(
    said.every((event) => event.seq < seq),
    'the log shows the order',
  );
  const texts = said.map(({ message }) => message);
  t.strictSame(
    texts,
    texts.map((_, n) => `${n}`),
    'from the first to the last, without a gap',
  );
  t.strictSame(
    bob.all('message').flatMap(({ user_id, text }) => (user_id === 'mallory' ? [text] : [])),
    texts,
    'the room heard what is on record',
  );
  for (const { ref, seq: acknowledged } of mallory.all('ack')) {
    t.equal(said.find((event) => event.seq === acknowledged)?.message, ref, 'what was acknowledged is there');
  }
  const after = (await server.events()).filter((event) => event.seq > seq && event.session_id === session_id);
  t.strictSame(
    new Set(after.map(({ action }) => action)),
    new Set(['MESSAGE_REFUSED', 'DISCONNECTED']),
    'of the session there is what was refused, and its end',
  );
});

test('T-API-12: the log is JSON whatever is asked for, and never “not modified”', async (t) => {
  const server = await build(t, noLimits);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  for (const headers of [
    { accept: 'text/html' },
    { accept: 'image/*;q=0' },
    { 'if-none-match': '*' },
    { range: 'bytes=0-1' },
  ]) {
    const answer = await server.get('/audit', { authorization, ...(headers as Record<string, string>) });
    t.equal(answer.status, 200, JSON.stringify(headers));
    t.equal(answer.headers.get('content-type'), 'application/json; charset=utf-8');
    t.equal(answer.headers.get('etag'), null);
    await answer.arrayBuffer();
  }
  t.equal((await server.events('action=AUDIT_READ')).length, 4, 'each was a read');
});
