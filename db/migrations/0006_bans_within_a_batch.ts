import { type Kysely, sql } from 'kysely';

/**
 * A ban holds at every place of a batch. Before, the last act upon a user in a batch counted for all of it: who was
 * banned could come in, for that moment, just before they were banned anew or the ban was lifted.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // As in 0004, but for who is banned, which is looked at first.
  await sql`
    create or replace function public.chat_apply(p_writer text, p_first bigint, p_timestamp timestamptz,
      p_action text[], p_user_id text[], p_room text[], p_session_id uuid[], p_target_user_id text[], p_ip text[],
      p_details jsonb[]) returns void
    language plpgsql set search_path = pg_catalog, public, pg_temp as $$
    #variable_conflict use_column
    declare
      v_banned text;
      v_kicked text;
      v_refused text;
    begin
      -- Nobody comes in while banned: by the last ban or lifting before that place in this batch, or else by what was in
      -- force before the batch. Looked at first, for a ban anew takes the place of the one before.
      if 'CONNECTED' = any (p_action) then
        select string_agg(u.n::text, ',') into v_banned
        from unnest(p_action, p_user_id) with ordinality as u (action, user_id, n)
          left join public.chat_ban b on b.user_id = u.user_id
          left join lateral (
            select a.action, (a.details->>'until')::timestamptz as until
            from unnest(p_action, p_target_user_id, p_details) with ordinality as a (action, target_user_id, details, n)
            where p_action && array['USER_BANNED', 'USER_UNBANNED']
              and a.action in ('USER_BANNED', 'USER_UNBANNED') and a.target_user_id = u.user_id and a.n < u.n
            order by a.n desc limit 1
          ) act on true
        where u.action = 'CONNECTED' and case
          when act.action is null then b.user_id is not null and (b.until is null or b.until > clock_timestamp())
          else act.action = 'USER_BANNED' and (act.until is null or act.until > clock_timestamp()) end;
      end if;

      if p_action && array['USER_BANNED', 'USER_UNBANNED'] then
        delete from public.chat_ban b where b.until <= clock_timestamp();
        -- Of several bans of one user, the last one counts.
        with last as (
          select distinct on (u.target_user_id) u.*, p_first + u.n - 1 as seq
          from unnest(p_action, p_user_id, p_target_user_id, p_details) with ordinality
            as u (action, user_id, target_user_id, details, n)
          where u.action in ('USER_BANNED', 'USER_UNBANNED')
          order by u.target_user_id, u.n desc
        ), lifted as (
          delete from public.chat_ban b using last l
          where l.action = 'USER_UNBANNED' and b.user_id = l.target_user_id
        )
        insert into public.chat_ban (user_id, reason, until, banned_by, banned_seq, banned_at)
          select l.target_user_id, l.details->>'reason', (l.details->>'until')::timestamptz, l.user_id, l.seq, p_timestamp
          from last l where l.action = 'USER_BANNED'
          on conflict (user_id) do update set reason = excluded.reason, until = excluded.until,
            banned_by = excluded.banned_by, banned_seq = excluded.banned_seq, banned_at = excluded.banned_at;
      end if;

      if 'CONNECTED' = any (p_action) then
        insert into public.chat_session (session_id, user_id, instance, connected_seq, connected_at, ip)
          select u.session_id, u.user_id, p_writer, p_first + u.n - 1, p_timestamp, u.ip
          from unnest(p_action, p_user_id, p_session_id, p_ip) with ordinality
            as u (action, user_id, session_id, ip, n)
          where u.action = 'CONNECTED';
      end if;

      if p_action && array['USER_KICKED', 'USER_BANNED'] then
        insert into public.chat_kick (session_id, kicked_seq)
          select s.session_id, min(p_first + u.n - 1)
          from unnest(p_action, p_session_id, p_target_user_id) with ordinality
              as u (action, session_id, target_user_id, n)
            join public.chat_session s on s.connected_seq < p_first + u.n - 1 and case u.action
              when 'USER_KICKED' then s.session_id = u.session_id
              when 'USER_BANNED' then s.user_id = u.target_user_id end
          group by s.session_id
          on conflict (session_id) do nothing;
      end if;

      -- Nothing is said after the kick.
      select string_agg(u.n::text, ',') into v_kicked
      from unnest(p_action, p_session_id) with ordinality as u (action, session_id, n)
        join public.chat_kick k on k.session_id = u.session_id and k.kicked_seq < p_first + u.n - 1
      where u.action in ('MESSAGE_SENT', 'JOINED', 'LEFT');
      v_refused := nullif(concat_ws(',', v_kicked, v_banned), '');
      if v_refused is not null then
        raise exception 'the session was ended by an administrator, or its user is banned'
          using errcode = 'MB003', detail = v_refused;
      end if;

      if p_action && array['JOINED', 'LEFT', 'DISCONNECTED'] then
        -- Of several moves in and out of one room, the last one counts.
        with move as (
          select distinct on (u.session_id, u.room) u.session_id, u.room, u.action, p_first + u.n - 1 as seq
          from unnest(p_action, p_session_id, p_room) with ordinality as u (action, session_id, room, n)
          where u.action in ('JOINED', 'LEFT')
          order by u.session_id, u.room, u.n desc
        ), gone as (
          delete from public.chat_session_room r using move m
          where m.action = 'LEFT' and r.session_id = m.session_id and r.room = m.room
        )
        insert into public.chat_session_room (session_id, room, joined_seq)
          select m.session_id, m.room, m.seq from move m
          where m.action = 'JOINED' and m.session_id is not null and m.room is not null
          on conflict (session_id, room) do update set joined_seq = excluded.joined_seq;

        with ended as (
          select u.session_id from unnest(p_action, p_session_id) as u (action, session_id)
          where u.action = 'DISCONNECTED'
        ), emptied as (
          delete from public.chat_session_room r using ended e where r.session_id = e.session_id
        ), settled as (
          delete from public.chat_kick k using ended e where k.session_id = e.session_id
        )
        delete from public.chat_session s using ended e where s.session_id = e.session_id;
      end if;
    end $$`.execute(db);
}
