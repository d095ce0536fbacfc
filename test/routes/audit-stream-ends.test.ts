import type { ServerResponse } from 'node:http';
import { SignJWT } from 'jose';
import { test } from 'tap';
import { build, SECRET, type TestApp } from '../support/app.ts';
import { until } from '../support/client.ts';
import { openStream, type StreamReader } from '../support/event-stream.ts';
import { inSeconds, issuer, makeKey, signWith } from '../support/issuer.ts';
import { act } from '../support/moderation.ts';
import { putBack, query } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';

const MIB = 1024 * 1024;
const BIG = 'x'.repeat(MIB / 2);
/** More than the kernel keeps for a connection on both sides, with much to spare. */
const FLOOD = 48;

/** Puts so many big messages on record. */
async function flood({ app }: TestApp, count: number): Promise<void> {
  for (let number = 0; number < count; number += 1) {
    await app.audit.record({
      action: 'MESSAGE_SENT',
      user_id: 'alice',
      room: 'lobby',
      message: `${number} ${BIG}`,
    });
  }
}

/** Waits until a stream is on record as ended for this reason. */
const ended = (server: TestApp, reason: string): Promise<void> =>
  until(`an end is on record: ${reason}`, async () =>
    (await server.events('action=AUDIT_STREAMED')).some(({ details }) => details.reason === reason),
  );

/** Watches the most bytes that ever waited in the responses of streams. */
function watchQueues({ app }: TestApp): { most: () => number } {
  const responses = new Set<ServerResponse>();
  let most = 0;
  app.server.on('request', ({ url }, response) => {
    if (url?.startsWith('/audit/stream') === true) responses.add(response);
  });
  app.tail.subscribe(() => {
    for (const { writableLength } of responses) most = Math.max(most, writableLength);
  });
  return { most: () => most };
}

const numbers = (stream: StreamReader) => stream.events.map(({ message }) => Number(message?.split(' ')[0]));
const upTo = (count: number) => Array.from({ length: count }, (_, number) => number);

test('who stops reading for a while gets everything later, and no more than a bound waits for them', async (t) => {
  const server = await build(t);
  const queues = watchQueues(server);
  const slow = await openStream(t, server, 'action=MESSAGE_SENT');
  const quick = await openStream(t, server, 'action=MESSAGE_SENT');
  slow.pause();
  await flood(server, FLOOD);
  await until('the other has all', () => quick.events.length === FLOOD);
  t.ok(slow.blocks.length < FLOOD / 2, 'much of it waits');
  t.ok(queues.most() < 2 * MIB, `${queues.most()} bytes`);
  slow.resume();
  await until('all has come', () => slow.blocks.length > FLOOD);
  t.strictSame(numbers(slow), upTo(FLOOD));
  await flood(server, 1);
  await until('it is live again', () => slow.blocks.length > FLOOD + 1);
});

test('what comes in a flood while a reader joins is read from the database, in order', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  between.setDelay(10);
  const [WRITERS, COUNT] = [4, 15];
  const flooding = Promise.all(upTo(WRITERS).map(() => flood(server, COUNT)));
  const stream = await openStream(t, server, 'action=MESSAGE_SENT&from=-1h');
  await flooding;
  between.setDelay(0);
  await until(
    'all has come',
    () => stream.blocks.filter(({ event }) => event === 'audit').length >= WRITERS * COUNT,
    30_000,
  );
  const shown = stream.events.map(({ seq }) => seq);
  t.strictSame(
    shown,
    (await server.events('action=MESSAGE_SENT')).map(({ seq }) => seq),
  );
});

test('who takes nothing for too long is ended, and goes on later without loss', async (t) => {
  const server = await build(t);
  const stream = await openStream(t, server, 'action=MESSAGE_SENT');
  stream.pause();
  await flood(server, FLOOD);
  await until('it is ended', () => server.app.streams.stats().tooSlow === 1, 20_000);
  await ended(server, 'too_slow');
  t.match(await (await server.get('/metrics', {})).text(), /^minutebook_streams_too_slow_total 1$/m);
  t.equal(server.app.streams.stats().open, 0);
  stream.resume();
  await stream.closed;
  t.ok(stream.blocks.length < FLOOD);
  const rest = await openStream(t, server, 'action=MESSAGE_SENT', { lastEventId: stream.lastId });
  await until('the rest has come', () => numbers(stream).length + rest.events.length === FLOOD);
  t.strictSame([...numbers(stream), ...numbers(rest)], upTo(FLOOD));
});

