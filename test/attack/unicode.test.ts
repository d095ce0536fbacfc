import { test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build } from '../support/app.ts';
import { type Client, connect, until } from '../support/client.ts';
import { noLimits } from '../support/limits.ts';
import { query } from '../support/postgres.ts';

const KIB = 1024;
const json = (frame: Record<string, unknown>): string => JSON.stringify(frame);

/** Texts that are as good as any. */
const texts = [
  'é and e\u0301',
  '\u202Eevil\u202C \u2066isolated\u2069',
  'zero\u200bwidth\u200d\u2060\ufeff',
  'аdmin (with a Cyrillic а)',
  '👩‍👩‍👧‍👦 🏴󠁧󠁢󠁳󠁣󠁴󠁿 🇹🇭',
  '\u0001\u001b[2J\u007f\u0085',
  'bob\r\n{"level":60,"msg":"forged"}',
  '\u2028\u2029',
  '\ufffd\ufffe\uffff',
  '\u{10ffff}',
  '<img src=x onerror=alert(1)>',
  "'; drop table audit_event; --",
  '%s %n {{7*7}} <%= 7*7 %>',
  '__proto__',
  '😀'.repeat(16 * KIB),
];

test('T-UN-12: text is the same where it was sent, delivered, replayed, stored, and read in every way', async (t) => {
  const server = await build(t, noLimits);
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  const { epoch, seq } = await bob.next('welcome');
  await alice.next('welcome');
  for (const text of texts)
    alice.send(Buffer.byteLength(text) > 60 * KIB ? text : json({ type: 'message', text }));
  await until('all is said', () =>
    [alice, bob].every((client) => client.all('message').length === texts.length),
  );
  for (const client of [alice, bob])
    t.strictSame(
      client.all('message').map(({ text }) => text),
      texts,
    );
  const carol = await connect(t, server, 'carol', { query: 'room=' });
  await carol.ask({ type: 'join', room: 'lobby', since: { epoch, seq } });
  t.strictSame(
    carol.all('message').map(({ text }) => text),
    texts,
    'replayed',
  );
  const logged = await server.events('action=MESSAGE_SENT');
  t.strictSame(
    logged.map(({ message }) => message),
    texts,
    'in pages',
  );
  for (const [index, event] of logged.entries()) {
    const one = (await (await server.get(`/audit/${event.seq}`)).json()) as AuditEvent;
    t.equal(one.message, texts[index], 'one by one');
  }
  const rows = await query<{ hex: string }>(
    server.databaseUrl,
    `select encode(convert_to(message, 'UTF8'), 'hex') as hex from audit_event
     where action = 'MESSAGE_SENT' order by seq`,
  );
  t.strictSame(
    rows.map(({ hex }) => hex),
    texts.map((text) => Buffer.from(text).toString('hex')),
    'byte for byte',
  );
});

test('of two keys of one name the last is what is delivered and what is on record', async (t) => {
  const server = await build(t, noLimits);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  alice.send('{"type":"message","text":"first","ref":"a","text":"last","ref":"b"}');
  t.equal((await alice.next('message')).text, 'last');
  t.equal((await alice.next('ack')).ref, 'b');
  t.strictSame(
    (await server.events('action=MESSAGE_SENT')).map(({ message }) => message),
    ['last'],
  );
});

/** Names that look alike, or mean something elsewhere, and are all different here. */
const names = [
  'admin',
  'Admin',
  'admin ',
  'аdmin',
  'ad\u200bmin',
  'caf\u00e9',
  'cafe\u0301',
  '\u202Enimda',
  '__proto__',
  'constructor',
  'null',
  '%',
  '_',
  '\\',
  "'",
  '-1h',
  '😀'.repeat(32),
];

test('T-UN-9 and T-UN-11: names are kept as given, and none is another', async (t) => {
  const server = await build(t, noLimits);
  const clients: Client[] = [];
  for (const name of names) clients.push(await connect(t, server, name, { room: name }));
  for (const client of clients) await client.next('welcome');
  for (const [index, client] of clients.entries()) await client.ask({ type: 'message', text: `of ${index}` });
  for (const [index, client] of clients.entries()) {
    t.strictSame(
      client.all('message').map(({ text }) => text),
      [`of ${index}`],
      `${names[index]}`,
    );
  }
  for (const [index, name] of names.entries()) {
    for (const filter of ['user_id', 'room', 'involves']) {
      const found = await server.events(`action=MESSAGE_SENT&${filter}=${encodeURIComponent(name)}`);
      t.match(found, [{ user_id: name, room: name, message: `of ${index}` }], `${filter}=${name}`);
      t.equal(found.length, 1, `${filter}=${name}`);
    }
  }
  t.equal(({} as { admin?: unknown }).admin, undefined, 'no prototype was touched');
});

test('a label comes back as it was, whatever it is', async (t) => {
  const server = await build(t, noLimits);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  for (const ref of ['', '__proto__', '\0', '\ud800', '"\\', '\u2028', '😀'.repeat(64), '\r\n\r\ndata: x']) {
    alice.send(json({ type: 'message', text: 'x', ref }));
    t.equal((await alice.next('ack')).ref, ref);
  }
});
