import { randomUUID } from 'node:crypto';
import { type Test, test } from 'tap';
import type { PostgresLogStore } from '../../db/append.ts';
import type { Db } from '../../db/client.ts';
import { eventsFrom } from '../../db/events.ts';
import type { Draft } from '../../src/core/events.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { joinLog, messages, openDb, pendingEvent } from '../support/log-store.ts';
import { connection, createDatabase, query } from '../support/postgres.ts';

/** Writers count as long back when they have been there for 5 s. */
const settle = (url: string, id: string) =>
  query(url, "update audit_writer set held_since = held_since - interval '6 s' where id = $1", [id]);
const lapse = (url: string, id: string) =>
  query(url, "update audit_writer set lease_until = clock_timestamp() - interval '1 ms' where id = $1", [id]);

const open = (session_id: string, user_id: string): Draft => ({
  action: 'CONNECTED',
  user_id,
  session_id,
  ip: '192.0.2.1',
  details: { user_agent: null },
});
const move = (action: 'JOINED' | 'LEFT', session_id: string, room: string): Draft => ({
  action,
  user_id: 'alice',
  session_id,
  room,
});
const append = (store: PostgresLogStore, number: number, ...drafts: Draft[]) =>
  store.append(
    number,
    drafts.map((draft) => pendingEvent(draft)),
  );
const roomsOf = (url: string) =>
  query<{ room: string; joined_seq: string }>(
    url,
    'select room, joined_seq from chat_session_room order by joined_seq, room',
  );

/** Two writers, the second of which may reap the first. */
async function two(
  t: Test,
): Promise<{ url: string; db: Db; lost: PostgresLogStore; reaper: PostgresLogStore }> {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const lost = await joinLog(db, 'lost');
  const reaper = await joinLog(db, 'reaper');
  await settle(url, 'reaper');
  return { url, db, lost, reaper };
}

test('the rooms of a session come and go in the commits of its events', async (t) => {
  const { url, lost } = await two(t);
  const [one, other] = [randomUUID(), randomUUID()];
  await append(
    lost,
    1,
    open(one, 'alice'),
    move('JOINED', one, 'a'),
    move('JOINED', one, 'b'),
    open(other, 'bob'),
  );
  t.strictSame(await roomsOf(url), [
    { room: 'a', joined_seq: '2' },
    { room: 'b', joined_seq: '3' },
  ]);
  await append(lost, 2, move('LEFT', one, 'a'), move('JOINED', one, 'c'), move('LEFT', one, 'c'));
  t.strictSame(await roomsOf(url), [{ room: 'b', joined_seq: '3' }], 'in and out within one batch');
  await append(lost, 3, move('LEFT', one, 'b'), move('JOINED', one, 'b'), move('JOINED', other, 'b'));
  t.strictSame(await roomsOf(url), [
    { room: 'b', joined_seq: '9' },
    { room: 'b', joined_seq: '10' },
  ]);
  const details = { code: 1000, reason: '', duration_ms: 1, rooms: ['b'], room_count: 1 };
  await append(lost, 4, move('JOINED', one, 'd'), { ...open(one, 'alice'), action: 'DISCONNECTED', details });
  t.strictSame(await roomsOf(url), [{ room: 'b', joined_seq: '10' }], 'the end leaves every room');
});

