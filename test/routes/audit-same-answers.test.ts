import { isDeepStrictEqual } from 'node:util';
import fc from 'fast-check';
import { type Test, test } from 'tap';
import { indexNext } from '../../db/search-index.ts';
import { eventFields } from '../../src/core/event-fields.ts';
import { parseFilter } from '../../src/core/filter.ts';
import type { AuditEvent, AuditPage, Stats } from '../../src/core/schemas.ts';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { build, type TestApp } from '../support/app.ts';
import { parseCsv } from '../support/csv.ts';
import { openStream } from '../support/event-stream.ts';
import { eventsIn, takeExport } from '../support/export.ts';
import { openDb } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';
import { samples } from '../support/property.ts';
import { matches } from '../support/search-log.ts';

/** A whole block, and some that are not indexed. */
const EVENTS = BLOCK_SIZE + 1_200;
/** The last second of a year, and the hour that many zones have twice. */
const STARTS = ['2025-10-26T00:59:59.999990Z', '2025-12-31T23:59:59.999000Z', '2026-03-29T00:59:59.999999Z'];
const CASES = 25;

const MICROS = 1_000n;
const microsOf = (text: string): bigint =>
  BigInt(Date.parse(`${text.slice(0, 19)}Z`)) * MICROS + BigInt(text.slice(20, 26));
const textOf = (micros: bigint): string => {
  const [ms, rest] = [micros / MICROS, micros % MICROS];
  return new Date(Number(ms)).toISOString().replace('Z', `${String(rest).padStart(3, '0')}Z`);
};

const WORDS = [
  'hello',
  'WORLD',
  'Straße',
  'ὈΔΥΣΣΕΎΣ',
  'İIıi',
  '你好',
  'สวัสดี',
  '🙂',
  '100%',
  'a_b\\c',
  'ſee',
  'e\u0301',
  'ﬁ',
  '"q",\r\n=1',
];
const NEEDLES = [
  ...WORDS,
  'H',
  'lo w',
  'STRASSE',
  'straẞe',
  'σ',
  'i',
  'ı',
  'İ',
  '好',
  '🙂',
  '\u0301',
  'fi',
  '%',
  '_',
  '\\',
  '1',
  ' ',
  '\r',
  '",',
];
const ACTIONS = ['MESSAGE_SENT', 'JOINED', 'LEFT', 'USER_KICKED'] as const;
const mix = (seq: number): number => Math.imul(seq + 1, 0x9e37_79b1) >>> 8;

type Batch = { first: number; count: number; at: bigint };

/** Batches of one to some hundred; some at the same time as the one before. */
function batches(): Batch[] {
  const all: Batch[] = [];
  let at = 0n;
  for (let first = 0; first < EVENTS; ) {
    const mixed = mix(first);
    const start = STARTS[Math.floor((first / EVENTS) * STARTS.length)] ?? '';
    if (at < microsOf(start)) at = microsOf(start);
    const count = Math.min(EVENTS - first, 1 + (mixed % 7 === 0 ? mixed % 900 : mixed % 5));
    all.push({ first, count, at });
    at += [0n, 1n, 1n, 7n, 999n, 1_000_000n, 86_400_000_000n / 3n][mixed % 97 === 0 ? 6 : mixed % 6] ?? 0n;
    first += count;
  }
  return all;
}

function eventAt(seq: number, timestamp: string): AuditEvent {
  const mixed = mix(seq);
  const action = ACTIONS[mixed % 11 === 0 ? 3 : mixed % 3] ?? 'LEFT';
  const word = (n: number): string => WORDS[(mixed >>> n) % WORDS.length] ?? '';
  return {
    seq,
    timestamp,
    occurred_at: timestamp,
    action,
    user_id: mixed % 31 === 0 ? null : `user-${Math.floor(Math.sqrt(mixed % 120))}`,
    message: action === 'MESSAGE_SENT' ? `${word(2)} ${word(7)}${word(11)}` : null,
    room: mixed % 5 === 0 ? null : `room-${mixed % 4}`,
    session_id: `00000000-0000-4000-8000-0000000000${10 + (mixed % 20)}`,
    target_user_id: action === 'USER_KICKED' ? `user-${mixed % 9}` : null,
    instance: 'test',
    ip: mixed % 3 === 0 ? '2001:db8::1' : mixed % 2 === 0 ? '192.0.2.1' : null,
    erased_by: null,
    details: action === 'USER_KICKED' ? { reason: word(3) } : {},
  };
}

