import { randomUUID } from 'node:crypto';
import { type Test, test } from 'tap';
import type { Db } from '../../db/client.ts';
import {
  countEvents,
  eventsFrom,
  getEvent,
  listEvents,
  MAX_TOTAL,
  readLogState,
  readNextSeq,
  roomMessages,
  type SeqRange,
} from '../../db/events.ts';
import { actionNames } from '../../src/core/actions.ts';
import { type PendingEvent, placeEvent } from '../../src/core/events.ts';
import type { Filter } from '../../src/core/filter.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { joinLog, messages, openDb, restartLog, uncheckedEvent } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';
import { wire } from '../support/wire.ts';

/** Random numbers below a bound, the same in every run (mulberry32). */
function randomness(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) % below;
  };
}

// Names that a careless comparison would take for one another.
const USERS = [
  'alice',
  'Alice',
  'alice ',
  'ali%e',
  'r\u00e9ne',
  're\u0301ne',
  "o'neil",
  'null',
  '{a,b}',
  '"q"\\',
];
const ROOMS = ['lobby', 'Lobby', 'trading', '交易'];
const SESSIONS = Array.from({ length: 4 }, (_, n) => `00000000-0000-4000-8000-00000000000${n}`);
const ADDRESSES = ['192.0.2.1', '192.0.2.10', '2001:db8::1'];
const COMMON_ACTIONS = ['MESSAGE_SENT', 'CONNECTED', 'LEFT'] as const;
/** Without those after which the log refuses what the same users and sessions do. */
const ANY_ACTIONS = actionNames.filter((name) => name !== 'USER_KICKED' && name !== 'USER_BANNED');
const DETAILS = [undefined, '{"code":1000}', '{"a":[1,"\u00e9",null]}'];

/** Random events, in the database and as a reader should get them. */
async function fill(db: Db, count: number, seed: number): Promise<AuditEvent[]> {
  const random = randomness(seed);
  const pick = <T>(values: readonly T[]): T | undefined => values[random(values.length)];
  const maybe = <T>(values: readonly T[]): T | null => (random(3) === 0 ? null : (pick(values) ?? null));
  const anEvent = (): PendingEvent => {
    const details = pick(DETAILS);
    return uncheckedEvent(
      {
        action: pick(random(2) === 0 ? COMMON_ACTIONS : ANY_ACTIONS),
        user_id: maybe(USERS),
        message: maybe(['hi', '', 'a\nb', '🙂']),
        room: maybe(ROOMS),
        session_id: maybe(SESSIONS),
        target_user_id: maybe(USERS),
        ip: maybe(ADDRESSES),
        occurred_at: `2026-01-02T03:04:05.${String(random(1_000_000)).padStart(6, '0')}Z`,
        details: details === undefined ? {} : JSON.parse(details),
      },
      details,
    );
  };
  const first = await getEvent(db, 0);
  const all: AuditEvent[] = first === undefined ? [] : [first];
  // Two writers, so that `instance` is not the same everywhere.
  const stores = [await joinLog(db, 'one'), await joinLog(db, 'two')];
  for (let number = 1; all.length < count; number += 1) {
    const store = stores[number % 2];
    const batch = Array.from({ length: 1 + random(8) }, anEvent);
    for (const { event } of batch) event.instance = store?.id ?? '';
    // A session may connect once only.
    const connected = new Set<string | null>();
    for (const { event } of batch) {
      if (event.action !== 'CONNECTED') continue;
      if (event.session_id === null || event.user_id === null || connected.has(event.session_id))
        event.action = 'LEFT';
      connected.add(event.session_id);
    }
    await forgetSessions(db);
    const receipt = await store?.append(number, batch);
    if (receipt === undefined) throw new Error('no store');
    batch.forEach((pending, n) => {
      all.push(placeEvent(pending, receipt.first_seq + n, receipt.timestamp));
    });
  }
  return all;
}

/** Random events connect the same sessions over and over. */
const forgetSessions = (db: Db): Promise<unknown> => db.deleteFrom('chat_session').execute();