test('whatever a lost instance had open is ended once: itself, then its sessions', async (t) => {
  const { url, db, lost, reaper } = await two(t);
  const [alice, bob] = [randomUUID(), randomUUID()];
  await append(
    lost,
    1,
    open(alice, 'alice'),
    move('JOINED', alice, 'a'),
    move('JOINED', alice, 'b'),
    open(bob, 'bob'),
  );
  t.equal(await reaper.reap(500), 0, 'its lease is good');
  await lapse(url, 'lost');
  t.equal(await reaper.reap(500), 3);
  t.equal(await reaper.reap(500), 0);
  const ended = (await eventsFrom(db, 5, 10)).events;
  t.match(ended, [
    {
      action: 'INSTANCE_LOST',
      instance: 'reaper',
      user_id: null,
      details: { instance: 'lost', sessions: 2 },
    },
    {
      action: 'DISCONNECTED',
      instance: 'reaper',
      user_id: 'alice',
      session_id: alice,
      ip: '192.0.2.1',
      details: { code: 1006, reason: 'instance_lost', rooms: ['a', 'b'], room_count: 2 },
    },
    { action: 'DISCONNECTED', user_id: 'bob', session_id: bob, details: { rooms: [], room_count: 0 } },
  ]);
  t.equal(ended.length, 3);
  const { duration_ms } = (ended[1]?.details ?? {}) as { duration_ms?: number };
  t.ok(Number.isInteger(duration_ms) && Number(duration_ms) >= 0);
  t.strictSame(await query(url, 'select * from chat_session'), []);
  t.strictSame(await query(url, 'select id from audit_writer'), [{ id: 'reaper' }]);
  t.equal(await lost.rejoin(), false, 'it cannot come back');
  t.ok(lost.lease.isLost);
  await t.rejects(lost.append(2, messages(1)), { name: 'AppendError', kind: 'fenced' });
  t.match(await lost.resolve(1), { first_seq: 1 }, 'what it had in doubt can be told for ever');
  t.equal(await lost.resolve(2), null);
});

test('many sessions are ended in several commits, and a reaper that dies in between is followed by another', async (t) => {
  const { url, db, lost, reaper } = await two(t);
  const sessions = Array.from({ length: 5 }, () => randomUUID());
  await append(lost, 1, ...sessions.map((id, n) => open(id, `user-${n}`)));
  await lapse(url, 'lost');
  t.equal(await reaper.reap(2), 3, 'INSTANCE_LOST and two ends');
  t.equal(await lost.rejoin(), false, 'from the first commit on it is lost');
  const next = await joinLog(db, 'next');
  await settle(url, 'next');
  t.equal(await next.reap(2), 2);
  t.equal(await next.reap(2), 1);
  t.equal(await next.reap(2), 0);
  const actions = (await eventsFrom(db, 6, 10)).events.map(
    ({ action, session_id }: AuditEvent) => session_id ?? action,
  );
  t.strictSame(actions, ['INSTANCE_LOST', ...sessions]);
  t.equal((await query(url, "select from audit_writer where id = 'lost'")).length, 0);
});

test('an instance that has only just come back gives nobody up, for the others may be about to come back too', async (t) => {
  const { url, db, lost } = await two(t);
  await append(lost, 1, open(randomUUID(), 'alice'));
  const fresh = await joinLog(db, 'fresh');
  await lapse(url, 'lost');
  t.equal(await fresh.reap(500), 0);
  await lapse(url, 'reaper');
  await query(url, "update audit_writer set held_since = held_since - interval '1 hour' where id = 'reaper'");
  const reaper = await joinLog(db, 'other');
  await settle(url, 'other');
  t.ok(await lost.rejoin(), 'it was away and is back');
  t.equal(await reaper.reap(500), 1, 'only the other is lost');
  const [writer] = await query<{ young: boolean }>(
    url,
    "select clock_timestamp() - held_since < interval '5 s' as young from audit_writer where id = 'lost'",
  );
  t.ok(writer?.young, 'a lease that lapsed counts from anew');
});

test('a fenced or lapsed instance reaps nobody', async (t) => {
  const { url, reaper } = await two(t);
  await lapse(url, 'lost');
  await lapse(url, 'reaper');
  t.equal(await reaper.reap(500), 0);
  await query(url, "select audit_rejoin('reaper')");
  t.equal(await reaper.reap(500), 0, 'under an old term');
});

test('an append under way of an instance whose lease lapses is not waited for, and counts', async (t) => {
  const { url, lost, reaper } = await two(t);
  await lapse(url, 'lost');
  const holder = await connection(t, url);
  await holder.query('begin');
  await holder.query("select from audit_writer where id = 'lost' for share");
  t.equal(await reaper.reap(500), 0, 'its row is in use');
  await holder.query('commit');
  t.equal(await reaper.reap(500), 1);
  t.equal(await lost.rejoin(), false);
});

