import { randomUUID } from 'node:crypto';
import { type Test, test } from 'tap';
import type { PostgresLogStore } from '../../db/append.ts';
import { findBan, isInFuture, listBans, readBans } from '../../db/bans.ts';
import type { Db } from '../../db/client.ts';
import type { PendingEvent } from '../../src/core/events.ts';
import { joinLog, openDb, pendingEvent } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';

type Log = { url: string; db: Db; store: PostgresLogStore };

async function open(t: Test): Promise<Log> {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  return { url, db, store: await joinLog(db) };
}

const connected = (user_id: string, session_id: string): PendingEvent =>
  pendingEvent({ action: 'CONNECTED', user_id, session_id, details: { user_agent: null } });
const disconnected = (user_id: string, session_id: string): PendingEvent =>
  pendingEvent({
    action: 'DISCONNECTED',
    user_id,
    session_id,
    details: { code: 4403, reason: 'kicked', duration_ms: 1, rooms: [], room_count: 0 },
  });
const said = (user_id: string, session_id: string): PendingEvent =>
  pendingEvent({ action: 'MESSAGE_SENT', user_id, session_id, room: 'lobby', message: 'hi' });
const kicked = (session_id: string): PendingEvent =>
  pendingEvent({ action: 'USER_KICKED', user_id: 'admin', session_id, details: { reason: null } });
const banned = (target_user_id: string, until: string | null = null, reason = 'spam'): PendingEvent =>
  pendingEvent({ action: 'USER_BANNED', user_id: 'admin', target_user_id, details: { reason, until } });
const unbanned = (target_user_id: string): PendingEvent =>
  pendingEvent({ action: 'USER_UNBANNED', user_id: 'admin', target_user_id, details: { reason: null } });

const PAST = '2001-01-01T00:00:00.000000Z';
const FUTURE = '2099-01-01T00:00:00.000000Z';

const countOf = async (url: string): Promise<number> =>
  Number((await query<{ count: string }>(url, 'select count(*) from audit_event'))[0]?.count);

test('a ban is written by the commit of its event, and a retry of the batch changes nothing', async (t) => {
  const { url, db, store } = await open(t);
  const { first_seq, timestamp } = await store.append(1, [banned('mallory', FUTURE)]);
  const rows = { user_id: 'mallory', reason: 'spam', until: FUTURE, banned_by: 'admin' };
  const expected = { bans: [{ ...rows, banned_at: timestamp, seq: first_seq }], hasMore: false };
  t.strictSame(await listBans(db, -1, 10), expected);
  await store.append(2, [unbanned('mallory')]);
  t.strictSame(await store.append(1, [banned('mallory', FUTURE)]), { first_seq, timestamp });
  t.strictSame((await listBans(db, -1, 10)).bans, [], 'what was lifted since stays lifted');
  t.equal(await countOf(url), 3);
});

test('where an event cannot be written, neither can its ban', async (t) => {
  const { url, store } = await open(t);
  await t.rejects(store.append(1, [banned('mallory', 'no time at all')]), {
    name: 'AppendError',
    kind: 'item',
  });
  t.strictSame(await query(url, 'select * from chat_ban'), []);
  t.equal(await countOf(url), 1);
});

test('of several bans of one user the last one counts, in one batch as in many', async (t) => {
  const { db, store } = await open(t);
  await store.append(1, [banned('a', null, 'one'), banned('a', null, 'two'), banned('b'), unbanned('b')]);
  await store.append(2, [unbanned('c'), banned('c'), unbanned('d')]);
  const { bans, nextSeq } = await readBans(db);
  t.strictSame([...bans.keys()].toSorted(), ['a', 'c']);
  t.match(bans.get('a'), { reason: 'two', seq: 2, until: null, remainingMs: null });
  t.equal(nextSeq, 8);
  await store.append(3, [banned('a', FUTURE, 'three')]);
  t.match(await findBan(db, 'a'), { reason: 'three', seq: 8, until: FUTURE });
});

test('a ban that has lapsed is in force nowhere, and goes with the next one', async (t) => {
  const { url, db, store } = await open(t);
  await store.append(1, [banned('mallory', PAST), banned('trudy', FUTURE)]);
  t.equal(await findBan(db, 'mallory'), undefined);
  t.equal(await findBan(db, 'nobody'), undefined);
  t.strictSame([...(await readBans(db)).bans.keys()], ['trudy']);
  t.strictSame(
    (await listBans(db, -1, 10)).bans.map(({ user_id }) => user_id),
    ['trudy'],
  );
  const { remainingMs } = (await findBan(db, 'trudy')) ?? {};
  const expected = Date.parse(FUTURE) - Date.now();
  t.ok(Math.abs((remainingMs ?? 0) - expected) < 60_000, 'how long it lasts yet is told');
  t.ok(await store.append(2, [connected('mallory', randomUUID())]), 'and keeps nobody out');
  await store.append(3, [unbanned('somebody')]);
  t.match(await query(url, 'select user_id from chat_ban'), [{ user_id: 'trudy' }]);
  t.equal(await isInFuture(db, FUTURE), true);
  t.equal(await isInFuture(db, PAST), false);
});

