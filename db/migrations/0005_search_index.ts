import { type Kysely, sql } from 'kysely';

/**
 * An index of our own in place of the secondary indexes of `audit_event`: whole blocks of 16,384 events are indexed
 * after they are committed, so that no commit waits for it. What is newer than the last whole block is read as it is.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  for (const column of ['action', 'user_id', 'room', 'session_id', 'target_user_id', 'ip']) {
    await sql`drop index public.${sql.ref(`audit_event_${column}`)}`.execute(db);
  }

  // The first block that is not indexed; all below are.
  await sql`
    create table public.audit_index (
      only_row boolean primary key default true check (only_row),
      next_block integer not null
    )`.execute(db);
  await sql`insert into public.audit_index (next_block) select first_seq / 16384 from public.audit_log`.execute(
    db,
  );

  // Which events of a block have a value: their positions, two bytes each, or a bit for each event of the block; and
  // a mask of what they did and where, so that common values that never meet are told apart without their lists.
  await sql`
    create table public.audit_posting (
      block integer not null,
      count integer not null,
      field smallint not null,
      actions bigint not null,
      rooms bigint not null,
      value text not null,
      list bytea not null,
      -- With the masks, so that they are looked at without the rows.
      primary key (field, value, block) include (actions, rooms)
    )
    -- Only what was vacuumed can be left alone like that.
    with (autovacuum_vacuum_insert_scale_factor = 0.02)`.execute(db);

  // For counts: all values of a field in a block. Its keys repeat so often that it takes next to no room.
  await sql`create index audit_posting_block on public.audit_posting (block, field)`.execute(db);

  // Which 128 neighbouring events of a block hold which runs of characters: 64 rows of 128 bits in each part.
  await sql`
    create table public.audit_gram (
      block integer not null,
      part smallint not null,
      bits bit(8192) not null,
      primary key (part, block)
    )`.execute(db);
  // Neither is ever long enough to be moved out of its row, nor is it worth while to try.
  await sql`alter table public.audit_posting alter column list set storage plain`.execute(db);
  await sql`alter table public.audit_gram alter column bits set storage plain`.execute(db);

  // Of several instances that index the same block, one does, and the others find it done. A block is indexed when
  // all of it is committed, and never again.
  await sql`
    create function public.audit_index_block(
      p_block integer, p_fields smallint[], p_values text[], p_counts integer[], p_actions bigint[],
      p_rooms bigint[], p_lists bytea, p_grams bytea)
    returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    declare
      v_head bigint;
    begin
      perform 1 from public.audit_index where next_block = p_block for update;
      if not found then
        return false;
      end if;
      select b.first_seq + b.count into v_head from public.audit_batch b order by b.first_seq desc limit 1;
      if v_head is null or v_head < (p_block + 1)::bigint * 16384 then
        raise exception 'block % is not whole yet', p_block using errcode = 'object_not_in_prerequisite_state';
      end if;
      insert into public.audit_posting (block, count, field, actions, rooms, value, list)
        select p_block, l.count, l.field, l.actions, l.rooms, l.value, substring(p_lists from l.until - l.bytes + 1 for l.bytes)
        from (
          select u.*, b.bytes, (sum(b.bytes) over (order by u.n))::integer as until
          from unnest(p_counts, p_fields, p_actions, p_rooms, p_values) with ordinality
              as u (count, field, actions, rooms, value, n)
            cross join lateral (select least(2 * u.count, 2048) as bytes) b
        ) l;
      insert into public.audit_gram (block, part, bits)
        select p_block, part,
          ('x' || encode(substring(p_grams from part * 1024 + 1 for 1024), 'hex'))::bit(8192)
        from generate_series(0, 511) part;
      update public.audit_index set next_block = p_block + 1;
      return true;
    end $$`.execute(db);
  await sql`
    revoke all on function public.audit_index_block(integer, smallint[], text[], integer[], bigint[], bigint[],
      bytea, bytea)
    from public`.execute(db);
}
