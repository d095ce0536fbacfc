import { type Kysely, sql } from 'kysely';

/**
 * The log itself. Everything that writes is a function of the owner (SECURITY DEFINER with a fixed
 * search_path), so that the server's role needs to read and to execute, no more.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  await tables(db);
  await appendOnly(db);
  await partitions(db);
  await writers(db);
  await append(db);
  await probe(db);
  await rights(db);
  await firstEvent(db);
}

async function tables(db: Kysely<unknown>): Promise<void> {
  // The identity of this history, and what belongs to the log as a whole.
  await sql`
    create table public.audit_log (
      only_row boolean primary key default true check (only_row),
      epoch text not null check (epoch ~ '^[a-z0-9-]{1,36}$'),
      first_seq bigint not null default 0,
      cursor_key bytea not null,
      partition_size bigint not null default 4000000 check (partition_size > 0),
      partitioned_to bigint not null default 0
    )`.execute(db);

  // Who may append. A term is never given twice, so an attempt under an old one can be told for ever.
  await sql`create sequence public.audit_term`.execute(db);
  await sql`
    create table public.audit_writer (
      id text primary key,
      term bigint not null,
      lease_until timestamptz not null
    )`.execute(db);

  // One row per commit. Its primary key is the lock that hands out numbers: the batch that inserts the row
  // at the next first_seq is the one that may use the numbers from there on.
  await sql`
    create table public.audit_batch (
      first_seq bigint primary key,
      count integer not null check (count > 0),
      timestamp timestamptz not null,
      writer text not null,
      number bigint not null,
      unique (writer, number)
    )`.execute(db);
  // Times never go back as seq goes on, so this index turns an interval into a range of seq.
  await sql`create index audit_batch_timestamp on public.audit_batch (timestamp, first_seq)`.execute(db);

  await sql`
    create table public.audit_event (
      seq bigint primary key,
      timestamp timestamptz not null,
      occurred_at timestamptz not null,
      action text not null,
      user_id text,
      message text,
      room text,
      session_id uuid,
      target_user_id text,
      instance text not null,
      ip text,
      erased_by bigint,
      details jsonb
    ) partition by range (seq)`.execute(db);
  await sql`create index audit_event_action on public.audit_event (action, seq)`.execute(db);
  for (const column of ['user_id', 'room', 'session_id', 'target_user_id', 'ip']) {
    await sql`
      create index ${sql.ref(`audit_event_${column}`)} on public.audit_event (${sql.ref(column)}, seq)
      where ${sql.ref(column)} is not null`.execute(db);
  }

  // Open sessions; no foreign key, so that nothing live can ever take part of the log with it.
  await sql`
    create table public.chat_session (
      session_id uuid primary key,
      user_id text not null,
      instance text not null,
      connected_seq bigint not null,
      connected_at timestamptz not null,
      ip text
    )`.execute(db);
}

async function appendOnly(db: Kysely<unknown>): Promise<void> {
  await sql`
    create function public.audit_refuse_change() returns trigger
    language plpgsql set search_path = pg_catalog, public, pg_temp as $$
    begin
      raise exception '% on % is refused: the audit log is append-only, because it is evidence',
        tg_op, tg_table_name
        using errcode = 'insufficient_privilege',
              hint = 'To correct something, record a new event.';
    end $$`.execute(db);
  for (const table of ['audit_event', 'audit_batch']) {
    await sql`
      create trigger audit_append_only before update or delete or truncate on public.${sql.ref(table)}
      for each statement execute function public.audit_refuse_change()`.execute(db);
  }
}

async function partitions(db: Kysely<unknown>): Promise<void> {
  // ATTACH of a table made beforehand takes SHARE UPDATE EXCLUSIVE on the parent, so that neither readers nor
  // writers wait; CREATE ... PARTITION OF would take ACCESS EXCLUSIVE. Triggers for statements are not
  // inherited by partitions, hence one of their own for each.
  await sql`
    create function public.audit_make_partitions() returns bigint
    language plpgsql security definer
    set search_path = pg_catalog, public, pg_temp set lock_timeout = '200ms' as $$
    declare
      log public.audit_log;
      head bigint;
      name text;
    begin
      select * into strict log from public.audit_log for update;
      select b.first_seq + b.count into head from public.audit_batch b order by b.first_seq desc limit 1;
      head := coalesce(head, 0);
      -- The one in use and two spare.
      while log.partitioned_to < (head / log.partition_size + 3) * log.partition_size loop
        name := 'audit_event_' || log.partitioned_to;
        execute format('create table public.%I (like public.audit_event including all)', name);
        execute format('create trigger audit_append_only before update or delete or truncate on public.%I '
          'for each statement execute function public.audit_refuse_change()', name);
        execute format('alter table public.audit_event attach partition public.%I for values from (%s) to (%s)',
          name, log.partitioned_to, log.partitioned_to + log.partition_size);
        log.partitioned_to := log.partitioned_to + log.partition_size;
        update public.audit_log set partitioned_to = log.partitioned_to;
      end loop;
      return (log.partitioned_to - 1) / log.partition_size - head / log.partition_size;
    end $$`.execute(db);
}

async function writers(db: Kysely<unknown>): Promise<void> {
  // Taking a new term locks the writer's row, so it waits for an append under way and stops every later one.
  await sql`
    create function public.audit_join(p_id text) returns bigint
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      insert into public.audit_writer as w (id, term, lease_until)
      values (p_id, nextval('public.audit_term'), clock_timestamp() + interval '10 seconds')
      on conflict (id) do update set term = excluded.term, lease_until = excluded.lease_until
      returning w.term
    $$`.execute(db);
  await sql`
    create function public.audit_renew(p_id text, p_term bigint) returns boolean
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      update public.audit_writer set lease_until = clock_timestamp() + interval '10 seconds'
      where id = p_id and term = p_term and lease_until > clock_timestamp()
      returning true
    $$`.execute(db);
  await sql`
    create function public.audit_leave(p_id text, p_term bigint) returns void
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      delete from public.audit_writer where id = p_id and term = p_term
    $$`.execute(db);
}

async function append(db: Kysely<unknown>): Promise<void> {
  // Appends one batch, or answers as before when the writer's batch of this number is there already.
  //
  // Order of locks: first the writer's row (the fence), then the number; the other way round deadlocks with
  // a live batch. FOR SHARE leaves no dead row version behind, and neither does taking the number by an
  // insert, so that a snapshot left open elsewhere does not slow this down.
  //
  // It must run READ COMMITTED: each turn of the loop needs to see what was committed while it waited.
  await sql`
    create function public.audit_append(
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
      v_previous timestamptz;
      v_timestamp timestamptz;
    begin
      perform 1 from public.audit_writer w
        where w.id = p_writer and w.term = p_term and w.lease_until > clock_timestamp() for share;
      if not found then
        raise exception 'writer % is fenced: its term % or its lease has ended', p_writer, p_term
          using errcode = 'MB001';
      end if;

      loop
        select b.first_seq, b.timestamp into v_first, v_timestamp
          from public.audit_batch b where b.writer = p_writer and b.number = p_number;
        if found then
          first_seq := v_first;
          at := to_char(v_timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
          return;
        end if;
        select b.first_seq + b.count, b.timestamp into v_first, v_previous
          from public.audit_batch b order by b.first_seq desc limit 1;
        insert into public.audit_batch as b (first_seq, count, timestamp, writer, number)
          values (coalesce(v_first, 0), v_count, greatest(clock_timestamp(), v_previous), p_writer, p_number)
          on conflict do nothing
          returning b.first_seq, b.timestamp into v_first, v_timestamp;
        exit when found;
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

      -- The session's row comes and goes with the very commit of its event, so that no crash can lose an end.
      if 'CONNECTED' = any (p_action) then
        insert into public.chat_session (session_id, user_id, instance, connected_seq, connected_at, ip)
          select u.session_id, u.user_id, p_writer, v_first + u.n - 1, v_timestamp, u.ip
          from unnest(p_action, p_user_id, p_session_id, p_ip) with ordinality
            as u (action, user_id, session_id, ip, n)
          where u.action = 'CONNECTED';
      end if;
      if 'DISCONNECTED' = any (p_action) then
        delete from public.chat_session s
          using unnest(p_action, p_session_id) as u (action, session_id)
          where u.action = 'DISCONNECTED' and s.session_id = u.session_id;
      end if;

      first_seq := v_first;
      at := to_char(v_timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"');
    end $$`.execute(db);
}

/** Appends an event and takes it back, in one statement, so that no lock outlives it. */
async function probe(db: Kysely<unknown>): Promise<void> {
  await sql`
    create function public.audit_probe(p_writer text, p_term bigint) returns void
    language plpgsql security definer set search_path = pg_catalog, public, pg_temp as $$
    begin
      -- Batches count from 1.
      perform public.audit_append(p_writer, p_term, 0, array[clock_timestamp()], array['SERVER_STOPPED'],
        array[null::text], array[null::text], array[null::text], array[null::uuid], array[null::text],
        array[null::text], array[null::jsonb]);
      raise exception using errcode = 'MB002';
    exception when sqlstate 'MB002' then
      null;
    end $$`.execute(db);
}

