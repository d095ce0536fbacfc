import { type Test, test } from 'tap';
import type { Db } from '../../db/client.ts';
import { Deadline } from '../../db/deadline.ts';
import { countEvents, eventsFrom, listEvents } from '../../db/events.ts';
import { fillBlock, indexNext, readNextBlock, writeBlock } from '../../db/search-index.ts';
import type { Filter } from '../../src/core/filter.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { BlockBuilder, finish } from '../../src/core/search/block.ts';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { openDb } from '../support/log-store.ts';
import { createDatabase } from '../support/postgres.ts';
import { fillLog, matches, walk } from '../support/search-log.ts';

/** Two whole blocks and a part of a third. */
const EVENTS = 2 * BLOCK_SIZE + 3_000;
const SESSIONS = Array.from(
  { length: 400 },
  (_, n) => `00000000-0000-4000-8000-${String(n).padStart(12, '0')}`,
);
const WORDS = [
  'hello',
  'WORLD',
  'Straße',
  'ὈΔΥΣΣΕΎΣ',
  'İstanbul',
  '你好世界',
  'สวัสดี',
  '🙂',
  '100%',
  'a_b\\c',
  'ſee',
];

/** As many events of a block as change how its list is written, one less and one more. */
const EDGES: [ip: string, count: number][] = [
  ['192.0.2.23', BLOCK_SIZE / 16 - 1],
  ['192.0.2.24', BLOCK_SIZE / 16],
  ['192.0.2.25', BLOCK_SIZE / 16 + 1],
];

function addressOf(seq: number, mixed: number): string | null {
  if (mixed % 2 === 0) return '192.0.2.1';
  // The n-th odd event of the first block.
  return seq < BLOCK_SIZE ? (edgeAddresses.get(seq) ?? null) : null;
}

const mix = (seq: number): number => Math.imul(seq + 1, 0x9e37_79b1) >>> 8;

const edgeAddresses = new Map<number, string>();
for (let seq = 0, edge = 0, left = EDGES[0]?.[1] ?? 0; seq < BLOCK_SIZE && edge < EDGES.length; seq += 1) {
  if (mix(seq) % 2 === 0) continue;
  edgeAddresses.set(seq, EDGES[edge]?.[0] ?? '');
  left -= 1;
  if (left > 0) continue;
  edge += 1;
  left = EDGES[edge]?.[1] ?? 0;
}

/** One event in a long log, by its number alone: what is rare, common or never together is so on purpose. */
function event(seq: number): AuditEvent {
  const mixed = mix(seq);
  const word = (n: number): string => WORDS[(mixed >>> n) % WORDS.length] ?? '';
  const said = mixed % 3 !== 0;
  // Odd users talk, even ones only come and go; one did a single thing, and one acts in the first block only.
  const user =
    seq === 20_000
      ? 'single'
      : seq < BLOCK_SIZE && seq % 97 === 0
        ? 'early'
        : `user-${2 * (mixed % 40) + (said ? 1 : 0)}`;
  return {
    seq,
    timestamp: '2026-01-02T03:04:05.000000Z',
    occurred_at: '2026-01-02T03:04:05.000000Z',
    action: said ? 'MESSAGE_SENT' : mixed % 2 === 0 ? 'JOINED' : 'LEFT',
    user_id: mixed % 51 === 0 ? null : user,
    message: !said ? null : seq === 777 ? 'a needle in the hay' : `${word(1)} ${word(5)} ${word(9)}`,
    room: mixed % 5 === 0 ? null : `room-${mixed % 7}`,
    session_id: SESSIONS[mixed % SESSIONS.length] ?? null,
    target_user_id: mixed % 101 === 0 ? 'user-1' : null,
    instance: 'test',
    ip: addressOf(seq, mixed),
    erased_by: null,
    details: {},
  };
}

async function fill(url: string): Promise<AuditEvent[]> {
  const all = Array.from({ length: EVENTS }, (_, seq) => event(seq));
  await fillLog(url, all, EVENTS);
  return all;
}

