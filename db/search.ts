import { type RawBuilder, sql } from 'kysely';
import { CodedError } from '../src/core/errors.ts';
import type { Filter } from '../src/core/filter.ts';
import { patternOf } from '../src/core/search/case-folding.ts';
import { GRANULE_SIZE, gramRows } from '../src/core/search/grams.ts';
import { BLOCK_SIZE, Offsets } from '../src/core/search/offsets.ts';
import { type Alternatives, type Question, questionOf } from '../src/core/search/terms.ts';
import type { Db } from './client.ts';

export type Order = 'asc' | 'desc';

/** A range of seq: `from` inclusive, `to` exclusive. */
export type SeqRange = { from: number; to: number };

/** Events of one block that may match: exactly those that do, unless the filter has a `q`. */
export type Candidates = { block: number; offsets: Offsets };

/** How many blocks are looked at first; each further look takes four times as many. */
const FIRST_BLOCKS = 8;
const MOST_BLOCKS = 256;
/** How many events that are not indexed yet are read at a time. */
const SCAN_STEP = 4_096;
/** How many messages are read first to see whether they hold a text; each further look takes twice as many. */
const FIRST_TEXTS = 1_024;
const MOST_TEXTS = 16_384;
/** As long as a read may take in all, in milliseconds; each of its statements has a bound of its own. */
const MAX_READ_MS = 5_000;

/** Bounds the time that a read takes by all its statements. */
export class Deadline {
  readonly #end: number;

  constructor(ms: number = MAX_READ_MS) {
    this.#end = performance.now() + ms;
  }

  get isOver(): boolean {
    return performance.now() >= this.#end;
  }

  /** @throws CodedError `too_slow` when the time is up */
  check(): void {
    if (!this.isOver) return;
    throw new CodedError('too_slow', 'This query takes too long; narrow it by time, room or user.');
  }
}

/** Whether the index can tell some events from others by this filter; else every event of the interval matches. */
export const isIndexed = (filter: Filter): boolean =>
  questionOf(filter).all.length > 0 || filter.q !== undefined;

/** The number after the last event that is indexed; all below are. */
async function readIndexedTo(db: Db): Promise<number> {
  const row = await db.selectFrom('audit_index').select('next_block').executeTakeFirstOrThrow();
  return row.next_block * BLOCK_SIZE;
}

