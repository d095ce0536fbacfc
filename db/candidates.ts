import { type RawBuilder, sql } from 'kysely';
import type { Filter } from '../src/core/filter.ts';
import { GRANULE_SIZE, gramRows } from '../src/core/search/grams.ts';
import { BLOCK_SIZE, Offsets } from '../src/core/search/offsets.ts';
import { after, type Order, part, type Range, rest } from '../src/core/search/ranges.ts';
import { type Alternatives, type Question, questionOf, type Terms } from '../src/core/search/terms.ts';
import type { Db } from './client.ts';
import type { Deadline } from './deadline.ts';
import { oneOf } from './sql.ts';

/** Events of one block that may match: exactly those that do, unless the filter has a `q`. */
export type Candidates = { block: number; offsets: Offsets };

/**
 * How many blocks are taken first, and of many values how many of their lists; and from how many entries of the index
 * the blocks are chosen. Each further look takes more. A page of 50 by one value is full after two looks, for a block that
 * has a value has an event of it.
 */
const FIRST = { blocks: 8, lists: 50, entries: 4_096 };
const MOST = { blocks: 256, entries: 262_144 };
const MORE = 8;

/**
 * The candidates in an indexed range, block by block in the order asked. It reads on as it is asked to go on.
 *
 * @param range wholly indexed
 * @throws CodedError `too_slow`
 */
export async function* findCandidates(
  db: Db,
  filter: Filter,
  range: Range,
  order: Order,
  deadline: Deadline,
): AsyncGenerator<Candidates> {
  const question = questionOf(filter);
  const grams = filter.q === undefined ? [] : gramRows(filter.q);
  let left = {
    from: Math.floor(range.from / BLOCK_SIZE),
    to: Math.ceil(range.to / BLOCK_SIZE),
  };
  const values = question.all.flat().reduce((sum, terms) => sum + terms.values.length, 0);
  let most = Math.min(FIRST.blocks, Math.ceil(FIRST.lists / values));
  let entries = FIRST.entries;
  while (left.from < left.to) {
    deadline.check();
    // The entries of a single value come in the order asked, and no more are read than are wanted. Of several all in a
    // range of blocks are, and so are the rows of bits, of which each block has some.
    const width = grams.length > 0 ? most : Math.ceil(entries / values);
    const look = grams.length === 0 && values === 1 ? left : part(left, order, width);
    const hits = await readHits(db, question, grams, look, order, most);
    for (const hit of hits) {
      const from = range.from - hit.block * BLOCK_SIZE;
      const to = range.to - hit.block * BLOCK_SIZE;
      if (from > 0 || to < BLOCK_SIZE) hit.offsets.keep(Offsets.range(from, to));
      if (hit.offsets.count > 0) yield hit;
    }
    left = hits.length < most ? rest(left, look, order) : after(left, hits.at(-1)?.block ?? 0, order);
    most = Math.min(MORE * most, MOST.blocks);
    entries = Math.min(MORE * entries, MOST.entries);
  }
}

/**
 * The first blocks that have some of each of the alternatives, at most so many, with what they have.
 *
 * Postgres has no statistics of a field and a value together, and expects a single row where each block has one. So
 * nothing is left to its choice that would cost the square of the blocks: they are grouped, not joined, and each list
 * is looked up by itself.
 */
async function readHits(
  db: Db,
  { all, actions, rooms }: Question,
  grams: ReturnType<typeof gramRows>,
  { from, to }: Range,
  order: Order,
  most: number,
): Promise<Candidates[]> {
  const within = sql`block >= ${from}::integer and block < ${to}::integer`;
  // Where some did it in the block, and some were in the room.
  const masked = [sql`true`];
  if (actions !== undefined) masked.push(sql`(actions & ${actions}::bigint) <> 0`);
  if (rooms !== undefined) masked.push(sql`(rooms & ${rooms}::bigint) <> 0`);
  const meeting = sql`${within} and ${sql.join(masked, sql` and `)}`;
  const sources = all.map((each) => blocksOf(each, meeting));
  if (grams.length > 0) sources.push(granulesOf(grams, within));
  const lists = all.flatMap((each, n) =>
    each.map(
      (terms) => sql`
      select hit.block, ${n}::integer as alternative, p.list, null::text as granules
      from hit cross join lateral (
        select list from public.audit_posting where block = hit.block and ${isOneOf(terms)} offset 0
      ) p`,
    ),
  );
  const { rows } = await sql<{
    block: number;
    alternative: number | null;
    list: Buffer | null;
    granules: string | null;
  }>`
    with hit as materialized (
      ${meetingOf(sources)} order by block ${sql.raw(order)} limit ${most}
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
const isOneOf = ({ field, values }: Terms): RawBuilder<unknown> =>
  sql`field = ${field}::smallint and value = ${oneOf(values)}`;

/** The blocks that have some of the alternatives, each once. */
function blocksOf(alternatives: Alternatives, within: RawBuilder<unknown>): RawBuilder<unknown> {
  const single = alternatives.length === 1 && alternatives[0]?.values.length === 1;
  const each = alternatives.map(
    (terms) => sql`select block from public.audit_posting where ${isOneOf(terms)} and ${within}`,
  );
  return sql`
    select ${single ? sql`` : sql`distinct`} block, null::text as granules
    from (${sql.join(each, sql` union all `)}) terms`;
}

/** The blocks that all of the sources have. Of a single one, Postgres reads no more than the first that are wanted. */
function meetingOf(sources: readonly RawBuilder<unknown>[]): RawBuilder<unknown> {
  const rows = sql.join(sources, sql` union all `);
  if (sources.length === 1) return sql`select block, granules from (${rows}) source`;
  return sql`
    select block, max(granules) as granules from (${rows}) source
    group by block having count(*) = ${sources.length}`;
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