async function fill(url: string): Promise<{ events: AuditEvent[]; made: Batch[] }> {
  const made = batches();
  const events = made.flatMap(({ first, count, at }) =>
    Array.from({ length: count }, (_, n) => eventAt(first + n, textOf(at))),
  );
  await query(
    url,
    'begin; set local session_replication_role = replica; truncate audit_event, audit_batch; commit',
  );
  await query(
    url,
    `insert into audit_event (${eventFields.join()}) select ${eventFields.join()}
     from jsonb_populate_recordset(null::audit_event, $1)`,
    [JSON.stringify(events)],
  );
  await query(
    url,
    `insert into audit_batch (first_seq, count, timestamp, writer, number)
     select first, count, at, 'test', first from jsonb_to_recordset($1) as b (first bigint, count integer, at timestamptz)`,
    [JSON.stringify(made.map(({ at, ...batch }) => ({ ...batch, at: textOf(at) })))],
  );
  return { events, made };
}

type TimePart = { start: string; count: number };
type Asked = Record<string, string | string[]>;

const searchOf = (asked: Asked): string => {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(asked))
    for (const one of [value].flat()) search.append(name, one);
  return search.toString();
};

const user = fc.nat(11).map((n) => `user-${n}`);
const conditions: Record<string, fc.Arbitrary<string | string[]>> = {
  action: fc.uniqueArray(fc.constantFrom(...ACTIONS), { minLength: 1, maxLength: 3 }),
  user_id: fc.uniqueArray(user, { minLength: 1, maxLength: 3 }),
  target_user_id: user,
  involves: user,
  room: fc.nat(4).map((n) => `room-${n}`),
  session_id: fc.constantFrom('00000000-0000-4000-8000-000000000017', '00000000-0000-4000-8000-000000000099'),
  ip: fc.constantFrom('2001:DB8:0::1', '192.0.2.1', '192.0.2.9'),
  q: fc.constantFrom(...NEEDLES),
};
/** No condition, one, or some that may well meet. */
const filters = fc
  .uniqueArray(fc.constantFrom('q', ...Object.keys(conditions)), { maxLength: 3 })
  .chain((names) =>
    fc.record(Object.fromEntries(names.map((name) => [name, conditions[name] ?? fc.constant('')]))),
  );

/** Every event that matches, by walking pages. */
async function walk(
  server: TestApp,
  search: string,
  order: 'asc' | 'desc',
  limit: number,
): Promise<AuditEvent[]> {
  const all: AuditEvent[] = [];
  for (let cursor = ''; ; ) {
    const page: AuditPage = await server.page(`${search}&order=${order}&limit=${limit}${cursor}`);
    all.push(...page.data);
    if (!page.has_more) return order === 'asc' ? all : all.reverse();
    cursor = `&cursor=${page.next_cursor}`;
  }
}

const undo = (cell = ''): string | null => (cell === '' ? null : cell.replace(/^'/, ''));

const statsOf = async (server: TestApp, search: string): Promise<Stats> => {
  const response = await server.get(`/audit/stats?${search}`);
  if (response.status !== 200) throw new Error(await response.text());
  return (await response.json()) as Stats;
};

type Case = {
  asked: Asked;
  expected: readonly AuditEvent[];
  from: bigint;
  to: bigint;
  buckets: number;
  limit: number;
  /** Up to where a stream has been read. */
  seen: string;
};

/** How often each value is there, the most frequent first. */
function countsOf(events: readonly AuditEvent[], column: 'action' | 'user_id' | 'room') {
  const counts = new Map<string, number>();
  for (const { [column]: value } of events)
    if (value !== null) counts.set(value, (counts.get(value) ?? 0) + 1);
  const all = [...counts].map(([value, count]) => ({ value, count }));
  return all.sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1));
}

