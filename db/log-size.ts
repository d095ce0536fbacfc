import { sql } from 'kysely';
import type { Db } from './client.ts';

/** How much there is of the log: bytes on disk with all indexes, and the number that comes next. */
export type LogSize = { bytes: number; nextSeq: number };

/** Measures the log. It looks at files, not at rows, so it costs the same however long the log is. */
export async function readLogSize(db: Db): Promise<LogSize> {
  const { rows } = await sql<{ bytes: string; next_seq: string }>`
    select pg_total_relation_size('public.audit_batch')
        + (select coalesce(sum(pg_total_relation_size(inhrelid)), 0)
          from pg_catalog.pg_inherits where inhparent = 'public.audit_event'::regclass) as bytes,
      coalesce((select first_seq + count from public.audit_batch order by first_seq desc limit 1), 0)
        as next_seq`.execute(db);
  return { bytes: Number(rows[0]?.bytes), nextSeq: Number(rows[0]?.next_seq) };
}