const matches = (event: AuditEvent, filter: Filter): boolean =>
  (filter.action === undefined || filter.action.includes(event.action)) &&
  (filter.user_id === undefined || filter.user_id.includes(event.user_id ?? '')) &&
  (filter.involves === undefined || [event.user_id, event.target_user_id].includes(filter.involves)) &&
  (['target_user_id', 'room', 'session_id', 'ip'] as const).every(
    (name) => filter[name] === undefined || event[name] === filter[name],
  );

/** What the brute force says of a page. */
const expected = (
  all: AuditEvent[],
  filter: Filter,
  { from, to }: SeqRange,
  order: 'asc' | 'desc',
): AuditEvent[] => {
  const found = all.filter((event) => event.seq >= from && event.seq < to && matches(event, filter));
  return order === 'asc' ? found : found.reverse();
};

/** Every event of a range, page by page. */
async function walk(
  db: Db,
  filter: Filter,
  range: SeqRange,
  order: 'asc' | 'desc',
  limit: number,
): Promise<{ events: AuditEvent[]; pages: number[] }> {
  const events: AuditEvent[] = [];
  const pages: number[] = [];
  for (let { from, to } = range; ; ) {
    const page = await listEvents(db, filter, { from, to }, order, limit);
    events.push(...page.events);
    pages.push(page.events.length);
    if (!page.hasMore) return { events, pages };
    const last = page.events.at(-1);
    if (last === undefined) throw new Error('an empty page that says there is more');
    if (order === 'asc') from = last.seq + 1;
    else to = last.seq;
  }
}

const everyFilter: Filter[] = [
  ...USERS.map((user) => ({ user_id: [user] })),
  { user_id: ['alice', '{a,b}', 'nobody', '"q"\\'] },
  { user_id: ['nobody'] },
  { action: ['MESSAGE_SENT'] },
  { action: ['MESSAGE_SENT', 'CONNECTED', 'LEFT'] },
  { target_user_id: 'alice' },
  { target_user_id: 'ALICE' },
  { involves: 'null' },
  { involves: 're\u0301ne' },
  ...ROOMS.map((room) => ({ room })),
  { room: '' },
  { session_id: SESSIONS[1] ?? '' },
  { session_id: randomUUID() },
  { ip: '192.0.2.1' },
  { ip: '192.0.2' },
];

test('every filter, alone and in pairs, gives what a look at every event gives', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'read');
  const all = await fill(openDb(t, url), 400, 1);
  t.strictSame((await eventsFrom(db, 0, 1_000)).events, all, 'every field comes back as it went in');
  const random = randomness(2);
  const whole: SeqRange = { from: 0, to: all.length };
  const check = async (filter: Filter): Promise<void> => {
    const from = random(all.length);
    const part = { from, to: from + random(all.length - from + 1) };
    for (const range of [whole, part]) {
      const order = random(2) === 0 ? 'asc' : 'desc';
      const { events } = await walk(db, filter, range, order, 1 + random(60));
      const what = `${JSON.stringify(filter)} ${order} from ${range.from} to ${range.to}`;
      t.strictSame(events, expected(all, filter, range, order), what);
      t.strictSame(
        await countEvents(db, filter, range),
        { value: events.length, exact: true },
        `count ${what}`,
      );
    }
  };
  await check({});
  for (const filter of everyFilter) await check(filter);
  for (const one of everyFilter) {
    for (const two of everyFilter) {
      const [a, b] = [Object.keys(one)[0] ?? '', Object.keys(two)[0] ?? ''];
      // Each pair of names with a few of their values.
      if (a < b && random(4) === 0) await check({ ...one, ...two });
    }
  }
  await check({ action: ['LEFT', 'JOINED'], user_id: ['alice', 'Alice'], room: 'lobby', involves: 'alice' });
});