/** What each way gives for a filter, beside what it should. */
async function* answers(t: Test, server: TestApp, { asked, expected, from, to, buckets, limit, seen }: Case) {
  const search = searchOf(asked);
  const total = expected.length;
  yield ['asc', await walk(server, search, 'asc', limit), expected];
  yield ['desc', await walk(server, search, 'desc', limit), expected];
  const counted = (await server.page(`${search}&limit=1&total=exact`)).total;
  yield ['total', counted, { value: Math.min(total, 10_000), exact: total <= 10_000 }];

  yield ['ndjson', eventsIn(await takeExport(server, search)), expected];
  const csv = parseCsv((await takeExport(server, search, 'csv')).text).slice(1, -1);
  yield [
    'csv',
    csv.map((record) => [Number(record[0]), undo(record[4]), undo(record[5])]),
    expected.map(({ seq, user_id, message }) => [seq, user_id, message]),
  ];

  const parts = (await statsOf(server, `${search}&group_by=time&buckets=${buckets}`)).data as TimePart[];
  const starts = parts.map(({ start }) => microsOf(start));
  const exact = starts.map((_, n) => from + ((to - from) * BigInt(n)) / BigInt(buckets));
  yield [
    'parts',
    starts.every((start, n) => start - (exact[n] ?? 0n) <= 1n && start >= (exact[n] ?? 0n)),
    true,
  ];
  const counts = new Array<number>(buckets).fill(0);
  for (const { timestamp } of expected) {
    const at = starts.findLastIndex((start) => start <= microsOf(timestamp));
    counts[at] = (counts[at] ?? 0) + 1;
  }
  yield ['over time', parts.map(({ count }) => count), counts];
  for (const column of ['action', 'user_id', 'room'] as const) {
    const { data } = await statsOf(server, `${search}&group_by=${column}&limit=100`);
    yield [column, data, countsOf(expected, column)];
  }

  for (const lastEventId of [undefined, seen]) {
    const stream = await openStream(t, server, search, { lastEventId });
    await stream.closed;
    const isReset = stream.blocks.some(({ event }) => event === 'reset');
    const after = lastEventId === undefined || isReset ? -1 : Number(seen.split(':')[1]);
    yield ['stream', stream.events, expected.filter(({ seq }) => seq > after)];
    yield ['end', stream.blocks.at(-1)?.event, 'end'];
  }
}

test('a filter finds the same by pages, counts, exports and streams as a look at every event does', async (t) => {
  const DATABASE_URL = await createDatabase(t);
  const { events, made } = await fill(DATABASE_URL);
  await indexNext(openDb(t, DATABASE_URL));
  const server = await build(t, { DATABASE_URL });
  const { epoch } = server.app.audit;
  const end = (made.at(-1)?.at ?? 0n) + 1n;
  const edge = fc
    .tuple(fc.nat(made.length - 1), fc.constantFrom(-1n, 0n, 1n, 12_345_678n))
    .map(([n, off]) => (made[n]?.at ?? 0n) + off);
  const cases = fc.record({
    filter: filters,
    edges: fc.tuple(edge, fc.oneof(fc.constant(end), edge)),
    buckets: fc.constantFrom(1, 7, 60, 1000),
    limit: fc.constantFrom(333, 1000),
    seen: fc.nat(EVENTS).map((seq) => `${epoch}:${seq}`),
  });

  const compareAll = async (kept: readonly AuditEvent[]): Promise<void> => {
    let found = 0;
    const { seed, values } = samples(cases, CASES);
    for (const { filter, edges, ...more } of values) {
      const [from, to] = edges[0] < edges[1] ? edges : [edges[1], edges[0] + 1n];
      const asked = { ...filter, from: textOf(from), to: textOf(to) };
      const parsed = parseFilter(asked as Parameters<typeof parseFilter>[0]);
      const expected = kept.filter(
        (event) => event.timestamp >= asked.from && event.timestamp < asked.to && matches(event, parsed),
      );
      found += expected.length;
      for await (const [way, given, wanted] of answers(t, server, { ...more, asked, expected, from, to })) {
        if (!isDeepStrictEqual(given, wanted))
          t.strictSame(given, wanted, `${way}: ${searchOf(asked)} (FUZZ_SEED=${seed})`);
      }
    }
    t.ok(found > 1_000, `${found} events were found by every way (FUZZ_SEED=${seed})`);
  };
  await compareAll(events);
  // As retention does first; what it drops is gone only later.
  const first = 9_000;
  await query(DATABASE_URL, `update audit_log set first_seq = ${first}`);
  await compareAll(events.slice(first));
  t.equal((await server.get(`/audit/${first}`)).status, 200);
  t.equal((await server.get(`/audit/${first - 1}`)).status, 410, 'nor by its number');
});
