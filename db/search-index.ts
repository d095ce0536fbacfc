import { sql } from 'kysely';
import { BlockBuilder, type BlockIndex, finish } from '../src/core/search/block.ts';
import { listBytes } from '../src/core/search/offsets.ts';
import type { Indexing } from '../src/core/search/turn.ts';
import type { Db } from './client.ts';
import { eventsFrom, readNextSeq } from './events.ts';

const PAGE = 500;

/** The first block that is not indexed. */
export async function readNextBlock(db: Db): Promise<number> {
  const row = await db.selectFrom('audit_index').select('next_block').executeTakeFirstOrThrow();
  return row.next_block;
}

/** How far the index is, and how many instances are older than this one, of those whose lease holds. */
export async function readIndexing(db: Db, instance: string): Promise<Indexing> {
  const { rows } = await sql<{ older: number | null; next_block: number; next_seq: string }>`
    select i.next_block,
      (select b.first_seq + b.count from public.audit_batch b order by b.first_seq desc limit 1) as next_seq,
      (select (select count(*)::integer from public.audit_writer o
          where o.lease_until > clock_timestamp() and o.term < w.term)
        from public.audit_writer w where w.id = ${instance} and w.lease_until > clock_timestamp()) as older
    from public.audit_index i`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('audit_index is empty');
  return { older: row.older ?? undefined, nextBlock: row.next_block, nextSeq: Number(row.next_seq ?? 0) };
}

/** Adds what a block still lacks before one of its events, from the log. */
export async function fillBlock(db: Db, builder: BlockBuilder, until: number): Promise<void> {
  for (let next = builder.from; next < until; ) {
    const { events } = await eventsFrom(db, next, Math.min(PAGE, until - next));
    // What retention has dropped is in no index.
    if (events.length === 0 || (events[0]?.seq ?? until) >= until) return;
    for (const event of events) if (event.seq < until) builder.add(event);
    next = (events.at(-1)?.seq ?? until) + 1;
  }
}

/** An array of numbers as Postgres reads it. `pg` would quote each of some ten thousand by itself, for 10 ms. */
const array = (numbers: readonly (number | bigint)[]): string => `{${numbers.join()}}`;

/** Writes the index of a whole block. False: it is there already, or not the next one. */
export async function writeBlock(db: Db, index: BlockIndex): Promise<boolean> {
  const { block, fields, values, counts, actions, rooms, lists, grams } = index;
  const { rows } = await sql<{ done: boolean }>`
    select public.audit_index_block(${block}, ${array(fields)}::smallint[],
      array(select value from json_array_elements_text(${JSON.stringify(values)}::json) with ordinality
        order by ordinality),
      ${array(counts)}::integer[], ${array(actions)}::bigint[], ${array(rooms)}::bigint[], ${lists}, ${grams})
      as done`.execute(db);
  return rows[0]?.done ?? false;
}

/** Indexes the next block from the log alone. @returns false when the next one is not whole yet */
export async function indexNext(db: Db): Promise<boolean> {
  const builder = new BlockBuilder(await readNextBlock(db));
  if ((await readNextSeq(db)) < builder.to) return false;
  await fillBlock(db, builder, builder.to);
  await writeBlock(db, finish(builder));
  return true;
}

/** Whether the index of a block is what its events give, in every list, mask and row of bits. */
export async function isIndexTrue(db: Db, block: number): Promise<boolean> {
  const builder = new BlockBuilder(block);
  await fillBlock(db, builder, builder.to);
  const { fields, values, counts, actions, rooms, lists, grams } = finish(builder);
  const written = await db.selectFrom('audit_posting').selectAll().where('block', '=', block).execute();
  if (written.length !== values.length) return false;
  const known = new Map(written.map((posting) => [`${posting.field} ${posting.value}`, posting]));
  let at = 0;
  for (const [n, value] of values.entries()) {
    const posting = known.get(`${fields[n]} ${value}`);
    const count = counts[n] ?? 0;
    const list = lists.subarray(at, at + listBytes(count));
    at += list.length;
    if (posting === undefined || posting.count !== count || !list.equals(posting.list)) return false;
    if (BigInt(posting.actions) !== actions[n] || BigInt(posting.rooms) !== rooms[n]) return false;
  }
  const { rows } = await sql<{ same: boolean }>`
    select count(*) = 512 as same from generate_series(0, 511) part
      join public.audit_gram g on g.block = ${block} and g.part = part.part
        and g.bits = ('x' || encode(substring(${grams}::bytea from part.part * 1024 + 1 for 1024), 'hex'))::bit(8192)`.execute(
    db,
  );
  return rows[0]?.same ?? false;
}
