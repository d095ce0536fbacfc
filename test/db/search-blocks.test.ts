import { sql } from 'kysely';
import { type Test, test } from 'tap';
import type { Db } from '../../db/client.ts';
import { Deadline } from '../../db/deadline.ts';
import { countEvents, listAndCount, listEvents } from '../../db/events.ts';
import { indexNext } from '../../db/search-index.ts';
import type { Filter } from '../../src/core/filter.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { openDb } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';
import { fillLog, matches, walk } from '../support/search-log.ts';

/** More than two looks take, and a part of one that is not indexed. */
const BLOCKS = 80;
/** Of all others nothing is kept, as if it had been dropped: the index of a block knows what there is. */
const KEPT = 24;
const END = BLOCKS * BLOCK_SIZE + 5_000;

/** One of the events that are kept, by its block and its place there. */
function event(block: number, n: number): AuditEvent {
  const seq = block * BLOCK_SIZE + 40 * block + 70 * n;
  const said = n % 2 === 0;
  const plain = {
    seq,
    timestamp: '2026-01-02T03:04:05.000000Z',
    occurred_at: '2026-01-02T03:04:05.000000Z',
    action: said ? ('MESSAGE_SENT' as const) : ('JOINED' as const),
    user_id: n < 8 ? 'busy' : `user-${n}`,
    message: said ? `${n === 12 ? 'a needle' : 'nothing'} in the hay` : null,
    // The busy one talks in one room and joins the other; somebody else talks there.
    room: n < 8 === said ? 'one' : 'other',
    session_id: `00000000-0000-4000-8000-${String(seq).padStart(12, '0')}`,
    target_user_id: null,
    instance: 'test',
    ip: null,
    erased_by: null,
    details: {},
  };
  if (n === 4 && (block === 2 || block === 77)) return { ...plain, room: 'other' };
  if (n === 9 && block % 3 !== 0) return { ...plain, action: 'USER_BANNED', target_user_id: 'mallory' };
  if (n === 11 && block % 5 === 0) return { ...plain, user_id: 'mallory', target_user_id: 'mallory' };
  if (n === 13) return { ...plain, user_id: 'mallory' };
  if (n === 14 && block === 3) return { ...plain, message: 'a pin' };
  if (n === 15 && block === 3) return { ...plain, user_id: 'early' };
  if (n === 17 && block === 77) return { ...plain, user_id: 'late' };
  return plain;
}

const MANY = Array.from({ length: 60 }, (_, n) => `user-${n}`);
const NOBODIES = Array.from({ length: 60 }, (_, n) => `nobody-${n}`);

const FILTERS: Filter[] = [
  { action: ['USER_BANNED'] },
  { action: ['USER_BANNED', 'USER_UNBANNED'] },
  { action: ['MESSAGE_SENT'] },
  { user_id: ['early'] },
  { user_id: ['user-15'] },
  { user_id: MANY },
  { user_id: ['early', ...NOBODIES] },
  { user_id: ['early', 'late', ...NOBODIES] },
  { target_user_id: 'mallory' },
  { involves: 'mallory' },
  { involves: 'early' },
  { involves: 'mallory', action: ['JOINED'] },
  { involves: 'mallory', target_user_id: 'mallory', action: ['JOINED'] },
  { user_id: ['busy'], action: ['MESSAGE_SENT'] },
  { user_id: ['mallory'], action: ['USER_BANNED'] },
  // Never in one block.
  { user_id: ['early'], target_user_id: 'mallory' },
  // All of them are in every block, and any two of them together; the three are in two blocks only.
  { user_id: ['busy'], action: ['MESSAGE_SENT'], room: 'other' },
  { user_id: MANY, room: 'one' },
  { q: 'needle' },
  { q: 'a pin' },
  { q: 'needle', user_id: ['user-12', 'mallory'] },
  { q: 'needle', user_id: ['busy'] },
];

