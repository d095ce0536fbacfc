import { type Kysely, sql } from 'kysely';

/**
 * Many instances: what one of them leaves behind is ended by another, and a log that was put back to an older
 * state is noticed. As before, everything that writes is a function of the owner.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await tables(db);
  await append(db);
  await leases(db);
  await reap(db);
  await history(db);
  await rights(db);
}

async function tables(db: Kysely<unknown>): Promise<void> {
  // Which database this log was last written in. Null: no server has seen it yet.
  await sql`
    alter table public.audit_log
      add system_identifier bigint, add database_oid oid, add timeline integer`.execute(db);

  // held_since: since when the lease was never let lapse. lost: its end is on record, not that of all its sessions.
  await sql`
    alter table public.audit_writer
      add held_since timestamptz not null default clock_timestamp(),
      add lost boolean not null default false`.execute(db);

  await sql`create index chat_session_instance on public.chat_session (instance, connected_seq)`.execute(db);
  await sql`create unique index chat_session_connected on public.chat_session (connected_seq)`.execute(db);
  await sql`
    create table public.chat_session_room (
      session_id uuid,
      room text,
      joined_seq bigint not null,
      primary key (session_id, room)
    )`.execute(db);
}

async function append(db: Kysely<unknown>): Promise<void> {
  // As in 0001, and it also keeps which rooms a session is in.
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
          returning b.first_seq, b.timestamp into v_first, v_timestamp;
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
      if p_action && array['CONNECTED', 'DISCONNECTED', 'JOINED', 'LEFT'] then
        insert into public.chat_session (session_id, user_id, instance, connected_seq, connected_at, ip)
          select u.session_id, u.user_id, p_writer, v_first + u.n - 1, v_timestamp, u.ip
          from unnest(p_action, p_user_id, p_session_id, p_ip) with ordinality
            as u (action, user_id, session_id, ip, n)
          where u.action = 'CONNECTED';

        -- Of several moves in and out of one room, the last one counts.
        with move as (
          select distinct on (u.session_id, u.room) u.session_id, u.room, u.action, v_first + u.n - 1 as seq
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
        )
        delete from public.chat_session s using ended e where s.session_id = e.session_id;
      end if;

      first_seq := v_first;
      at := to_char(v_timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    end $$`.execute(db);
}

async function leases(db: Kysely<unknown>): Promise<void> {
  // A name is used by one process only, and never again after its instance was given up for lost.
  await sql`
    create or replace function public.audit_join(p_id text) returns bigint
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      insert into public.audit_writer (id, term, lease_until)
      values (p_id, nextval('public.audit_term'), clock_timestamp() + interval '10 seconds')
      returning term
    $$`.execute(db);

  // Taking a new term locks the writer's row, so it waits for an append under way and stops every later one.
  // Null: this instance was given up for lost.
  await sql`
    create function public.audit_rejoin(p_id text) returns bigint
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      update public.audit_writer w set
        term = nextval('public.audit_term'),
        lease_until = clock_timestamp() + interval '10 seconds',
        held_since = case when w.lease_until > clock_timestamp() then w.held_since else clock_timestamp() end
      where w.id = p_id and not w.lost
      returning w.term
    $$`.execute(db);

  // Renews a lease that has not lapsed, and says what a writer should know: which log this is, how far it has
  // come, how many others write, and in how many milliseconds the first of their leases lapses.
  await sql`drop function public.audit_renew(text, bigint)`.execute(db);
  await sql`
    create function public.audit_renew(p_id text, p_term bigint,
      out held boolean, out epoch text, out next_seq bigint, out ahead_ms bigint, out others integer,
      out lapse_ms bigint)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    begin
      update public.audit_writer w set lease_until = clock_timestamp() + interval '10 seconds'
        where w.id = p_id and w.term = p_term and w.lease_until > clock_timestamp();
      held := found;
      select l.epoch into strict epoch from public.audit_log l;
      select b.first_seq + b.count, extract(epoch from b.timestamp - clock_timestamp()) * 1000
        into next_seq, ahead_ms
        from public.audit_batch b order by b.first_seq desc limit 1;
      select count(*) filter (where w.lease_until > clock_timestamp()),
          extract(epoch from min(w.lease_until) - clock_timestamp()) * 1000
        into others, lapse_ms
        from public.audit_writer w where w.id <> p_id;
    end $$`.execute(db);

  // Ends one's own lease at once, as an instance does that cannot answer for its sessions any more.
  await sql`
    create function public.audit_surrender(p_id text) returns void
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      update public.audit_writer set term = nextval('public.audit_term'), lease_until = clock_timestamp()
      where id = p_id and not lost
    $$`.execute(db);

  // Who leaves sessions behind is not done; another instance ends them.
  await sql`
    create or replace function public.audit_leave(p_id text, p_term bigint) returns void
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      update public.audit_writer set lease_until = clock_timestamp() where id = p_id and term = p_term;
      delete from public.audit_writer w where w.id = p_id and w.term = p_term
        and not exists (select from public.chat_session s where s.instance = p_id)
    $$`.execute(db);
}

async function reap(db: Kysely<unknown>): Promise<void> {
  // Ends what an instance has left whose lease has lapsed: first INSTANCE_LOST, then the end of each of its
  // sessions, at most p_most at a time; the number of events, 0 when there is nothing to do. Its new term
  // stops the lost one for good, should it only have been asleep.
  //
  // After an outage of the database every lease has lapsed. So whoever has just come back itself waits for
  // the others to do the same before it gives any of them up.
  await sql`
    create function public.audit_reap(p_writer text, p_term bigint, p_most integer) returns integer
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    declare
      lost public.audit_writer;
      v_term bigint := nextval('public.audit_term');
      v_sessions integer;
      v_user_id text[]; v_session_id uuid[]; v_ip text[]; v_details jsonb[];
      v_count integer;
    begin
      perform 1 from public.audit_writer w
        where w.id = p_writer and w.term = p_term and w.lease_until > clock_timestamp()
          and w.held_since < clock_timestamp() - interval '5 seconds' for share;
      if not found then return 0; end if;
      select * into lost from public.audit_writer w
        where w.id <> p_writer and w.lease_until <= clock_timestamp()
        order by w.lease_until limit 1 for update skip locked;
      if not found then return 0; end if;
      update public.audit_writer w set term = v_term, lost = true where w.id = lost.id;

      select array_agg(s.user_id), array_agg(s.session_id), array_agg(s.ip), array_agg(jsonb_build_object(
          'code', 1006, 'reason', 'instance_lost',
          'duration_ms', (extract(epoch from clock_timestamp() - s.connected_at) * 1000)::bigint,
          'rooms', coalesce((select jsonb_agg(r.room) from (
              select r.room from public.chat_session_room r where r.session_id = s.session_id
              order by r.joined_seq limit 100) r), '[]'),
          'room_count', (select count(*) from public.chat_session_room r where r.session_id = s.session_id)))
        into v_user_id, v_session_id, v_ip, v_details
        from (select * from public.chat_session s where s.instance = lost.id
          order by s.connected_seq limit p_most) s;
      v_sessions := coalesce(cardinality(v_session_id), 0);
      if not lost.lost then
        v_user_id := array_prepend(null, v_user_id);
        v_session_id := array_prepend(null, v_session_id);
        v_ip := array_prepend(null, v_ip);
        v_details := array_prepend(jsonb_build_object('instance', lost.id,
          'sessions', (select count(*) from public.chat_session s where s.instance = lost.id),
          'lease_until', to_char(lost.lease_until at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')), v_details);
      end if;
      v_count := coalesce(cardinality(v_details), 0);
      if v_count > 0 then
        -- Needs no number of its own to be told from a retry: what is done once is not there a second time.
        perform public.audit_append(p_writer, p_term, -v_term,
          array_fill(clock_timestamp(), array[v_count]),
          case when lost.lost then array[]::text[] else array['INSTANCE_LOST'] end
            || array_fill('DISCONNECTED'::text, array[v_sessions]),
          v_user_id, array_fill(null::text, array[v_count]), array_fill(null::text, array[v_count]),
          v_session_id, array_fill(null::text, array[v_count]), v_ip, v_details);
      end if;
      if v_sessions < p_most then
        delete from public.audit_writer w where w.id = lost.id;
      end if;
      return v_count;
    end $$`.execute(db);
}

async function history(db: Kysely<unknown>): Promise<void> {
  // Compares where this log is with where it was, and how far it has come with what an instance remembers of
  // it. When it was put back to an older state, or brought to another database, the same numbers may come to
  // name other events than they did; so a new epoch begins. Answers why, or null when nothing has happened.
  await sql`
    create function public.audit_check_history(p_writer text, p_term bigint, p_epochs text[], p_next_seqs bigint[],
      out epoch text, out reason text, out next_seq bigint)
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    declare
      log public.audit_log;
      v_system bigint := (select c.system_identifier from pg_control_system() c);
      v_database oid := (select d.oid from pg_database d where d.datname = current_database());
      v_timeline integer := ('x' || substr(pg_walfile_name(pg_current_wal_insert_lsn()), 1, 8))::bit(32)::integer;
    begin
      select * into strict log from public.audit_log l for update;
      select b.first_seq + b.count into next_seq from public.audit_batch b order by b.first_seq desc limit 1;
      next_seq := coalesce(next_seq, 0);
      reason := case
        when (log.system_identifier, log.database_oid) <> (v_system, v_database) then 'moved'
        when log.timeline <> v_timeline then 'timeline'
        when exists (select from unnest(p_epochs, p_next_seqs) as known (epoch, next_seq)
          where known.epoch = log.epoch and known.next_seq > audit_check_history.next_seq) then 'rewound'
      end;
      epoch := case when reason is null then log.epoch else gen_random_uuid()::text end;
      if reason is not null or log.system_identifier is null then
        update public.audit_log l set epoch = audit_check_history.epoch, system_identifier = v_system,
          database_oid = v_database, timeline = v_timeline;
      end if;
      if reason is not null then
        perform public.audit_append(p_writer, p_term, -nextval('public.audit_term'), array[clock_timestamp()],
          array['EPOCH_STARTED'], array[null::text], array[null::text], array[null::text], array[null::uuid],
          array[null::text], array[null::text],
          array[jsonb_build_object('epoch', epoch, 'previous_epoch', log.epoch, 'reason', reason)]);
      end if;
    end $$`.execute(db);
}

async function rights(db: Kysely<unknown>): Promise<void> {
  await sql`
    revoke all on function public.audit_rejoin(text), public.audit_renew(text, bigint),
      public.audit_surrender(text), public.audit_reap(text, bigint, integer),
      public.audit_check_history(text, bigint, text[], bigint[])
    from public`.execute(db);
}
