import type { Client } from 'pg';

/** Bytes on disk for each event, by what they are for. */
export type Sizes = { events: number; parts: [what: string, bytes: number][]; total: number };

/** What is in a database, by table: heap, toast, primary key, other indexes; indexes of batches and of the index count with them. */
const SIZES = `
  with relation as (
    select c.oid, c.reltoastrelid as toast,
      case when c.relname like 'audit\\_event%' then 'events' when c.relname in ('audit_posting', 'audit_gram') then 'index'
        else 'batches and the rest' end as what
    from pg_class c
    where c.relnamespace = 'public'::regnamespace and c.relkind = 'r' and c.relname like 'audit\\_%'
  )
  select what, sum(pg_total_relation_size(oid))::float8 as total,
    sum(case when toast = 0 then 0 else pg_total_relation_size(toast) end)::float8 as toast,
    sum(coalesce((select sum(pg_relation_size(i.indexrelid)) from pg_index i
      where i.indrelid = relation.oid and i.indisprimary), 0))::float8 as key,
    sum(coalesce((select sum(pg_relation_size(i.indexrelid)) from pg_index i
      where i.indrelid = relation.oid and not i.indisprimary), 0))::float8 as others
  from relation group by what order by what`;

type Row = { what: string; total: number; toast: number; key: number; others: number };

const perEvent = (events: number, parts: [string, number][]): Sizes => {
  const each = parts.map(([what, bytes]): [string, number] => [what, bytes / events]);
  return { events, parts: each, total: each.reduce((sum, [, bytes]) => sum + bytes, 0) };
};

/** Of our own log. */
export async function sizeOfLog(client: Client, events: number): Promise<Sizes> {
  const { rows } = await client.query<Row>(SIZES);
  const of = (what: string): Row =>
    rows.find((row) => row.what === what) ?? { what, total: 0, toast: 0, key: 0, others: 0 };
  const { total, toast, key, others } = of('events');
  return perEvent(events, [
    ['heap', total - toast - key - others],
    ['primary key', key],
    ['other indexes of the table', others],
    ['toast', toast],
    ['index in blocks', of('index').total],
    ['batches and the rest', of('batches and the rest').total],
  ]);
}

/** More of them would make it no other size. */
const MOST = 1_000_000;

/** As many ways to find something as the log has filters with an exact value: six columns, and the time. */
const INDEXES = [
  ...['timestamp', 'action', 'user_id'],
  ...['user_id, id', 'action, id', 'user_id, action', 'timestamp, action'],
];
/** Those of one column: as many as the table has columns to search by. */
const OWN_INDEXES = 3;

/**
 * Of the table that a program keeps which writes its log as it goes, of the same events: four columns and a key, with
 * an index on each column but the message, and with as many indexes as the log has filters. The indexes are there
 * before the rows.
 */
export async function sizeOfSeedTable(client: Client): Promise<{ own: Sizes; asMany: Sizes }> {
  await client.query(`
    create table seed_event (
      id bigserial primary key,
      timestamp timestamptz not null default now(),
      action text not null,
      user_id text,
      message text
    )`);
  for (const [n, columns] of INDEXES.entries()) {
    await client.query(`create index seed_event_${n} on seed_event (${columns})`);
  }
  await client.query(`
    insert into seed_event (timestamp, action, user_id, message)
    select timestamp, action, user_id, message from public.audit_event order by seq limit ${MOST}`);
  const { rows } = await client.query<{
    events: number;
    total: number;
    toast: number;
    key: number;
    indexes: number[];
  }>(`
    select (select count(*) from seed_event)::float8 as events,
      pg_total_relation_size('seed_event')::float8 as total,
      (select pg_total_relation_size(reltoastrelid) from pg_class where oid = 'seed_event'::regclass)::float8 as toast,
      pg_relation_size('seed_event_pkey')::float8 as key,
      array(select pg_relation_size(('seed_event_' || n)::regclass)::float8
        from generate_series(0, ${INDEXES.length - 1}) n order by n) as indexes`);
  await client.query('drop table seed_event');
  const row = rows[0] ?? { events: 0, total: 0, toast: 0, key: 0, indexes: [] };
  const all = row.indexes.reduce((sum, bytes) => sum + bytes, 0);
  const sizes = (indexes: readonly number[]): Sizes =>
    perEvent(row.events, [
      ['heap', row.total - row.toast - row.key - all],
      ['primary key', row.key],
      ['other indexes of the table', indexes.reduce((sum, bytes) => sum + bytes, 0)],
      ['toast', row.toast],
    ]);
  return { own: sizes(row.indexes.slice(0, OWN_INDEXES)), asMany: sizes(row.indexes) };
}
