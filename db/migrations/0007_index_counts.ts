import { type Kysely, sql } from 'kysely';

/**
 * The index of a block is refused when it counts fewer events than the block has, in any field: the server's role may
 * write the index, and an empty one would have every filter miss all of the block.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // As in 0005, but for the events that are counted.
  await sql`
    create or replace function public.audit_index_block(
      p_block integer, p_fields smallint[], p_values text[], p_counts integer[], p_actions bigint[],
      p_rooms bigint[], p_lists bytea, p_grams bytea)
    returns boolean
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    declare
      v_head bigint;
      v_first bigint := p_block::bigint * 16384;
      v_missed text;
    begin
      perform 1 from public.audit_index where next_block = p_block for update;
      if not found then
        return false;
      end if;
      select b.first_seq + b.count into v_head from public.audit_batch b order by b.first_seq desc limit 1;
      if v_head is null or v_head < v_first + 16384 then
        raise exception 'block % is not whole yet', p_block using errcode = 'object_not_in_prerequisite_state';
      end if;
      -- Of what is longer nothing is promised; what is shorter in bytes is so in any other unit.
      select string_agg(format('%s of %s by %s', c.needed - coalesce(i.given, 0), c.needed, c.name), ', ') into v_missed
      from (
        select f.field, f.name, f.needed
        from (
          select count(*) filter (where octet_length(e.action) <= 512) as actions,
            count(*) filter (where octet_length(e.user_id) <= 512) as users,
            count(*) filter (where octet_length(e.room) <= 512) as rooms,
            count(*) filter (where octet_length(e.target_user_id) <= 512) as targets,
            count(e.session_id) as sessions,
            count(*) filter (where octet_length(e.ip) <= 512) as ips
          from public.audit_event e where e.seq >= v_first and e.seq < v_first + 16384
        ) n cross join lateral (values (1, 'action', n.actions), (2, 'user_id', n.users), (3, 'room', n.rooms),
          (4, 'target_user_id', n.targets), (5, 'session_id', n.sessions), (6, 'ip', n.ips)) as f (field, name, needed)
      ) c left join (
        select u.field, sum(u.count) as given from unnest(p_fields, p_counts) as u (field, count) group by u.field
      ) i using (field)
      where coalesce(i.given, 0) < c.needed;
      if v_missed is not null then
        raise exception 'the index of block % misses events: %', p_block, v_missed using errcode = 'check_violation';
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
}
