import { type Kysely, sql } from 'kysely';

/**
 * Kicks and bans hold from their very place in the log: the statement that appends also keeps the live state, and
 * refuses what a session says after it was kicked. What is live is a helper's part from here on, so that later
 * migrations need not repeat the body of `audit_append`.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await tables(db);
  await apply(db);
  await append(db);
}

async function tables(db: Kysely<unknown>): Promise<void> {
  // One row per user; a new ban takes the place of the old one. What has lapsed goes with the next ban.
  await sql`
    create table public.chat_ban (
      user_id text primary key,
      reason text not null,
      until timestamptz,
      banned_by text,
      banned_seq bigint not null unique,
      banned_at timestamptz not null
    )`.execute(db);

  // Sessions that an administrator has ended, until their DISCONNECTED is on record. Nearly always empty.
  await sql`
    create table public.chat_kick (
      session_id uuid primary key,
      kicked_seq bigint not null
    )`.execute(db);
}

async function apply(db: Kysely<unknown>): Promise<void> {
  // Keeps what is live in step with a batch, within its commit. The batch holds the number lock, so that one runs
  // after the other, and each sees all that came before. Not SECURITY DEFINER: it has the owner's rights when
  // audit_append calls it, and the caller's when anybody else does.
  //
  // MB003: events that may not be, by their places in the batch, counted from 1; nothing is written.
  await sql`
    create function public.chat_apply(p_writer text, p_first bigint, p_timestamp timestamptz,
      p_action text[], p_user_id text[], p_room text[], p_session_id uuid[], p_target_user_id text[], p_ip text[],
      p_details jsonb[]) returns void
    language plpgsql set search_path = pg_catalog, public, pg_temp as $$
    #variable_conflict use_column
    declare
      v_refused text;
    begin
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

      -- Nothing is said after the kick, and nobody comes in after the ban.
      select string_agg(r.n::text, ',') into v_refused from (
        select u.n from unnest(p_action, p_session_id) with ordinality as u (action, session_id, n)
          join public.chat_kick k on k.session_id = u.session_id and k.kicked_seq < p_first + u.n - 1
          where u.action in ('MESSAGE_SENT', 'JOINED', 'LEFT')
        union all
        select u.n from unnest(p_action, p_user_id) with ordinality as u (action, user_id, n)
          join public.chat_ban b on b.user_id = u.user_id and b.banned_seq < p_first + u.n - 1
          where u.action = 'CONNECTED' and (b.until is null or b.until > clock_timestamp())
      ) r;
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

  await sql`
    revoke all on function public.chat_apply(text, bigint, timestamptz, text[], text[], text[], uuid[], text[],
      text[], jsonb[])
    from public`.execute(db);
}

async function append(db: Kysely<unknown>): Promise<void> {
  // As in 0002, but what is live is left to chat_apply. A batch that changes nothing live, and that nobody can be
  // refused in, costs one comparison of arrays and a look at an empty table. The look is part of the statement that
  // takes the number: its snapshot holds the batch before, and so all before that.
  await sql`
    create or replace function public.audit_append(
      p_writer text, p_term bigint, p_number bigint,
      p_occurred_at timestamptz[], p_action text[], p_user_id text[], p_message text[], p_room text[],
      p_session_id uuid[], p_target_user_id text[], p_ip text[], p_details jsonb[],
      out first_seq bigint, out at text)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    #variable_conflict use_column
    declare
      turns integer := 0;
      v_count integer := cardinality(p_action);
      v_first bigint;
      v_timestamp timestamptz;
      v_kicks boolean;
    begin
      perform 1 from public.audit_writer w
        where w.id = p_writer and w.term = p_term and w.lease_until > clock_timestamp() for share;
      if not found then
        raise exception 'writer % is fenced: its term % or its lease has ended', p_writer, p_term
          using errcode = 'MB001';
      end if;

      loop
        insert into public.audit_batch as b (first_seq, count, timestamp, writer, number)
          select coalesce(last.next_seq, 0), v_count, greatest(clock_timestamp(), last.timestamp), p_writer, p_number
          from (values (1)) as always
            left join lateral (select l.first_seq + l.count as next_seq, l.timestamp
              from public.audit_batch l order by l.first_seq desc limit 1) last on true
          on conflict do nothing
          returning b.first_seq, b.timestamp, exists (select from public.chat_kick)
          into v_first, v_timestamp, v_kicks;
        exit when found;
        -- Either this very batch is there already, or another one has taken the number.
        select b.first_seq, b.timestamp into v_first, v_timestamp
          from public.audit_batch b where b.writer = p_writer and b.number = p_number;
        if found then
          first_seq := v_first;
          at := to_char(v_timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
          return;
        end if;
        turns := turns + 1;
        if turns > 1000 then
          raise exception 'no number could be had: is the isolation level READ COMMITTED?'
            using errcode = 'lock_not_available';
        end if;
      end loop;

      insert into public.audit_event (seq, timestamp, occurred_at, action, user_id, message, room, session_id,
          target_user_id, instance, ip, details)
        select v_first + u.n - 1, v_timestamp, u.occurred_at, u.action, u.user_id, u.message, u.room,
          u.session_id, u.target_user_id, p_writer, u.ip, u.details
        from unnest(p_occurred_at, p_action, p_user_id, p_message, p_room, p_session_id, p_target_user_id,
          p_ip, p_details) with ordinality
          as u (occurred_at, action, user_id, message, room, session_id, target_user_id, ip, details, n);

      -- What is live comes and goes with the very commit of its event, so that no crash can lose an end.
      if v_kicks or not p_action <@ array['MESSAGE_SENT', 'AUDIT_READ', 'MESSAGE_REFUSED', 'CONNECTION_REFUSED',
          'ACCESS_DENIED', 'REQUEST_REFUSED'] then
        perform public.chat_apply(p_writer, v_first, v_timestamp, p_action, p_user_id, p_room, p_session_id,
          p_target_user_id, p_ip, p_details);
      end if;

      first_seq := v_first;
      at := to_char(v_timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    end $$`.execute(db);
}