const FILTERS: Filter[] = [
  { user_id: ['user-1'] },
  { user_id: ['single'] },
  { user_id: ['early'] },
  { user_id: ['nobody'] },
  { user_id: ['single', 'early', 'user-2'] },
  { user_id: Array.from({ length: 50 }, (_, n) => `user-${n}`) },
  { action: ['MESSAGE_SENT'] },
  { action: ['JOINED', 'LEFT'] },
  { action: ['USER_KICKED'] },
  { room: 'room-1' },
  { room: 'room-9' },
  { target_user_id: 'user-1' },
  { involves: 'user-1' },
  { session_id: SESSIONS[7] ?? '' },
  { ip: '192.0.2.1' },
  ...EDGES.map(([ip]) => ({ ip })),
  { q: 'needle' },
  { q: 'HELLO world' },
  { q: 'strasse' },
  { q: 'STRAẞE' },
  { q: 'οδυσσευσ' },
  { q: 'ὀδυσσεύς' },
  { q: 'istanbul' },
  { q: 'İ' },
  { q: '世界' },
  { q: '你' },
  { q: '🙂' },
  { q: '%' },
  { q: '_' },
  { q: 'B\\C' },
  { q: 'see' },
  { q: '.*' },
  { q: ' ' },
  { q: 'x'.repeat(200) },
];

async function check(t: Test, db: Db, all: AuditEvent[], filter: Filter): Promise<void> {
  const ranges: [from: number, to: number][] = [
    [0, EVENTS],
    [100, 101],
    [BLOCK_SIZE - 1_000, BLOCK_SIZE + 1_000],
    [2 * BLOCK_SIZE - 100, EVENTS - 100],
  ];
  for (const [from, to] of ranges) {
    const found = all
      .filter((each) => each.seq >= from && each.seq < to && matches(each, filter))
      .map(({ seq }) => seq);
    const what = `${JSON.stringify(filter).slice(0, 80)} from ${from} to ${to}`;
    const first = await listEvents(db, filter, { from, to }, 'desc', 50);
    t.strictSame(
      first.events.map(({ seq }) => seq),
      found.toReversed().slice(0, 50),
      `newest of ${what}`,
    );
    t.equal(first.hasMore, found.length > 50, what);
    // To walk all of what is common takes long, and shows no more than the last part of it does.
    const last = found.slice(-1_500);
    const walked = await walk(db, filter, last[0] ?? from, to, 'asc', 1_000);
    t.strictSame(walked, last, `the rest of ${what}`);
    t.equal(
      (await countEvents(db, filter, { from, to })).value,
      Math.min(found.length, 10_000),
      `count of ${what}`,
    );
  }
}

test('filters give the same before an event is indexed and afterwards', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const all = await fill(url);
  t.strictSame((await eventsFrom(db, 0, 3)).events.length, 3);
  for (const filter of FILTERS.filter((_, n) => n % 4 === 0)) await check(t, db, all, filter);

  t.equal(await indexNext(db), true);
  t.equal(await readNextBlock(db), 1);
  for (const filter of FILTERS) await check(t, db, all, filter);

  t.equal(await indexNext(db), true);
  t.equal(await indexNext(db), false, 'the third block is not whole');
  t.equal(await readNextBlock(db), 2);
  for (const [n, one] of FILTERS.entries()) {
    await check(t, db, all, one);
    const two = FILTERS[(7 * n + 3) % FILTERS.length] ?? {};
    if (n % 2 === 0) await check(t, db, all, { ...one, ...two });
    else
      await check(t, db, all, { ...one, action: ['MESSAGE_SENT'], user_id: ['user-1', 'user-2', 'early'] });
  }
  await check(t, db, all, { action: ['MESSAGE_SENT'], user_id: ['user-1'], room: 'room-1', q: 'hello' });
});

test('a block is indexed once, and only when it is whole and its turn', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  await fill(url);
  const first = new BlockBuilder(0);
  await fillBlock(db, first, first.to);
  const second = new BlockBuilder(1);
  await fillBlock(db, second, second.to);
  t.equal(await writeBlock(db, finish(second)), false, 'not its turn');
  t.equal(await writeBlock(db, finish(first)), true);
  t.equal(await writeBlock(db, finish(first)), false, 'done already');
  t.equal(await writeBlock(db, finish(second)), true);
  const third = new BlockBuilder(2);
  await fillBlock(db, third, third.to);
  const { fields, counts } = finish(third);
  t.equal(
    counts.reduce((sum, count, n) => (fields[n] === 1 ? sum + count : sum), 0),
    3_000,
  );
  await t.rejects(writeBlock(db, finish(third)), { code: '55000' });
  t.equal(await readNextBlock(db), 2);
});

test('what a read has left of its time is all that its page and its count get', async (t) => {
  const db = openDb(t, await createDatabase(t), 'read');
  const range = { from: 0, to: 10 };
  const search = listEvents(db, { room: 'lobby' }, range, 'desc', 5, new Deadline(0));
  await t.rejects(search, { code: 'too_slow' });
  for (const filter of [{}, { room: 'lobby' }]) {
    await t.rejects(countEvents(db, filter, range, new Deadline(0)), { code: 'too_slow' });
    t.match(await countEvents(db, filter, range), { exact: true });
  }
});
