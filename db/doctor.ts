import { sql } from 'kysely';
import type { Db } from './client.ts';
import type { SeqRange } from './events.ts';

/** What the role that we are may do. */
export type Rights = {
  role: string;
  /** What it lacks: tables that it may not read, functions that it may not execute. */
  missing: string[];
  /** Ways in which it could change the log past the functions. */
  excess: string[];
};

/** What the role of this connection may do with the log. */
export async function readRights(db: Db): Promise<Rights> {
  const { rows } = await sql<Rights>`
    select current_user::text as role,
      array(select c.relname::text from pg_class c
        where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p')
          and c.relname in ('audit_log', 'audit_batch', 'audit_event', 'audit_writer', 'chat_session',
            'chat_session_room', 'chat_ban', 'chat_kick', 'audit_index', 'audit_posting', 'audit_gram')
          and not has_table_privilege(c.oid, 'select')
        union all
        -- What the owner hands out are the functions that run with the owner's rights.
        select p.proname::text || '()' from pg_proc p
        where p.pronamespace = 'public'::regnamespace and p.prosecdef and p.proname ~ '^(audit|ticket)_'
          and not has_function_privilege(p.oid, 'execute')
        order by 1) as missing,
      array(select right_name from unnest(array['insert', 'update', 'delete', 'truncate', 'trigger']) as right_name
        where has_table_privilege('public.audit_event', right_name)
        union all select 'superuser' from pg_roles where rolname = current_user and rolsuper) as excess`.execute(
    db,
  );
  const [rights] = rows;
  if (rights === undefined) throw new Error('the database does not say who we are');
  return rights;
}

export type Clocks = {
  /** The database's clock, in milliseconds since 1970. */
  databaseMs: number;
  /** How far the log's time is ahead of it, in milliseconds; not positive when all is well. */
  logAheadMs: number;
};

/** The time of the database, and that of the log. */
export async function readClocks(db: Db): Promise<Clocks> {
  const { rows } = await sql<{ now: string; ahead: string | null }>`
    select extract(epoch from clock_timestamp()) * 1000 as now,
      (select extract(epoch from b.timestamp - clock_timestamp()) * 1000 from public.audit_batch b
        order by b.first_seq desc limit 1) as ahead`.execute(db);
  return { databaseMs: Number(rows[0]?.now), logAheadMs: Number(rows[0]?.ahead ?? 0) };
}

/** How many whole partitions are left after the one that is written now; negative: not even that one is there. */
export async function readSparePartitions(db: Db): Promise<number> {
  const { rows } = await sql<{ spare: string }>`
    select l.partitioned_to / l.partition_size - 1 - coalesce((select b.first_seq + b.count
      from public.audit_batch b order by b.first_seq desc limit 1), 0) / l.partition_size as spare
    from public.audit_log l`.execute(db);
  return Number(rows[0]?.spare);
}

/** Indexes of ours that Postgres does not use, for they were never finished. */
export async function readInvalidIndexes(db: Db): Promise<string[]> {
  const { rows } = await sql<{ name: string }>`
    select i.indexrelid::regclass::text as name from pg_index i join pg_class c on c.oid = i.indrelid
    where c.relnamespace = 'public'::regnamespace and c.relname ~ '^(audit|chat)_'
      and not (i.indisvalid and i.indisready) order by 1`.execute(db);
  return rows.map(({ name }) => name);
}

/** How many numbers of a range are missing, in the events and in the batches; both 0 when the log is whole. */
export async function countMissing(
  db: Db,
  { from, to }: SeqRange,
): Promise<{ events: number; batches: number }> {
  const { rows } = await sql<{ events: string; batches: string }>`
    select (select count(*) from public.audit_event where seq >= ${from} and seq < ${to}) as events,
      -- Batches may reach over both ends.
      coalesce((select sum(least(b.first_seq + b.count, ${to}) - greatest(b.first_seq, ${from}))
        from public.audit_batch b
        where b.first_seq < ${to} and b.first_seq >= coalesce((select first_seq from public.audit_batch
          where first_seq <= ${from} order by first_seq desc limit 1), 0)), 0) as batches`.execute(db);
  return { events: to - from - Number(rows[0]?.events), batches: to - from - Number(rows[0]?.batches) };
}
