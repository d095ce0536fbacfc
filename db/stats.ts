import { sql } from 'kysely';
import type { Filter } from '../src/core/filter.ts';
import { BLOCK_SIZE } from '../src/core/search/offsets.ts';
import type { Range } from '../src/core/search/ranges.ts';
import { fields } from '../src/core/search/terms.ts';
import { type Candidates, findCandidates } from './candidates.ts';
import type { Db } from './client.ts';
import { Deadline } from './deadline.ts';
import { isIndexed, lookUp, matching, scan, splitRange } from './search.ts';
import { utc } from './sql.ts';

/** As long as counting goes on, in milliseconds; then it says that it is not complete. */
const MAX_COUNTING_MS = 1_500;
/** How many events are counted by their numbers at a time. */
const SEQS_AT_A_TIME = 20_000;
/** How many blocks are counted by their lists at a time. */
const BLOCKS_AT_A_TIME = 16;

export type Counts<Row> = {
  data: Row[];
  /** False: counting took too long, and the oldest events are not in it. */
  complete: boolean;
};
export type TimeBucket = { start: string; count: number };
export type ValueCount = { value: string; count: number };
export type Grouping = 'action' | 'user_id' | 'room';

/** An interval of time as the log has it, in its text form. */
export type Interval = { from: string; to: string };

/**
 * Where a range begins and ends in time, where no interval was asked: from its first event to the database’s now, or to the
 * last event of all, where the clock went back and the log’s time is ahead of it.
 */
export async function intervalOf(db: Db, range: Range, asked: Partial<Interval>): Promise<Interval> {
  const { rows } = await sql<{ first: string | null; end: string }>`
    select
      (select ${utc(sql.ref('timestamp'))} from public.audit_batch
        where first_seq <= ${range.from} order by first_seq desc limit 1) as first,
      ${utc(sql`greatest(clock_timestamp(), last.timestamp + interval '1 microsecond')`)} as "end"
    from (select max(timestamp) as timestamp from public.audit_batch) last`.execute(db);
  const to = asked.to ?? rows[0]?.end ?? '';
  return { from: asked.from ?? min(rows[0]?.first ?? to, to), to };
}

const min = (one: string, other: string): string => (one < other ? one : other);

/** How many events match in each of so many equal parts of an interval, oldest first. */
export async function countByTime(
  db: Db,
  filter: Filter,
  range: Range,
  interval: Interval,
  buckets: number,
): Promise<Counts<TimeBucket>> {
  const edges = await readEdges(db, range, interval, buckets);
  const starts = edges.slice(0, -1);
  const ends = edges.slice(1).map(({ seq }) => seq);
  const counts = new Array<number>(starts.length).fill(0);
  const answer = (complete: boolean): Counts<TimeBucket> => ({
    data: starts.map(({ at }, n) => ({ start: at, count: counts[n] ?? 0 })),
    complete,
  });
  if (!isIndexed(filter)) {
    for (const [n, { seq }] of starts.entries()) counts[n] = (ends[n] ?? seq) - seq;
    return answer(true);
  }

  /** Adds what was found from one seq to before another. */
  const add = (from: number, to: number, count: (from: number, to: number) => number): void => {
    for (let n = bucketOf(ends, from); n < ends.length && (starts[n]?.seq ?? to) < to; n += 1) {
      const found = count(Math.max(from, starts[n]?.seq ?? from), Math.min(to, ends[n] ?? to));
      counts[n] = (counts[n] ?? 0) + found;
    }
  };
  const addSeqs = (seqs: readonly number[]): void => {
    for (const seq of seqs) add(seq, seq + 1, () => 1);
  };
  const deadline = new Deadline(MAX_COUNTING_MS);
  const { indexed, newest } = await splitRange(db, range);
  const found =
    filter.q === undefined
      ? findCandidates(db, filter, indexed, 'desc', deadline)
      : lookUp(db, filter, indexed, 'desc', MAX_SEQS, deadline);
  try {
    for await (const seqs of scan(db, filter, newest, 'desc', MAX_SEQS, deadline)) addSeqs(seqs);
    for await (const some of found) {
      if (Array.isArray(some)) {
        addSeqs(some);
      } else {
        const base = some.block * BLOCK_SIZE;
        add(base, base + BLOCK_SIZE, (from, to) => some.offsets.countIn(from - base, to - base));
      }
    }
  } catch (error) {
    return unlessTooSlow(error, answer(false));
  }
  return answer(true);
}

