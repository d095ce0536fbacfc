import { sql } from 'kysely';
import type { Filter } from '../src/core/filter.ts';
import { patternOf } from '../src/core/search/case-folding.ts';
import { BLOCK_SIZE } from '../src/core/search/offsets.ts';
import { type Order, part, type Range, rest } from '../src/core/search/ranges.ts';
import { questionOf } from '../src/core/search/terms.ts';
import { findCandidates } from './candidates.ts';
import type { Db } from './client.ts';
import type { Deadline } from './deadline.ts';
import { oneOf } from './sql.ts';

/** How many events that are not indexed yet are read at a time: all that there are, as a rule. */
const SCAN_STEP = BLOCK_SIZE;
/** How many messages are read first to see whether they hold a text; each further look takes twice as many. */
const FIRST_TEXTS = 1_024;
const MOST_TEXTS = 16_384;

/** Whether the index can tell some events from others by this filter; else every event of the interval matches. */
export const isIndexed = (filter: Filter): boolean =>
  questionOf(filter).all.length > 0 || filter.q !== undefined;

/** The number after the last event that is indexed; all below are. */
async function readIndexedTo(db: Db): Promise<number> {
  const row = await db.selectFrom('audit_index').select('next_block').executeTakeFirstOrThrow();
  return row.next_block * BLOCK_SIZE;
}

/** A range in two: what is indexed, and what is newer. Either may be empty. */
export async function splitRange(db: Db, { from, to }: Range): Promise<{ indexed: Range; newest: Range }> {
  const middle = Math.min(Math.max(from, await readIndexedTo(db)), Math.max(from, to));
  return { indexed: { from, to: middle }, newest: { from: middle, to } };
}

/**
 * The numbers of the first events of a range that match, in the order asked, at most so many. The interval of the
 * filter is not looked at: it is in the range.
 *
 * @throws CodedError `too_slow`
 */
export async function findSeqs(
  db: Db,
  filter: Filter,
  range: Range,
  order: Order,
  most: number,
  deadline: Deadline,
): Promise<number[]> {
  const { indexed, newest } = await splitRange(db, range);
  const parts = [
    lookUp(db, filter, indexed, order, most, deadline),
    scan(db, filter, newest, order, most, deadline),
  ];
  const seqs: number[] = [];
  for (const part of order === 'asc' ? parts : parts.reverse()) {
    for await (const found of part) {
      for (const seq of found) {
        if (seqs.length < most) seqs.push(seq);
      }
      if (seqs.length >= most) return seqs;
    }
  }
  return seqs;
}

/** What is not indexed yet is read as it is, so much at a time. */
export async function* scan(
  db: Db,
  filter: Filter,
  range: Range,
  order: Order,
  most: number,
  deadline: Deadline,
): AsyncGenerator<number[]> {
  let { from, to } = range;
  while (from < to) {
    deadline.check();
    const step = part({ from, to }, order, SCAN_STEP);
    const rows = await matching(db, filter)
      .where('seq', '>=', sql<string>`${step.from}`)
      .where('seq', '<', sql<string>`${step.to}`)
      .select('seq')
      .orderBy('seq', order)
      .limit(most)
      .execute();
    yield rows.map(({ seq }) => Number(seq));
    ({ from, to } = rest({ from, to }, step, order));
  }
}

/** What is indexed is looked up; the texts of candidates are then read, for the index does not know them exactly. */
export async function* lookUp(
  db: Db,
  filter: Filter,
  range: Range,
  order: Order,
  most: number,
  deadline: Deadline,
): AsyncGenerator<number[]> {
  let texts = FIRST_TEXTS;
  let waiting: number[] = [];
  for await (const { block, offsets } of findCandidates(db, filter, range, order, deadline)) {
    const seqs: number[] = [];
    for (const offset of order === 'asc' ? offsets : offsets.reversed()) {
      seqs.push(block * BLOCK_SIZE + offset);
      if (filter.q === undefined && seqs.length === most) break;
    }
    if (filter.q === undefined) {
      yield seqs;
      continue;
    }
    waiting.push(...seqs);
    while (waiting.length >= texts) {
      deadline.check();
      yield await withText(db, waiting.slice(0, texts), filter.q, order, most);
      waiting = waiting.slice(texts);
      texts = Math.min(2 * texts, MOST_TEXTS);
    }
  }
  if (filter.q !== undefined && waiting.length > 0) yield await withText(db, waiting, filter.q, order, most);
}

/** Those of some events whose message holds a text. */
async function withText(
  db: Db,
  seqs: readonly number[],
  text: string,
  order: Order,
  most: number,
): Promise<number[]> {
  // The limit, which is never reached, keeps the planner from reading the whole log in one go instead.
  const [starts, ends] = runsOf(order === 'asc' ? seqs : seqs.toReversed());
  const { rows } = await sql<{ seq: string }>`
    select e.seq from unnest(${starts}::bigint[], ${ends}::bigint[]) as run (start, "end")
      cross join lateral (
        select seq, message from public.audit_event
        where seq >= run.start and seq < run."end" order by seq limit ${MOST_TEXTS}
      ) e
    where ${contains(text)}
    order by e.seq ${sql.raw(order)} limit ${most}`.execute(db);
  return rows.map(({ seq }) => Number(seq));
}

/** Rising numbers as ranges of neighbours: where each starts, and where it has ended. */
function runsOf(seqs: readonly number[]): [starts: number[], ends: number[]] {
  const starts: number[] = [];
  const ends: number[] = [];
  for (const seq of seqs) {
    if (ends.at(-1) === seq) ends[ends.length - 1] = seq + 1;
    else {
      starts.push(seq);
      ends.push(seq + 1);
    }
  }
  return [starts, ends];
}

/** The one definition of upper and lower case is `foldCase`; the pattern says it in the database’s words. */
const contains = (text: string) => sql<boolean>`message collate "C" ~ ${patternOf(text)}`;

/** The events that match, but for the interval. */
export function matching(db: Db, filter: Filter) {
  const { action, user_id, involves, q } = filter;
  let query = db.selectFrom('audit_event');
  if (action !== undefined) query = query.where('action', '=', oneOf(action));
  if (user_id !== undefined) query = query.where('user_id', '=', oneOf(user_id));
  if (involves !== undefined) {
    query = query.where((eb) => eb.or([eb('user_id', '=', involves), eb('target_user_id', '=', involves)]));
  }
  for (const name of ['target_user_id', 'room', 'session_id', 'ip'] as const) {
    const value = filter[name];
    if (value !== undefined) query = query.where(name, '=', value);
  }
  return q === undefined ? query : query.where(contains(q));
}
