import { test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build, problemIn, type TestApp } from '../support/app.ts';
import { type Client, connect, until } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { query } from '../support/postgres.ts';

const texts = (events: readonly AuditEvent[]) => events.map(({ message }) => message);

/** Somebody in a room who speaks; every text is on record when it resolves. */
async function speaker(t: Parameters<typeof connect>[0], server: TestApp, user = 'alice', room = 'lobby') {
  const client: Client = await connect(t, server, user, { room });
  await client.next('welcome');
  await client.next('joined');
  const say = async (...said: string[]) => {
    const acks = [];
    for (const text of said) acks.push(await client.ask({ type: 'message', text }));
    return acks.map(({ seq }) => seq ?? -1);
  };
  return { client, say };
}

test('a stream begins with its place in the log, and shows what comes as /audit does', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  await say('before');
  const head = server.app.tail.next - 1;
  const { epoch } = server.app.audit;
  const stream = await openStream(t, server, 'room=lobby');
  t.equal(stream.status, 200);
  t.match(stream.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
  });
  t.strictSame(await stream.next('open'), {
    id: `${epoch}:${head}`,
    data: { epoch, first_seq: 0, next_seq: head + 1 },
  });
  t.match(stream.text, /^event: open\nid: \S+\nretry: 2000\ndata: /);
  await say('one', 'two', 'three');
  await until('all have come', () => stream.events.length === 3);
  const [, ...after] = await server.events('action=MESSAGE_SENT');
  t.strictSame(stream.events, after);
  t.equal(stream.lastId, `${epoch}:${stream.events.at(-1)?.seq}`);
});

test('whatever was said cannot forge an event, nor end one', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  const stream = await openStream(t, server, 'action=MESSAGE_SENT');
  const forged = ['\n', '\r', '\r\n', '\u2028', '\u2029', '\u0085', '\v', '\f'].map(
    (end) => `x${end}${end}event: end${end}id: forged:1${end}data: {}${end}${end}`,
  );
  await say(...forged);
  await until('all have come', () => stream.events.length === forged.length);
  t.strictSame(texts(stream.events), forged);
  t.ok(stream.blocks.every(({ event, id }) => event !== 'end' && !id?.startsWith('forged')));
  t.notMatch(stream.text, /[\r\v\f\u0085\u2028\u2029]/);
});

test('history and live are one: from begins in history, an id goes on after it, and the header wins', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  const seqs = await say('a', 'b', 'c', 'd');
  const { epoch } = server.app.audit;
  const FILTER = 'action=MESSAGE_SENT';
  const [past, after, resumed, both] = await Promise.all([
    openStream(t, server, `${FILTER}&from=-1h`),
    openStream(t, server, `${FILTER}&after=${epoch}:${seqs[0]}`),
    openStream(t, server, FILTER, { lastEventId: `${epoch}:${seqs[1]}` }),
    openStream(t, server, `${FILTER}&after=${epoch}:${seqs[0]}`, { lastEventId: `${epoch}:${seqs[2]}` }),
  ]);
  t.match(await resumed.next('open'), { id: `${epoch}:${seqs[1]}` }, 'cut here, it would lose nothing');
  await say('e');
  for (const [stream, expected] of [
    [past, 'abcde'],
    [after, 'bcde'],
    [resumed, 'cde'],
    [both, 'de'],
  ] as const) {
    await until(`${expected} has come`, () => stream.events.at(-1)?.message === 'e');
    t.equal(texts(stream.events).join(''), expected);
  }
});

test('an interval that is over ends the stream, and so does one when its end has come', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  await say('a', 'b');
  const [, b] = await server.events('action=MESSAGE_SENT');
  await say('c');
  const { epoch } = server.app.audit;
  const past = await openStream(t, server, `action=MESSAGE_SENT&from=-1h&to=${b?.timestamp}`);
  t.strictSame(await past.next('end'), { id: `${epoch}:${(b?.seq ?? 0) - 1}`, data: { to: b?.timestamp } });
  await past.closed;
  t.ok(past.complete);
  t.strictSame(texts(past.events), ['a']);

  const to = new Date(Date.now() + 1_500).toISOString();
  const soon = await openStream(t, server, `action=MESSAGE_SENT&from=-1h&to=${to}`);
  await say('d');
  let said = 0;
  await until('the end has come', async () => {
    said += 1;
    await say(`later ${said}`);
    return soon.ended;
  });
  const { id, data } = await soon.next('end');
  t.ok(soon.complete);
  const shown = await server.events(`action=MESSAGE_SENT&to=${to}`);
  t.strictSame(soon.events, shown);
  t.equal(data.to, to.replace('Z', '000Z'));
  const [next] = await server.events(`from=${to}`);
  t.equal(id, `${epoch}:${(next?.seq ?? 0) - 1}`, 'what comes after is not skipped by who goes on');

  const beyond = `${epoch}:${(next?.seq ?? 0) + 1}`;
  const back = await openStream(t, server, `from=-1s&to=${to}`, { lastEventId: beyond });
  t.match(await back.next('end'), { id: beyond }, 'who has seen more is not sent back');

  for (const soonOver of [0, 300]) {
    const quiet = await openStream(
      t,
      server,
      `action=LEFT&to=${new Date(Date.now() + soonOver).toISOString()}`,
    );
    if (soonOver > 0) await until('it has come', async () => (await server.page('limit=1')) && quiet.ended);
    await quiet.closed;
    t.equal(quiet.blocks.at(-1)?.event, 'end', 'also where nothing matches, and nothing more happens');
  }

  const future = await openStream(
    t,
    server,
    `action=MESSAGE_SENT&from=${new Date(Date.now() + 3_600_000).toISOString()}`,
  );
  const present = await openStream(t, server, 'action=MESSAGE_SENT');
  await say('too early');
  await present.next('audit');
  t.strictSame(future.events, [], 'an interval that has not begun shows nothing');
});