test('both orders give the same events, and a range is inclusive at its start only', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'read');
  await (await joinLog(openDb(t, url))).append(1, messages(9));
  const seqs = async (from: number, to: number, order: 'asc' | 'desc', limit = 100) => {
    const { events, hasMore } = await listEvents(db, {}, { from, to }, order, limit);
    return [events.map(({ seq }) => seq).join(' '), hasMore];
  };
  t.strictSame(await seqs(3, 6, 'asc'), ['3 4 5', false]);
  t.strictSame(await seqs(3, 6, 'desc'), ['5 4 3', false]);
  t.strictSame(await seqs(3, 3, 'asc'), ['', false]);
  t.strictSame(await seqs(6, 3, 'desc'), ['', false]);
  t.strictSame(await seqs(8, 1_000_000, 'asc'), ['8 9', false]);
  t.strictSame(await seqs(10, Number.MAX_SAFE_INTEGER, 'asc'), ['', false]);
  t.strictSame(await seqs(0, 10, 'desc', 1), ['9', true]);
  t.strictSame(await seqs(0, 10, 'asc', 9), ['0 1 2 3 4 5 6 7 8', true]);
  t.strictSame(await seqs(0, 10, 'asc', 10), ['0 1 2 3 4 5 6 7 8 9', false], 'a full page may be the last');
});

test('one event is found by its number, or not at all', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const all = await fill(db, 10, 3);
  t.strictSame(await getEvent(db, 5), all[5]);
  for (const seq of [all.length, -1, 4_000_000, Number.MAX_SAFE_INTEGER])
    t.equal(await getEvent(db, seq), undefined);
  t.equal(await readNextSeq(db), all.length);
  t.strictSame(await eventsFrom(db, 4, 3), { events: all.slice(4, 7), isEnd: false });
  t.strictSame(await eventsFrom(db, all.length - 2, 3), { events: all.slice(-2), isEnd: true });
  t.strictSame(await eventsFrom(db, all.length, 3), { events: [], isEnd: true });
});

test('the tail’s page that is cut for its weight is not the end, however few events it holds', async (t) => {
  const db = openDb(t, await createDatabase(t));
  const store = await joinLog(db);
  const heavy = uncheckedEvent({ message: 'x'.repeat(5 * 1_024 * 1_024) });
  await store.append(1, [heavy, ...messages(2)]);
  const first = await readNextSeq(db);
  const [one, two] = [await eventsFrom(db, first - 3, 10), await eventsFrom(db, first - 2, 10)];
  t.strictSame([one.events.length, one.isEnd], [1, false]);
  t.strictSame([two.events.length, two.isEnd], [2, true]);
});

test('an event that was erased says by which', async (t) => {
  const url = await createDatabase(t);
  await query(
    url,
    `insert into audit_event (seq, timestamp, occurred_at, action, instance, erased_by)
     values (1, now(), now(), 'MESSAGE_SENT', 'x', 4000000000)`,
  );
  t.match(await getEvent(openDb(t, url), 1), { erased_by: 4_000_000_000, message: null, details: {} });
});

test('a room’s messages are replayed oldest first, and nothing else is', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const all = await fill(db, 300, 4);
  const said = all.filter(
    ({ action, room, seq }) => action === 'MESSAGE_SENT' && room === 'lobby' && seq >= 20,
  );
  t.ok(said.length > 2, 'there are some');
  const range = { from: 20, to: all.length };
  t.strictSame(await roomMessages(db, 'lobby', range, 1_000), { events: said, hasMore: false });
  t.strictSame(await roomMessages(db, 'lobby', range, 2), { events: said.slice(0, 2), hasMore: true });
});

test('counting stops at its bound and says so', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const store = await joinLog(db);
  for (let number = 1; number <= 20; number += 1) await store.append(number, messages(500));
  const talk: Filter = { action: ['MESSAGE_SENT'] };
  const range = { from: 0, to: 20_000 };
  t.strictSame(await countEvents(db, talk, range), { value: MAX_TOTAL, exact: true });
  t.strictSame(await countEvents(db, {}, range), { value: MAX_TOTAL, exact: false });
  t.strictSame(await countEvents(db, talk, { from: 0, to: 10_000 }), { value: 9_999, exact: true });
  t.strictSame(await countEvents(db, { user_id: ['nobody'] }, range), { value: 0, exact: true });
});