test('the server stops in time though streams are open and stuck, and their ends are on record before its own', async (t) => {
  const server = await build(t);
  const open = await openStream(t, server, 'action=MESSAGE_SENT');
  const stuck = await openStream(t, server, 'action=MESSAGE_SENT');
  stuck.pause();
  await flood(server, FLOOD);
  await until('the other has all', () => open.events.length === FLOOD);
  const startedAt = performance.now();
  await server.app.close();
  const took = performance.now() - startedAt;
  t.ok(took < 3_000, `${Math.round(took)} ms`);
  await open.closed;
  t.ok(open.complete, 'in order, for who reads');
  stuck.resume();
  await stuck.closed;
  const rows = await query<{ action: string; reason: string | null }>(
    server.databaseUrl,
    `select action, details->>'reason' as reason from audit_event order by seq desc limit 3`,
  );
  const ended = { action: 'AUDIT_STREAMED', reason: 'shutting_down' };
  t.strictSame(rows, [{ action: 'SERVER_STOPPED', reason: null }, ended, ended]);
});

test('a ban ends the streams of its user within a second, on every instance, and no other', async (t) => {
  const first = await build(t);
  const second = await build(t, { DATABASE_URL: first.databaseUrl });
  const streams = await Promise.all([
    openStream(t, first, '', { user: 'mallory' }),
    openStream(t, second, '', { user: 'mallory' }),
    openStream(t, second),
  ]);
  const [here, there, other] = streams;
  await act(first, 'PUT', '/bans/mallory', { reason: 'spam' });
  const bannedAt = performance.now();
  await Promise.all([here.closed, there.closed]);
  const took = performance.now() - bannedAt;
  t.ok(took < 1_000, `${Math.round(took)} ms`);
  t.notOk(other.ended);
  await ended(first, 'banned');
  t.equal((await openStream(t, second, '', { user: 'mallory' })).status, 403);
});

test('a stream ends with its token', async (t) => {
  const server = await build(t);
  // Good for as long as clocks may differ.
  const token = await new SignJWT({ scope: 'audit:read' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('auditor')
    .setExpirationTime(inSeconds(-55))
    .sign(new TextEncoder().encode(SECRET));
  const stream = await openStream(t, server, '', { token });
  t.equal(stream.status, 200);
  await stream.closed;
  t.ok(stream.complete);
  await ended(server, 'token_expired');
});

test('a stream ends when the key of its token is withdrawn', async (t) => {
  const [old, renewed] = [makeKey('ES256', 'old'), makeKey('ES256', 'new')];
  const keys = await issuer(t, old);
  const server = await build(t, { JWT_SECRET: '', JWKS_URL: keys.url });
  const [lost, kept] = [
    await openStream(t, server, '', { token: await signWith(old) }),
    await (async () => {
      keys.publish(old, renewed);
      return openStream(t, server, '', { token: await signWith(renewed, { sub: 'other' }) });
    })(),
  ];
  t.strictSame([lost.status, kept.status], [200, 200]);
  keys.publish(renewed);
  // Who comes with a key that is not known has the keys fetched anew.
  const stranger = makeKey('ES256', 'unknown');
  await openStream(t, server, '', { token: await signWith(stranger) });
  await lost.closed;
  t.notOk(kept.ended);
  const withdrawn = `select seq from audit_event where details->>'reason' = 'token_withdrawn'`;
  await until('that is on record', async () => (await query(server.databaseUrl, withdrawn)).length === 1);
});

test('clients that go away at any time leave nothing behind', async (t) => {
  const server = await build(t, { LIMIT_STREAMS_PER_USER: '5' });
  const { subscriptions } = server.app.tail;
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  for (let round = 0; round < 40; round += 1) {
    const gone = AbortSignal.timeout(Math.floor(round / 3));
    await fetch(`${server.url}/audit/stream?from=-1h`, { headers: { authorization }, signal: gone })
      .then((answer) => answer.text())
      .catch(() => {});
  }
  await until('all are over', () => server.app.streams.stats().open === 0);
  await until('each that was opened has its end', async () => {
    const phases = (await server.events('action=AUDIT_STREAMED')).map(({ details }) => details.phase);
    return phases.filter((phase) => phase === 'opened').length * 2 === phases.length;
  });
  t.equal(server.app.tail.subscriptions, subscriptions);
  for (let number = 0; number < 5; number += 1) t.equal((await openStream(t, server)).status, 200);
});

test('a log that is put back while a stream is open cuts it, and who comes back is told', async (t) => {
  const server = await build(t);
  const stream = await openStream(t, server, 'action=MESSAGE_SENT');
  const { id } = await stream.next('open');
  const [epoch, head] = id.split(':');
  await server.app.audit.record({ action: 'MESSAGE_SENT', user_id: 'alice', message: 'lost' });
  await stream.next('audit');
  await putBack(server.databaseUrl, Number(head) + 1);
  await stream.closed;
  let back = stream;
  await until('it can be read again', async () => {
    back = await openStream(t, server, 'action=MESSAGE_SENT', { lastEventId: stream.lastId });
    return back.status === 200;
  });
  const { data } = await back.next('reset');
  t.equal(data.reason, 'wrong_epoch');
  t.not(data.epoch, epoch);
  await server.app.audit.record({ action: 'MESSAGE_SENT', user_id: 'alice', message: 'new' });
  t.match(await back.next('audit'), { data: { message: 'new' } });
  t.ok(back.lastId?.startsWith(`${data.epoch}:`));
});