test('a place that cannot be gone on from is said, and the stream goes on from another', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  const [a = 0, b = 0] = await say('a', 'b');
  const { epoch } = server.app.audit;
  const head = () => server.app.tail.next - 1;
  for (const [lastEventId, reason] of [
    [`other-epoch:${a}`, 'wrong_epoch'],
    [`${epoch}:${head() + 1_000}`, 'beyond_head'],
  ] as const) {
    const next = server.app.tail.next;
    const stream = await openStream(t, server, 'action=MESSAGE_SENT', { lastEventId });
    const reset = await stream.next('reset');
    t.strictSame(reset, {
      id: `${epoch}:${next - 1}`,
      data: { reason, epoch, first_seq: 0, next_seq: next },
    });
    await say('now');
    await stream.next('audit');
    t.strictSame(texts(stream.events), ['now']);
  }
  await query(server.databaseUrl, `update audit_log set first_seq = ${b}`);
  const expired = await openStream(t, server, 'action=MESSAGE_SENT', { lastEventId: `${epoch}:${b - 2}` });
  t.strictSame(await expired.next('reset'), {
    id: `${epoch}:${b - 1}`,
    data: { reason: 'expired', epoch, first_seq: b, next_seq: b },
  });
  await until('what is kept has come', () => expired.events.length === 3);
  t.strictSame(texts(expired.events), ['b', 'now', 'now']);
  const kept = await openStream(t, server, 'action=MESSAGE_SENT', { lastEventId: `${epoch}:${b - 1}` });
  await kept.next('audit');
  t.notOk(kept.blocks.some(({ event }) => event === 'reset'));
});

test('what is not valid is refused by name, and so is who may not', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  const { epoch } = server.app.audit;
  for (const [search, parameter] of [
    ['acton=LEFT', 'acton'],
    ['action=NOPE', 'action'],
    ['room=a&room=b', 'room'],
    ['q=', 'q'],
    ['limit=5', 'limit'],
    ['after=', 'after'],
    [`after=${epoch}`, 'after'],
    [`after=${epoch}:1&after=${epoch}:2`, 'after'],
    ['from=-1m&to=-2m', 'from'],
    ['from=2026-01-01T00:00:00Z&to=-500000w', 'from'],
  ] as const) {
    const answer = await server.get(`/audit/stream?${search}`);
    t.equal(answer.status, 400, search);
    t.match(await problemIn(answer), { code: 'invalid_parameter', parameter }, search);
  }
  const lastEventId = `${epoch}:1`;
  for (const [search, id, parameter] of [
    ['', 'nonsense', 'Last-Event-ID'],
    [`after=${lastEventId}`, 'nonsense', 'Last-Event-ID'],
    ['after=nonsense', lastEventId, 'after'],
    ['after=', lastEventId, 'after'],
  ] as const) {
    const answer = await server.get(`/audit/stream?${search}`, { authorization, 'last-event-id': id });
    t.equal(answer.status, 400, `${search} beside ${id}`);
    t.match(await problemIn(answer), { code: 'invalid_parameter', parameter }, `${search} beside ${id}`);
  }
  t.equal((await server.get('/audit/stream', {})).status, 401);
  const chat = await server.token('alice', 'chat');
  t.equal((await server.get('/audit/stream', { authorization: `Bearer ${chat}` })).status, 403);
  t.strictSame(await server.events('action=AUDIT_STREAMED'), [], 'none was opened');
});

test('HEAD gives the headers, and opens nothing', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  const answer = await fetch(`${server.url}/audit/stream`, { method: 'HEAD', headers: { authorization } });
  t.equal(answer.status, 200);
  t.equal(answer.headers.get('content-type'), 'text/event-stream; charset=utf-8');
  t.equal(answer.headers.get('cache-control'), 'no-store, no-transform');
  t.strictSame(await server.events('action=AUDIT_STREAMED'), []);
});