test('who leaves sessions behind is ended like one that is lost; who leaves none is gone', async (t) => {
  const { url, lost, reaper } = await two(t);
  await append(lost, 1, open(randomUUID(), 'alice'));
  await lost.leave();
  t.equal(await reaper.reap(500), 2);
  await reaper.leave();
  t.strictSame(await query(url, 'select id from audit_writer'), []);
});

test('a renewal tells how the log stands and who else writes', async (t) => {
  const { url, lost, reaper } = await two(t);
  await append(lost, 1, open(randomUUID(), 'alice'));
  const [log] = await query<{ epoch: string }>(url, 'select epoch from audit_log');
  const renewal = await reaper.renew();
  t.match(renewal, { held: true, epoch: log?.epoch, nextSeq: 2, aheadMs: 0, others: 1 });
  t.ok(renewal.lapseMs !== null && renewal.lapseMs > 8_000 && renewal.lapseMs <= 10_000);
  await lapse(url, 'lost');
  const after = await reaper.renew();
  t.equal(after.others, 0);
  t.ok(after.lapseMs !== null && after.lapseMs < 0);
  await lapse(url, 'reaper');
  t.match(await reaper.renew(), { held: true }, 'a lapsed lease is had again under a new term');
  await query(url, "update audit_writer set lost = true, term = 0 where id = 'reaper'");
  t.match(await reaper.renew(), { held: false });
});

// ---- the identity of the history

const historyOf = (url: string) =>
  query<{ epoch: string; timeline: number | null; known: boolean }>(
    url,
    'select epoch, timeline, system_identifier is not null and database_oid is not null as known from audit_log',
  );

test('the first check notes where the log is; the next ones find nothing new', async (t) => {
  const { url, reaper } = await two(t);
  const [before] = await historyOf(url);
  t.match(before, { timeline: null, known: false });
  const history = await reaper.checkHistory(new Map());
  t.strictSame(history, { epoch: before?.epoch, reason: null, nextSeq: 1 });
  t.match(await historyOf(url), [{ epoch: before?.epoch, timeline: 1, known: true }]);
  const seen = new Map([
    [history.epoch, 1],
    ['another-log', 1_000],
  ]);
  t.strictSame(await reaper.checkHistory(seen), history, 'what was seen is there');
});

for (const [reason, change, seen] of [
  ['moved', 'update audit_log set system_identifier = system_identifier + 1', 0],
  ['moved', 'update audit_log set database_oid = 1', 0],
  ['timeline', 'update audit_log set timeline = timeline + 1', 0],
  ['rewound', 'select', 2],
] as const) {
  test(`a new epoch begins: ${reason} (${change})`, async (t) => {
    const { url, db, reaper } = await two(t);
    const { epoch } = await reaper.checkHistory(new Map());
    await query(url, change);
    const history = await reaper.checkHistory(new Map([[epoch, seen]]));
    t.match(history, { reason, nextSeq: 1 });
    t.not(history.epoch, epoch);
    t.match(history.epoch, /^[a-z0-9-]{1,36}$/);
    t.match((await eventsFrom(db, 1, 10)).events, [
      { seq: 1, action: 'EPOCH_STARTED', details: { epoch: history.epoch, previous_epoch: epoch, reason } },
    ]);
    const again = await reaper.checkHistory(new Map([[epoch, seen]]));
    t.match(again, { epoch: history.epoch, reason: null, nextSeq: 2 }, 'once');
  });
}

test('a copy of a database is another history', async (t) => {
  const { url, reaper } = await two(t);
  const { epoch } = await reaper.checkHistory(new Map());
  const name = `${new URL(url).pathname.slice(1)}_copy`;
  const copy = new URL(url);
  copy.pathname = `/${name}`;
  const admin = new URL(url);
  admin.pathname = '/postgres';
  await query(
    admin.href,
    `select pg_terminate_backend(pid) from pg_stat_activity where datname = '${new URL(url).pathname.slice(1)}'`,
  );
  await query(admin.href, `create database ${name} template ${new URL(url).pathname.slice(1)}`);
  t.teardown(() => query(admin.href, `drop database if exists ${name} with (force)`));
  const store = await joinLog(openDb(t, copy.href));
  const history = await store.checkHistory(new Map());
  t.equal(history.reason, 'moved');
  t.not(history.epoch, epoch);
});