test('nothing that a session says stands after its kick, and others are not touched by it', async (t) => {
  const { url, store } = await open(t);
  const other = await joinLog(openDb(t, url));
  const [a, b] = [randomUUID(), randomUUID()];
  await store.append(1, [connected('alice', a), connected('alice', b), said('alice', a)]);
  await other.append(1, [kicked(a)]);
  const before = await countOf(url);
  const join = { user_id: 'alice', session_id: a, room: 'elsewhere' };
  for (const draft of [
    said('alice', a),
    pendingEvent({ action: 'JOINED', ...join }),
    pendingEvent({ action: 'LEFT', ...join }),
  ]) {
    await t.rejects(store.append(2, [said('alice', b), draft, said('bob', randomUUID()), draft]), {
      name: 'AppendError',
      kind: 'expelled',
      expelled: [1, 3],
    });
  }
  t.equal(await countOf(url), before, 'a batch is refused as a whole');
  await store.append(2, [said('alice', b)]);
  await other.append(2, [kicked(a)]);
  await store.append(3, [disconnected('alice', a)]);
  t.strictSame(await query(url, 'select * from chat_kick'), [], 'its end is the end of the kick');
  t.match(await query(url, 'select session_id from chat_session'), [{ session_id: b }]);
});

test('within one batch, too, what was said before the kick stays and what comes after is refused', async (t) => {
  const { url, store } = await open(t);
  const [a, b] = [randomUUID(), randomUUID()];
  await store.append(1, [connected('alice', a), said('alice', a), kicked(a)]);
  await t.rejects(store.append(2, [connected('bob', b), said('bob', b), kicked(b), said('bob', b)]), {
    name: 'AppendError',
    kind: 'expelled',
    expelled: [3],
  });
  await store.append(3, [connected('bob', b), kicked(b), disconnected('bob', b)]);
  t.match(await query(url, 'select session_id from chat_kick'), [{ session_id: a }]);
});

test('a kick of a session that is over, or never was, leaves nothing behind', async (t) => {
  const { url, store } = await open(t);
  const a = randomUUID();
  await store.append(1, [connected('alice', a), disconnected('alice', a)]);
  await store.append(2, [kicked(a), kicked(randomUUID())]);
  t.strictSame(await query(url, 'select * from chat_kick'), []);
});

test('a ban ends what its user has open, and lets nothing new in, until it is lifted', async (t) => {
  const { url, store } = await open(t);
  const [a, b, c] = [randomUUID(), randomUUID(), randomUUID()];
  await store.append(1, [connected('mallory', a), connected('mallory', b), connected('alice', c)]);
  await store.append(2, [banned('mallory')]);
  await t.rejects(store.append(3, [said('mallory', a), said('alice', c), said('mallory', b)]), {
    name: 'AppendError',
    kind: 'expelled',
    expelled: [0, 2],
  });
  const again = randomUUID();
  await t.rejects(store.append(4, [connected('mallory', again)]), {
    name: 'AppendError',
    kind: 'expelled',
    expelled: [0],
  });
  await store.append(5, [connected('alice', randomUUID()), said('alice', c)]);
  await store.append(6, [unbanned('mallory'), connected('mallory', again), said('mallory', again)]);
  await t.rejects(
    store.append(7, [said('mallory', a)]),
    { name: 'AppendError', kind: 'expelled' },
    'what the ban has ended stays ended',
  );
  const before = { user_id: 'mallory', session_id: randomUUID() };
  await t.rejects(
    store.append(8, [
      connected(before.user_id, before.session_id),
      banned('mallory'),
      said(before.user_id, before.session_id),
      connected('mallory', randomUUID()),
    ]),
    { name: 'AppendError', kind: 'expelled', expelled: [2, 3] },
    'within one batch as well',
  );
  t.equal((await query(url, 'select * from chat_kick')).length, 2);
});

test('a ban holds at every place of a batch, also where the same batch bans anew or lifts it', async (t) => {
  const { store } = await open(t);
  const come = () => connected('mallory', randomUUID());
  await store.append(1, [banned('mallory')]);
  for (const [index, [what, batch, expelled]] of (
    [
      ['before it is pronounced anew', [come(), banned('mallory'), come()], [0, 2]],
      ['before it is lifted', [come(), unbanned('mallory'), come(), banned('mallory'), come()], [0, 4]],
      ['between two bans', [unbanned('mallory'), banned('mallory'), come(), banned('mallory')], [2]],
      ['between a ban and its lifting', [banned('mallory'), come(), unbanned('mallory')], [1]],
      ['before a ban that has lapsed already', [come(), banned('mallory', PAST), come()], [0]],
      ['beside another’s', [unbanned('eve'), come(), banned('eve')], [1]],
    ] as [string, PendingEvent[], number[]][]
  ).entries()) {
    const refused = { name: 'AppendError', kind: 'expelled', expelled };
    await t.rejects(store.append(index + 2, batch), refused, what);
  }
  await store.append(20, [unbanned('mallory'), come(), banned('mallory', PAST), come(), come()]);
});