test('a page ends early when its messages are heavy, and walking gives each once', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const KIB = 1_024;
  for (let number = 1; number <= 4; number += 1) {
    await store.append(number, messages(25, { message: '€'.repeat(Math.floor((64 * KIB) / 3)) }));
  }
  const counter = await wire(t, url);
  const db = openDb(t, counter.url, 'read');
  const range = { from: 1, to: 101 };
  const all = Array.from({ length: 100 }, (_, n) => n + 1);
  for (const order of ['asc', 'desc'] as const) {
    counter.reset();
    const page = await listEvents(db, {}, range, order, 1_000);
    t.equal(page.events.length, 65, 'as many as reach 4 MiB of UTF-8, not of characters');
    t.equal(page.hasMore, true);
    t.ok(
      counter.received() < 5 * KIB * KIB,
      `the rest stays in the database: ${counter.received()} bytes came`,
    );
    const { events, pages } = await walk(db, {}, range, order, 1_000);
    t.strictSame(pages, [65, 35]);
    t.strictSame(
      events.map(({ seq }) => seq),
      order === 'asc' ? all : all.toReversed(),
    );
  }
});

test('a page is never empty while some match, however heavy they are', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const store = await joinLog(db);
  const heavy = uncheckedEvent({ message: 'x'.repeat(5 * 1_024 * 1_024) });
  await store.append(1, [heavy, heavy, ...messages(1)]);
  const { events, pages } = await walk(db, {}, { from: 1, to: 4 }, 'asc', 10);
  t.strictSame(pages, [1, 1, 1]);
  t.strictSame(
    events.map(({ message }) => message?.length),
    [heavy.event.message?.length, heavy.event.message?.length, 1],
  );
});

/** Batches of a made-up past: their times, and how many events each has. */
async function past(url: string, batches: [at: string, count: number][]): Promise<string[]> {
  await restartLog(url, 1_000);
  const times: string[] = [];
  for (const [at, count] of batches) {
    await query(
      url,
      `insert into audit_batch values (${times.length}, ${count}, ${at}, 'x', ${times.length})`,
    );
    const events = await query<{ at: string }>(
      url,
      `insert into audit_event (seq, timestamp, occurred_at, action, instance)
       select ${times.length} + n, b.timestamp, b.timestamp, 'MESSAGE_SENT', 'x'
       from generate_series(0, ${count - 1}) n, audit_batch b where b.first_seq = ${times.length}
       returning to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as at`,
    );
    times.push(...events.map((event) => event.at));
  }
  return times;
}

const checkBounds = async (t: Test, db: Db, times: string[], from?: string, to?: string): Promise<void> => {
  const state = await readLogState(db, {
    ...(from === undefined ? {} : { from: { at: from } }),
    ...(to === undefined ? {} : { to: { at: to } }),
  });
  const first = (bound: string): number => times.filter((time) => time < bound).length;
  t.match(
    state,
    {
      nextSeq: times.length,
      from,
      to,
      fromSeq: from === undefined ? undefined : first(from),
      toSeq: to === undefined || first(to) === times.length ? undefined : first(to),
    },
    `from ${from} to ${to}`,
  );
  const { events } = await listEvents(
    db,
    {},
    { from: state.fromSeq ?? 0, to: state.toSeq ?? state.nextSeq },
    'asc',
    1_000,
  );
  t.strictSame(
    events.map(({ timestamp }) => timestamp),
    times.filter((time) => (from === undefined || time >= from) && (to === undefined || time < to)),
    'which are the events of that time',
  );
};