/** A range in two: what is indexed, and what is newer. Either may be empty. */
export async function splitRange(
  db: Db,
  { from, to }: SeqRange,
): Promise<{ indexed: SeqRange; newest: SeqRange }> {
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
  range: SeqRange,
  order: Order,
  most: number,
): Promise<number[]> {
  const { indexed, newest } = await splitRange(db, range);
  const deadline = new Deadline();
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
  range: SeqRange,
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
  range: SeqRange,
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

/**
 * The candidates in an indexed range, block by block in the order asked. It reads on as it is asked to go on.
 *
 * @param range wholly indexed
 * @throws CodedError `too_slow`
 */
export async function* findCandidates(
  db: Db,
  filter: Filter,
  range: SeqRange,
  order: Order,
  deadline: Deadline,
): AsyncGenerator<Candidates> {
  const question = questionOf(filter);
  const grams = filter.q === undefined ? [] : gramRows(filter.q);
  let left = {
    from: Math.floor(range.from / BLOCK_SIZE),
    to: Math.ceil(range.to / BLOCK_SIZE),
  };
  for (let most = FIRST_BLOCKS; left.from < left.to; most = Math.min(4 * most, MOST_BLOCKS)) {
    deadline.check();
    // Of the rows of bits each block has some: how many blocks are looked at is bounded by their range.
    const look = grams.length > 0 ? part(left, order, most) : left;
    const hits = await readHits(db, question, grams, look, order, most);
    for (const hit of hits) {
      const from = range.from - hit.block * BLOCK_SIZE;
      const to = range.to - hit.block * BLOCK_SIZE;
      if (from > 0 || to < BLOCK_SIZE) hit.offsets.keep(Offsets.range(from, to));
      if (hit.offsets.count > 0) yield hit;
    }
    left = hits.length < most ? rest(left, look, order) : after(left, hits.at(-1)?.block ?? 0, order);
  }
}

type Blocks = { from: number; to: number };

/** The first part of a range, in the order asked. */
const part = ({ from, to }: Blocks, order: Order, count: number): Blocks =>
  order === 'asc' ? { from, to: Math.min(to, from + count) } : { from: Math.max(from, to - count), to };

/** What remains of a range when its first part was looked at. */
const rest = ({ from, to }: Blocks, looked: Blocks, order: Order): Blocks =>
  order === 'asc' ? { from: looked.to, to } : { from, to: looked.from };

const after = ({ from, to }: Blocks, block: number, order: Order): Blocks =>
  order === 'asc' ? { from: block + 1, to } : { from, to: block };

/** The first blocks that have some of each of the alternatives, at most so many, with what they have. */
async function readHits(
  db: Db,
  { all, actions, rooms }: Question,
  grams: ReturnType<typeof gramRows>,
  { from, to }: Blocks,
  order: Order,
  most: number,
): Promise<Candidates[]> {
  const within = sql`block >= ${from}::integer and block < ${to}::integer`;
  // Where some did it in the block, and some were in the room.
  const masked = [sql`true`];
  if (actions !== undefined) masked.push(sql`(actions & ${actions}::bigint) <> 0`);
  if (rooms !== undefined) masked.push(sql`(rooms & ${rooms}::bigint) <> 0`);
  const meeting = sql`${within} and ${sql.join(masked, sql` and `)}`;
  const sources = all.map((each) => sql`(${blocksOf(each, meeting)})`);
  if (grams.length > 0) sources.push(sql`(${granulesOf(grams, within)})`);
  const [first = sql``, ...others] = sources;
  const joined = others.map((source, n) => sql`join ${source} as s${sql.raw(String(n + 1))} using (block)`);
  const granules = grams.length > 0 ? sql`granules` : sql`null::text`;
  const lists = all.map(
    (each, n) => sql`
      select p.block, ${n}::integer as alternative, p.list, null::text as granules
      from hit h join public.audit_posting p on p.block = h.block and ${isOneOf(each)}`,
  );
  const { rows } = await sql<{
    block: number;
    alternative: number | null;
    list: Buffer | null;
    granules: string | null;
  }>`
    with hit as materialized (
      select block, ${granules} as granules from ${first} as s0 ${sql.join(joined, sql` `)}
      order by block ${sql.raw(order)} limit ${most}
    )
    select block, null::integer as alternative, null::bytea as list, granules from hit
    ${sql.join(
      lists.map((list) => sql`union all ${list}`),
      sql` `,
    )}`.execute(db);

  const hits = new Map<number, { granules: string | null; sets: Offsets[] }>();
  for (const { block, alternative, granules } of rows) {
    if (alternative === null) hits.set(block, { granules, sets: all.map(() => new Offsets()) });
  }
  for (const { block, alternative, list } of rows) {
    if (alternative !== null && list !== null) hits.get(block)?.sets[alternative]?.addList(list);
  }
  const direction = order === 'asc' ? 1 : -1;
  return [...hits]
    .sort(([a], [b]) => direction * (a - b))
    .map(([block, { granules, sets }]) => ({ block, offsets: meet(sets, granules) }));
}

/** What all of the sets have in common, and the granules as well where there are some. */
function meet(sets: readonly Offsets[], granules: string | null): Offsets {
  const all = granules === null ? Offsets.all() : ofGranules(granules);
  for (const set of sets) all.keep(set);
  return all;
}

function ofGranules(bits: string): Offsets {
  const offsets = new Offsets();
  for (let at = bits.indexOf('1'); at !== -1; at = bits.indexOf('1', at + 1)) {
    for (let n = 0; n < GRANULE_SIZE; n += 1) offsets.add(at * GRANULE_SIZE + n);
  }
  return offsets;
}

/** The condition that a posting list is one of these. */
function isOneOf(alternatives: Alternatives): RawBuilder<unknown> {
  const conditions = alternatives.map(
    ({ field, values }) => sql`(field = ${field}::smallint and value = ${oneOf(values)})`,
  );
  return sql`(${sql.join(conditions, sql` or `)})`;
}

/** One value compares directly, so that the primary key gives the order as well. */
const oneOf = (values: readonly string[]) =>
  values.length === 1 ? sql<string>`${values[0]}` : sql<string>`any(${values}::text[])`;

function blocksOf(alternatives: Alternatives, within: RawBuilder<unknown>): RawBuilder<unknown> {
  const single = alternatives.length === 1 && alternatives[0]?.values.length === 1;
  const distinct = single ? sql`` : sql`distinct`;
  return sql`select ${distinct} block from public.audit_posting where ${isOneOf(alternatives)} and ${within}`;
}

/** The blocks where some granule has all of the bits set, and these granules as text of 0 and 1. */
function granulesOf(grams: ReturnType<typeof gramRows>, within: RawBuilder<unknown>): RawBuilder<unknown> {
  const parts = grams.map(({ part }) => part);
  const firsts = grams.map(({ firstBit }) => firstBit + 1);
  return sql`
    select block, bit_and(substring(g.bits from r.first for 128))::text as granules
    from unnest(${parts}::smallint[], ${firsts}::integer[]) as r (part, first)
      join public.audit_gram g on g.part = r.part
    where ${within}
    group by block
    having bit_and(substring(g.bits from r.first for 128)) <> repeat('0', 128)::bit(128)`;
}
