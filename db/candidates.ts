import { type RawBuilder, sql } from 'kysely';
import type { Filter } from '../src/core/filter.ts';
import { GRANULE_SIZE, gramRows } from '../src/core/search/grams.ts';
import { BLOCK_SIZE, Offsets } from '../src/core/search/offsets.ts';
import { after, type Order, part, type Range, rest } from '../src/core/search/ranges.ts';
import { type Alternatives, type Question, questionOf } from '../src/core/search/terms.ts';
import type { Db } from './client.ts';
import type { Deadline } from './deadline.ts';
import { oneOf } from './sql.ts';

/** Events of one block that may match: exactly those that do, unless the filter has a `q`. */
export type Candidates = { block: number; offsets: Offsets };

/** How many blocks are looked at first; each further look takes four times as many. */
const FIRST_BLOCKS = 8;
const MOST_BLOCKS = 256;

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

/** The first blocks that have some of each of the alternatives, at most so many, with what they have. */
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