/** More than are ever asked for at a time. */
const MAX_SEQS = 1_000_000_000;

function unlessTooSlow<T>(error: unknown, answer: T): T {
  // 57014: the server ended the statement.
  if (['too_slow', '57014'].includes((error as { code?: string }).code ?? '')) return answer;
  throw error;
}

/** The first part of an interval that ends after a seq. */
function bucketOf(ends: readonly number[], seq: number): number {
  let [low, high] = [0, ends.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((ends[middle] ?? 0) > seq) high = middle;
    else low = middle + 1;
  }
  return low;
}

/** The ends of the parts of an interval, and the first seq at or after each. */
async function readEdges(
  db: Db,
  range: Range,
  { from, to }: Interval,
  buckets: number,
): Promise<{ at: string; seq: number }[]> {
  const { rows } = await sql<{ at: string; seq: string }>`
    select ${utc(sql.ref('edge.at'))} as at, greatest(${range.from}::bigint, least(${range.to}::bigint, coalesce(
        (select b.first_seq from public.audit_batch b where b.timestamp >= edge.at
          order by b.timestamp, b.first_seq limit 1), ${range.to}::bigint))) as seq
    from (
      select n, ${from}::timestamptz + (${to}::timestamptz - ${from}::timestamptz) * (n::float8 / ${buckets}::integer)
        as at
      from generate_series(0, ${buckets}::integer) n
    ) edge order by edge.n`.execute(db);
  return rows.map(({ at, seq }) => ({ at, seq: Number(seq) }));
}

/** The values that most of the matching events have, and how many have each. Events without one are not counted. */
export async function countByValue(
  db: Db,
  filter: Filter,
  range: Range,
  grouping: Grouping,
  most: number,
): Promise<Counts<ValueCount>> {
  if (!isIndexed(filter)) return { data: await countAll(db, range, grouping, most), complete: true };
  const deadline = new Deadline(MAX_COUNTING_MS);
  const counts = new Map<string, number>();
  const add = (rows: readonly ValueCount[]): void => {
    for (const { value, count } of rows) counts.set(value, (counts.get(value) ?? 0) + count);
  };
  const { indexed, newest } = await splitRange(db, range);
  let complete = true;
  try {
    add(await countPart(db, filter, newest, grouping));
    const parts =
      filter.q === undefined && grouping !== 'user_id'
        ? countLists(db, filter, indexed, grouping, deadline)
        : countFound(db, filter, indexed, grouping, deadline);
    for await (const part of parts) add(part);
  } catch (error) {
    complete = unlessTooSlow(error, false);
  }
  const data = [...counts].map(([value, count]) => ({ value, count }));
  data.sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1));
  return { data: data.slice(0, most), complete };
}

const numberOf = (grouping: Grouping): number =>
  fields.find(({ column }) => column === grouping)?.number ?? 0;

type CountRow = { value: string; count: string };
const toCounts = (rows: readonly CountRow[]): ValueCount[] =>
  rows.map(({ value, count }) => ({ value, count: Number(count) }));

