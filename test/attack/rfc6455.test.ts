import { createHash } from 'node:crypto';
import { type Test, test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build, type TestApp } from '../support/app.ts';
import { type Client, connect, until } from '../support/client.ts';
import { closeOf, OPCODES } from '../support/frame-bytes.ts';
import { noLimits } from '../support/limits.ts';
import { handshakeOf, NONCE, RawClient } from '../support/raw-client.ts';
import { closing } from './rows/closing.ts';
import { fragments } from './rows/fragments.ts';
import { framing } from './rows/framing.ts';
import { handshakes as requests } from './rows/handshake.ts';
import { limits } from './rows/limits.ts';
import { offers } from './rows/offers.ts';
import type { HandshakeRow, SessionRow } from './rows/row.ts';
import { utf8 } from './rows/utf8.ts';

/** RFC 6455 1.3 */
const ACCEPT = createHash('sha1').update(`${NONCE}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** One server for a whole table, and somebody in the room who sees what comes of each row. */
type Stage = { server: TestApp; witness: Client; authorization: (user: string) => Promise<string> };

async function setStage(t: Test): Promise<Stage> {
  const server = await build(t, noLimits);
  const witness = await connect(t, server, 'witness');
  await witness.next('welcome');
  return { server, witness, authorization: async (user) => `Bearer ${await server.token(user, 'chat')}` };
}

/** Opens a session over bytes of our own; what was said to welcome it is read. */
async function openSession({ server, authorization }: Stage, user: string): Promise<RawClient> {
  const client = new RawClient(server.url);
  await client.write(handshakeOf(server.url, { Authorization: await authorization(user) }));
  const { status, body } = await client.answer();
  if (status !== 101) throw new Error(`${status}: ${body}`);
  for (const expected of ['welcome', 'joined']) {
    const { type } = JSON.parse((await client.frame()).payload.toString()) as { type: string };
    if (type !== expected) throw new Error(`${type} instead of ${expected}`);
  }
  return client;
}

/** What the sender itself is answered. */
type Seen = { messages: number; errors: unknown[]; pongs: string[]; closed: number | undefined };

/** Reads until everything is there that must come before a close, or a close came. */
async function readAnswers(
  client: RawClient,
  { says = [], errors = [], pongs = [] }: SessionRow,
): Promise<Seen> {
  const seen: Seen = { messages: 0, errors: [], pongs: [], closed: undefined };
  const missing = () =>
    seen.messages < says.length || seen.errors.length < errors.length || seen.pongs.length < pongs.length;
  while (missing() && seen.closed === undefined) await readFrame(client, seen);
  return seen;
}

async function readFrame(client: RawClient, seen: Seen): Promise<void> {
  const { first, opcode, masked, payload } = await client.frame();
  if (masked || (first & 0x70) !== 0 || (first & 0x80) === 0)
    throw new Error('the server breaks RFC 6455 5.1');
  if (opcode === OPCODES.pong) seen.pongs.push(payload.toString('hex'));
  else if (opcode === OPCODES.close) seen.closed = payload.length === 0 ? 1005 : payload.readUInt16BE(0);
  else {
    const frame = JSON.parse(payload.toString()) as { type: string; code?: string };
    if (frame.type === 'message') seen.messages += 1;
    else seen.errors.push(frame.code ?? frame.type);
  }
}

/** Plays one row up to the end of its session. */
async function play(t: Test, stage: Stage, row: SessionRow, user: string): Promise<void> {
  const client = await openSession(stage, user);
  await client.write(...row.send);
  if (row.recorded === 1006) client.socket.end();
  else {
    const staysOpen = row.closes === undefined;
    const seen: Seen = staysOpen
      ? await readAnswers(client, row)
      : { messages: 0, errors: [], pongs: [], closed: undefined };
    if (staysOpen) await client.write(closeOf(1000));
    while (seen.closed === undefined) await readFrame(client, seen);
    t.equal(seen.closed, row.closes ?? 1000, 'the close code');
    t.strictSame(seen.errors, row.errors ?? [], 'the error frames');
    t.strictSame(
      seen.pongs,
      (row.pongs ?? []).map((payload) => payload.toString('hex')),
      'the pongs',
    );
    // RFC 6455 7.1.1: it is the server that ends the connection. After a fault it waits for the peer’s close frame.
    if (row.refused !== undefined) client.socket.end();
  }
  await client.end();
  t.equal(client.unread.length, 0, 'nothing comes after a close frame');
  client.socket.destroy();
}

/** See plugins/refusals.ts. */
const NAMED_USERS = 100;

const ofUser = (events: AuditEvent[], user: string): AuditEvent[] =>
  events.filter(({ user_id }) => user_id === user);

/** What the log says of a session. */
function checkLog(t: Test, row: SessionRow, events: AuditEvent[]): void {
  const only = (action: string): AuditEvent[] => events.filter((event) => event.action === action);
  t.strictSame(
    only('MESSAGE_SENT').map(({ message }) => message),
    row.says ?? [],
    'only what was said is on record',
  );
  t.strictSame(
    only('MESSAGE_REFUSED').map(({ details, message }) => [details.code, details.count, message]),
    row.refused === undefined ? [] : [[row.refused, 1, null]],
    'one event for what was refused, without its content',
  );
  t.strictSame(
    only('DISCONNECTED').map(({ details }) => details.code),
    [row.recorded ?? row.closes ?? 1000],
    'one end',
  );
  t.equal(only('CONNECTED').length, 1);
  t.equal(only('JOINED').length, 1);
}

test('what comes over an open WebSocket is answered as RFC 6455 says, and nothing else comes of it', async (t) => {
  const all = [...framing, ...fragments, ...utf8, ...closing, ...limits];
  t.ok(all.length >= 120, `${all.length} rows`);
  // A server names so many users in a window of its refusals, and folds the others.
  for (let from = 0; from < all.length; from += NAMED_USERS) {
    await playAll(t, all.slice(from, from + NAMED_USERS));
  }
});

async function playAll(t: Test, rows: readonly SessionRow[]): Promise<void> {
  const stage = await setStage(t);
  const { server, witness } = stage;
  for (const [index, row] of rows.entries()) {
    await t.test(`${row.clause}: ${row.what}`, async (t) => {
      const user = `row-${index}`;
      await play(t, stage, row, user);
      await witness.next('left', ({ user_id }) => user_id === user);
      t.strictSame(
        witness
          .all('message')
          .filter(({ user_id }) => user_id === user)
          .map(({ text }) => text),
        row.says ?? [],
        'what the room gets',
      );
      await witness.ask({ type: 'message', text: `served after ${row.what}` });
    });
  }
  // The ends of the windows of refusals are not waited for: each row has a user of its own.
  const events = await server.events();
  for (const [index, row] of rows.entries()) {
    await t.test(`on record: ${row.clause}: ${row.what}`, async (t) =>
      checkLog(t, row, ofUser(events, `row-${index}`)),
    );
  }
}

/** How many of a kind were refused so far. */
const refusals = ({ app }: TestApp, action: string, code: string | undefined): number =>
  [...app.refusalCounts()].find((one) => one.action === action && one.code === code)?.count ?? 0;
const allRefusals = ({ app }: TestApp): number =>
  [...app.refusalCounts()].reduce((sum, { count }) => sum + count, 0);

async function playHandshake(t: Test, stage: Stage, row: HandshakeRow, user: string): Promise<void> {
  const { server, authorization } = stage;
  const { action = 'CONNECTION_REFUSED' } = row;
  const before = { one: refusals(server, action, row.code), all: allRefusals(server) };
  const client = new RawClient(server.url);
  const { headers = {}, path, method, version, body = '' } = row;
  const head = handshakeOf(
    server.url,
    { ...headers, Authorization: await authorization(user) },
    { ...(path && { path }), ...(method && { method }), ...(version && { version }) },
  );
  await client.write(head + body);
  const answer = await client.answer(method !== 'HEAD');
  t.equal(answer.status, row.status, answer.head + answer.body);
  if (answer.status === 101) {
    t.match(answer.head, `\r\nSec-WebSocket-Accept: ${ACCEPT}\r\n`);
    t.notMatch(answer.head, /sec-websocket-extensions/i);
    t.match(JSON.parse((await client.frame()).payload.toString()), { type: 'welcome', user_id: user });
    client.socket.end();
  } else if (method !== 'HEAD') {
    t.match(answer.head, /\r\ncontent-type: application\/problem\+json; charset=utf-8\r\n/i);
    t.match(JSON.parse(answer.body), { status: row.status, code: row.code });
  }
  await client.end();
  client.socket.destroy();
  const refused = row.status === 101 ? 0 : 1;
  // What is told first is counted after it.
  await until('it is counted', () => allRefusals(server) >= before.all + refused);
  t.strictSame(
    { one: refusals(server, action, row.code), all: allRefusals(server) },
    { one: before.one + refused, all: before.all + refused },
    'one refusal where one is due',
  );
}

test('a handshake is taken or refused as RFC 6455 says, and on record', async (t) => {
  const stage = await setStage(t);
  const { server, witness } = stage;
  const handshakes = [...requests, ...offers];
  for (const [index, row] of handshakes.entries()) {
    await t.test(`${row.clause}: ${row.what}`, async (t) => {
      await playHandshake(t, stage, row, `row-${index}`);
      await witness.ask({ type: 'message', text: `served after ${row.what}` });
    });
  }
  const opened = handshakes.flatMap(({ status }, index) => (status === 101 ? [`row-${index}`] : []));
  const users = (action: string) => async () =>
    (await server.events(`action=${action}`))
      .map(({ user_id }) => user_id)
      .filter((user) => user !== 'witness');
  await until('all have ended', async () => (await users('DISCONNECTED')()).length === opened.length);
  t.strictSame(await users('CONNECTED')(), opened, 'sessions where one is due, and no others');
  // Repeats of one source and code share an event, and the end of the server records the counts.
  const expected = new Map<string, number>();
  for (const { action, code, count } of server.app.refusalCounts()) expected.set(`${action} ${code}`, count);
  await server.app.close();
  const after = await build(t, { ...noLimits, DATABASE_URL: server.databaseUrl });
  const counted = new Map<string, number>();
  for (const { action, details } of await after.events('action=CONNECTION_REFUSED&action=REQUEST_REFUSED')) {
    const kind = `${action} ${details.code}`;
    counted.set(kind, (counted.get(kind) ?? 0) + Number(details.count));
  }
  t.strictSame(counted, expected, 'the log counts them all');
});

test('a peer that does not answer the close frame is cut, and its end is on record', async (t) => {
  const stage = await setStage(t);
  const client = await openSession(stage, 'silent');
  await client.write(Buffer.from([0xff, 0x80, 0, 0, 0, 0]));
  const { frame } = await client.nextControl();
  t.equal(frame.payload.readUInt16BE(0), 1002);
  await client.end();
  await stage.witness.next('left', ({ user_id }) => user_id === 'silent');
  t.match(await stage.server.events('action=DISCONNECTED&user_id=silent'), [{ details: { code: 1002 } }]);
});

test('who says goodbye and does not go is cut, and its end is on record', async (t) => {
  const stage = await setStage(t);
  const client = await openSession(stage, 'lingering');
  const startedAt = performance.now();
  await client.write(closeOf(1000));
  await stage.witness.next('left', ({ user_id }) => user_id === 'lingering');
  t.ok(performance.now() - startedAt < 5_000, 'soon');
  t.match(await stage.server.events('action=DISCONNECTED&user_id=lingering'), [{ details: { code: 1000 } }]);
  client.socket.destroy();
});

test('frames in the packet of the handshake are handled after it', async (t) => {
  const stage = await setStage(t);
  const { server, witness } = stage;
  const client = new RawClient(server.url);
  const head = handshakeOf(server.url, { Authorization: await stage.authorization('eager') });
  await client.write(Buffer.concat([Buffer.from(head), Buffer.from('818000000000', 'hex'), closeOf(1000)]));
  t.equal((await client.answer()).status, 101);
  await witness.next('left', ({ user_id }) => user_id === 'eager');
  const actions = (await server.events('user_id=eager')).map(({ action }) => action);
  t.strictSame(actions, ['CONNECTED', 'JOINED', 'MESSAGE_REFUSED', 'DISCONNECTED']);
  client.socket.destroy();
});