test('a stream is on record before its first byte and when it ends, with what it showed', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  const next = server.app.tail.next;
  const stream = await openStream(t, server, 'action=MESSAGE_SENT&action=LEFT&room=lobby&from=-1h');
  const filters = { action: ['MESSAGE_SENT', 'LEFT'], room: 'lobby', from: '-1h' };
  await stream.next('open');
  const [opened] = await server.events('action=AUDIT_STREAMED');
  t.match(opened, { user_id: 'auditor', ip: '127.0.0.1', seq: next });
  t.strictSame(opened?.details, { phase: 'opened', filters, from_seq: 0 });
  await say('a', 'b');
  await until('both have come', () => stream.events.length === 2);
  t.equal(server.app.streams.stats().open, 1);
  stream.cut();
  await until(
    'its end is on record',
    async () => (await server.events('action=AUDIT_STREAMED')).length === 2,
  );
  const [, ended] = await server.events('action=AUDIT_STREAMED');
  t.match(ended, { user_id: 'auditor', ip: '127.0.0.1' });
  t.strictSame(ended?.details, {
    phase: 'ended',
    filters,
    from_seq: 0,
    opened_seq: next,
    rows: 2,
    reason: 'client_gone',
  });
  t.equal(server.app.streams.stats().open, 0, 'nothing is left of it');
  const own = await openStream(t, server, 'action=AUDIT_STREAMED');
  t.match(await own.next('audit'), { data: { details: { phase: 'opened' } } }, 'who looks sees itself');
});

test('a user may have so many streams open, and not one more', async (t) => {
  const server = await build(t, { LIMIT_STREAMS_PER_USER: '2', LIMIT_QUERIES_PER_MINUTE: '100' });
  const first = await openStream(t, server);
  t.match(first.headers, { 'ratelimit-policy': '"queries";q=100;w=60', ratelimit: /r=99/ });
  const second = await openStream(t, server);
  t.strictSame([first.status, second.status], [200, 200]);
  const third = await openStream(t, server, 'acton=wrong');
  t.equal(third.status, 429, 'which comes before what is wrong with it');
  t.ok(Number(third.headers['retry-after']) > 0);
  t.equal((await openStream(t, server, '', { user: 'another' })).status, 200);
  second.cut();
  await until('there is room again', async () => (await openStream(t, server)).status === 200);
});

test('the streams of a user are written so many bytes in a second, together, and lose nothing', async (t) => {
  const perSecond = 100_000;
  const server = await build(t, { LIMIT_STREAM_BYTES_PER_SECOND_USER: String(perSecond) });
  const { say } = await speaker(t, server);
  const [first, second] = [
    await openStream(t, server, 'room=lobby'),
    await openStream(t, server, 'room=lobby'),
  ];
  const other = await openStream(t, server, 'q=1,', { user: 'another' });
  const said = Array.from({ length: 40 }, (_, n) => `${n},`.padEnd(4_000, 'x'));
  const startedAt = performance.now();
  await say(...said);
  const saidAt = performance.now();
  await until('who has little to read has it', () => other.events.length === 4);
  const early = performance.now() - saidAt;
  await until('all have come', () => first.events.length + second.events.length === 2 * said.length, 20_000);
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const stream of [first, second]) t.strictSame(texts(stream.events), said);
  const bytes = first.text.length + second.text.length;
  // What is kept for a burst, and the round that leaves a debt.
  const atOnce = perSecond + 2 * 64 * 1024;
  t.ok(seconds >= (bytes - atOnce) / perSecond, `${bytes} bytes in ${seconds} s`);
  t.ok(early < 1_000, 'nobody else waits');
});

test('a page of an allowed origin may read it', async (t) => {
  const origin = 'https://console.example';
  const server = await build(t, { ALLOWED_ORIGINS: origin });
  const stream = await openStream(t, server, '', { headers: { origin } });
  t.equal(stream.headers['access-control-allow-origin'], origin);
});

test('a heartbeat says how far the log was looked through, though nothing was shown', async (t) => {
  const server = await build(t);
  const { say } = await speaker(t, server);
  const { epoch } = server.app.audit;
  const stream = await openStream(t, server, 'user_id=nobody');
  const [last = 0] = await say('not shown');
  const isHeartbeat = () => stream.blocks.some(({ comment, id }) => comment && id !== undefined);
  await until('a heartbeat has come', isHeartbeat, 20_000);
  t.ok(Number(stream.lastId?.split(':')[1]) >= last, 'up to what was said');
  t.match(stream.text, `: heartbeat\nid: ${epoch}:`);
  t.strictSame(stream.events, []);
  const id = stream.lastId;
  stream.cut();
  await say('shown');
  const resumed = await openStream(t, server, 'user_id=alice', { lastEventId: id });
  await resumed.next('audit');
  t.strictSame(texts(resumed.events), ['shown'], 'what was looked through is not looked through again');
});