/** Of all events in a range: whole blocks as the index has them counted, the rest one by one. */
async function countAll(db: Db, range: Range, grouping: Grouping, most: number): Promise<ValueCount[]> {
  const { indexed } = await splitRange(db, range);
  const from = Math.ceil(indexed.from / BLOCK_SIZE);
  const to = Math.max(from, Math.floor(indexed.to / BLOCK_SIZE));
  const [before, after] = [Math.min(from * BLOCK_SIZE, range.to), Math.max(to * BLOCK_SIZE, range.from)];
  const column = sql.ref(grouping);
  const { rows } = await sql<CountRow>`
    select value, sum(count)::bigint as count from (
      select value, sum(count) as count from public.audit_posting
      where field = ${numberOf(grouping)}::smallint and block >= ${from}::integer and block < ${to}::integer group by value
      union all
      select ${column}, count(*) from public.audit_event
      where ((seq >= ${range.from} and seq < ${before}) or (seq >= ${Math.max(after, before)} and seq < ${range.to}))
        and ${column} is not null group by 1
    ) counted group by value order by 2 desc, value collate "C" limit ${most}`.execute(db);
  return toCounts(rows);
}

/** Of the events in a range that match, read one by one. */
async function countPart(
  db: Db,
  filter: Filter,
  { from, to }: Range,
  grouping: Grouping,
): Promise<ValueCount[]> {
  if (from >= to) return [];
  const rows = await matching(db, filter)
    .where('seq', '>=', sql<string>`${from}`)
    .where('seq', '<', sql<string>`${to}`)
    .where(grouping, 'is not', null)
    .select([sql<string>`${sql.ref(grouping)}`.as('value'), sql<string>`count(*)`.as('count')])
    .groupBy(grouping)
    .execute();
  return toCounts(rows);
}

/** Of the events that match, in portions, by their numbers. */
async function* countFound(
  db: Db,
  filter: Filter,
  range: Range,
  grouping: Grouping,
  deadline: Deadline,
): AsyncGenerator<ValueCount[]> {
  let seqs: number[] = [];
  for await (const some of lookUp(db, filter, range, 'desc', MAX_SEQS, deadline)) {
    seqs = seqs.concat(some);
    if (seqs.length < SEQS_AT_A_TIME) continue;
    deadline.check();
    yield await countSeqs(db, filter, seqs, grouping);
    seqs = [];
  }
  yield await countSeqs(db, filter, seqs, grouping);
}

/** Of the events that match, by what they have in common with the lists of the index; for columns of few values. */
async function* countLists(
  db: Db,
  filter: Filter,
  range: Range,
  grouping: Grouping,
  deadline: Deadline,
): AsyncGenerator<ValueCount[]> {
  let waiting: Candidates[] = [];
  for await (const candidates of findCandidates(db, filter, range, 'desc', deadline)) {
    waiting.push(candidates);
    if (waiting.length < BLOCKS_AT_A_TIME) continue;
    deadline.check();
    yield await countBlocks(db, waiting, grouping);
    waiting = [];
  }
  yield await countBlocks(db, waiting, grouping);
}

async function countBlocks(
  db: Db,
  candidates: readonly Candidates[],
  grouping: Grouping,
): Promise<ValueCount[]> {
  const blocks = candidates.map(({ block }) => block);
  const { rows } = await sql<{ block: number; value: string; list: Buffer }>`
    select block, value, list from public.audit_posting
    where block = any(${blocks}::integer[]) and field = ${numberOf(grouping)}::smallint`.execute(db);
  const found = new Map(candidates.map(({ block, offsets }) => [block, offsets]));
  return rows
    .map(({ block, value, list }) => ({ value, count: found.get(block)?.countOf(list) ?? 0 }))
    .filter(({ count }) => count > 0);
}

/** Of events that match, by their numbers: where they are many among their neighbours, all of these are read. */
async function countSeqs(
  db: Db,
  filter: Filter,
  seqs: readonly number[],
  grouping: Grouping,
): Promise<ValueCount[]> {
  const [newest, oldest] = [seqs[0], seqs.at(-1)];
  if (newest === undefined || oldest === undefined) return [];
  if (newest - oldest < 20 * seqs.length) {
    return countPart(db, filter, { from: oldest, to: newest + 1 }, grouping);
  }
  const column = sql.ref(grouping);
  const { rows } = await sql<CountRow>`
    select ${column} as value, count(*) as count from public.audit_event
    where seq = any(${seqs}::bigint[]) and ${column} is not null group by 1`.execute(db);
  return toCounts(rows);
}