async function rights(db: Kysely<unknown>): Promise<void> {
  // Postgres lets everybody execute a new function; whom the owner trusts is said in db/roles.sql.
  await sql`
    revoke all on function public.audit_make_partitions(), public.audit_join(text),
      public.audit_renew(text, bigint), public.audit_leave(text, bigint), public.audit_probe(text, bigint),
      public.audit_append(text, bigint, bigint, timestamptz[], text[], text[], text[], text[], uuid[], text[],
        text[], jsonb[])
    from public`.execute(db);
}

async function firstEvent(db: Kysely<unknown>): Promise<void> {
  await sql`
    insert into public.audit_log (epoch, cursor_key)
    values (gen_random_uuid()::text,
      decode(replace(gen_random_uuid()::text || gen_random_uuid()::text, '-', ''), 'hex'))`.execute(db);
  await sql`select public.audit_make_partitions()`.execute(db);
  // The log begins by naming itself, under a writer that exists for this one batch only.
  await sql`
    with writer as (select public.audit_join('migration') as term)
    select public.audit_append('migration', term, 1, array[clock_timestamp()], array['EPOCH_STARTED'],
      array[null::text], array[null::text], array[null::text], array[null::uuid], array[null::text],
      array[null::text], array[(select jsonb_build_object('epoch', epoch) from public.audit_log)])
    from writer`.execute(db);
  await sql`delete from public.audit_writer where id = 'migration'`.execute(db);
}