test('an interval of time is a range of seq: inclusive, exclusive, to the microsecond', async (t) => {
  const url = await createDatabase(t);
  const times = await past(url, [
    ["'2020-01-01T00:00:00.000001Z'", 1],
    ["'2020-01-01T00:00:00.999999Z'", 3],
    // Three batches of one time: of one microsecond, or of a clock that was set back.
    ["'2020-01-01T00:00:01.000000Z'", 2],
    ["'2020-01-01T00:00:01.000000Z'", 1],
    ["'2020-01-01T00:00:01.000000Z'", 2],
    ["'2020-01-01T00:00:01.000001Z'", 1],
    ["'2021-12-31T23:59:59.123456Z'", 4],
  ]);
  const db = openDb(t, url, 'read');
  const bounds = [
    '1970-01-01T00:00:00.000000Z',
    '2020-01-01T00:00:00.000000Z',
    '2020-01-01T00:00:00.000001Z',
    '2020-01-01T00:00:00.000002Z',
    '2020-01-01T00:00:00.999999Z',
    '2020-01-01T00:00:01.000000Z',
    '2020-01-01T00:00:01.000001Z',
    '2020-01-01T00:00:01.000002Z',
    '2021-12-31T23:59:59.123456Z',
    '2021-12-31T23:59:59.123457Z',
    '9999-12-31T23:59:59.999999Z',
  ];
  await checkBounds(t, db, times);
  for (const from of bounds) {
    await checkBounds(t, db, times, from);
    await checkBounds(t, db, times, undefined, from);
    for (const to of bounds) if (from < to) await checkBounds(t, db, times, from, to);
  }
});

test('a span goes back from the database’s now, the same now for both ends', async (t) => {
  const url = await createDatabase(t);
  await past(url, [
    ["now() - interval '3 hours'", 2],
    ["now() - interval '2 hours'", 2],
    ["now() - interval '1 hour'", 2],
  ]);
  const db = openDb(t, url, 'read');
  const range = async (from?: number, to?: number) => {
    const { fromSeq, toSeq } = await readLogState(db, {
      ...(from === undefined ? {} : { from: { secondsAgo: from } }),
      ...(to === undefined ? {} : { to: { secondsAgo: to } }),
    });
    return [fromSeq, toSeq];
  };
  const MINUTE = 60;
  t.strictSame(await range(150 * MINUTE), [2, undefined]);
  t.strictSame(await range(150 * MINUTE, 90 * MINUTE), [2, 4]);
  t.strictSame(await range(undefined, 200 * MINUTE), [undefined, 0]);
  t.strictSame(await range(MINUTE), [6, undefined], 'after the last event');
  t.strictSame(await range(undefined, 0), [undefined, undefined]);
  const { from, to } = await readLogState(db, { from: { secondsAgo: 3_600 }, to: { secondsAgo: 1_800 } });
  t.equal(from?.slice(14, 16), String((Number(to?.slice(14, 16)) + 30) % 60).padStart(2, '0'));
  t.equal(from?.slice(16), to?.slice(16), 'half an hour apart, to the microsecond');
});

test('a span longer than time itself goes back to 1970', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'read');
  const WEEK = 604_800;
  t.match(
    await readLogState(db, { from: { secondsAgo: 999_999 * WEEK }, to: { secondsAgo: 999_998 * WEEK } }),
    {
      from: '1970-01-01T00:00:00.000000Z',
      to: '1970-01-01T00:00:00.000000Z',
      fromSeq: 0,
      toSeq: 0,
    },
  );
});

test('the state of a log names its history, where it begins and where it ends', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const [log] = await query<{ epoch: string }>(url, 'select epoch from audit_log');
  t.strictSame(await readLogState(db), {
    epoch: log?.epoch,
    firstSeq: 0,
    nextSeq: 1,
    fromSeq: undefined,
    toSeq: undefined,
  });
  await (await joinLog(db)).append(1, messages(3));
  await query(url, 'update audit_log set first_seq = 2');
  t.match(await readLogState(db), { firstSeq: 2, nextSeq: 4 });
});

test('an empty log has a state, too', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 10);
  const db = openDb(t, url);
  t.equal(await readNextSeq(db), 0);
  t.match(await readLogState(db, { from: { secondsAgo: 5 } }), { nextSeq: 0, fromSeq: 0, toSeq: undefined });
});