const RANGES: [from: number, to: number][] = [
  [0, END],
  // Within a block, and in the middle of what is kept of it.
  [3 * BLOCK_SIZE + 3 * 40 + 500, 76 * BLOCK_SIZE + 76 * 40 + 700],
  [8 * BLOCK_SIZE, 16 * BLOCK_SIZE],
  [40 * BLOCK_SIZE + 40 * 40 + 300, 40 * BLOCK_SIZE + 40 * 40 + 1_000],
  [79 * BLOCK_SIZE + 79 * 40 + 600, BLOCKS * BLOCK_SIZE + BLOCKS * 40 + 400],
];

const seqsOf = (events: readonly AuditEvent[]): number[] => events.map(({ seq }) => seq);

async function check(t: Test, db: Db, all: readonly AuditEvent[], filter: Filter): Promise<void> {
  for (const [from, to] of RANGES) {
    const found = seqsOf(all.filter((each) => each.seq >= from && each.seq < to && matches(each, filter)));
    const what = `${JSON.stringify(filter).slice(0, 80)} from ${from} to ${to}`;
    for (const order of ['asc', 'desc'] as const) {
      const ordered = order === 'asc' ? found : found.toReversed();
      const first = await listEvents(db, filter, { from, to }, order, 50);
      t.strictSame(seqsOf(first.events), ordered.slice(0, 50), `${order}, the first page of ${what}`);
      t.equal(first.hasMore, found.length > 50, what);
      t.strictSame(
        await listAndCount(db, filter, { from, to }, order, 50, Deadline.of(db)),
        { page: first, total: { value: found.length, exact: true } },
        `${order}, with its total, ${what}`,
      );
      t.strictSame(await walk(db, filter, from, to, order, 30), ordered, `${order}, all pages of ${what}`);
    }
    const { value } = await countEvents(db, filter, { from, to });
    t.equal(value, found.length, `count of ${what}`);
  }
}

/** Rows of the index that the statements of a connection have taken. */
async function rowsRead(db: Db): Promise<number> {
  await sql`select pg_stat_force_next_flush()`.execute(db);
  const { rows } = await sql<{ read: string }>`
    select seq_tup_read + idx_tup_fetch as read from pg_stat_user_tables where relname = 'audit_posting'`.execute(
    db,
  );
  return Number(rows[0]?.read);
}

/** At most so many lists are of use to a filter: one for each of its values and each block that has some of all. */
function usefulLists(all: readonly AuditEvent[], filter: Filter): number {
  const blockOf = ({ seq }: AuditEvent): number => Math.floor(seq / BLOCK_SIZE);
  const parts = Object.entries(filter).map(
    ([name, value]) => new Set(all.filter((each) => matches(each, { [name]: value })).map(blockOf)),
  );
  const blocks = Array.from({ length: BLOCKS }, (_, n) => n).filter((n) =>
    parts.every((part) => part.has(n)),
  );
  const { involves, ...others } = filter;
  const values = [...Object.values(others).flat(), ...(involves === undefined ? [] : [involves, involves])];
  return blocks.length * values.length;
}

test('what is spread over many blocks is found as it is by a look at every event', async (t) => {
  const url = await createDatabase(t);
  const all = Array.from({ length: (BLOCKS + 1) * KEPT }, (_, n) => event(Math.floor(n / KEPT), n % KEPT));
  await fillLog(url, all, END);
  const db = openDb(t, url);
  while (await indexNext(db));
  // As Postgres does by itself after a while; it then takes every value for rare.
  await query(url, 'vacuum (analyze) audit_posting, audit_gram');

  for (const filter of FILTERS) await check(t, db, all, filter);
  for (const filter of FILTERS.filter(({ q }) => q === undefined)) {
    const before = await rowsRead(db);
    await listEvents(db, filter, { from: 0, to: BLOCKS * BLOCK_SIZE }, 'desc', 50);
    const read = (await rowsRead(db)) - before;
    // Of several values it may be less to look through all that a block has of the field.
    const most = 2 * usefulLists(all, filter);
    t.ok(read <= most, `${read} of ${most} lists are read for ${JSON.stringify(filter).slice(0, 80)}`);
  }
});
