import { sql } from 'kysely';
import { BLOCK_SIZE } from '../src/core/search/offsets.ts';
import type { Db } from './client.ts';

/** How much there is of the log: bytes on disk with all indexes, the number that comes next, and how far it is indexed. */
export type LogSize = { bytes: number; nextSeq: number; indexedTo: number };

/** Measures the log. It looks at files, not at rows, so it costs the same however long the log is. */
export async function readLogSize(db: Db): Promise<LogSize> {
  const { rows } = await sql<{ bytes: string; next_seq: string; next_block: number }>`
    select pg_total_relation_size('public.audit_batch') + pg_total_relation_size('public.audit_posting')
        + pg_total_relation_size('public.audit_gram')
        + (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)
          from pg_catalog.pg_inherits where inhparent = 'public.audit_event'::regclass) as bytes,
      coalesce((select first_seq + count from public.audit_batch order by first_seq desc limit 1), 0)
        as next_seq,
      (select next_block from public.audit_index) as next_block`.execute(db);
  const row = rows[0];
  return {
    bytes: Number(row?.bytes),
    nextSeq: Number(row?.next_seq),
    indexedTo: (row?.next_block ?? 0) * BLOCK_SIZE,
  };
}
