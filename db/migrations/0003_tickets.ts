import { type Kysely, sql } from 'kysely';

/**
 * Tickets: what a browser opens its WebSocket with, on whichever instance. As before, everything that writes is a
 * function of the owner; here what reads is one too.
 */
export async function up(db: Kysely<unknown>): Promise<void> {
  // Unlogged, so that it is empty after a crash, and neither archived nor in a base backup: no restore brings back
  // a ticket that was used. principal: whom it admits, in the server's own words.
  await sql`
    create unlogged table public.chat_ticket (
      hash bytea primary key check (octet_length(hash) = 32),
      principal text not null check (octet_length(principal) <= 65536),
      expires_at timestamptz not null
    )`.execute(db);
  await sql`create index chat_ticket_expires_at on public.chat_ticket (expires_at)`.execute(db);

  // Each one that is issued clears up to ten away that nobody came for, so that there is never a heap of them.
  await sql`
    create function public.ticket_issue(p_hash bytea, p_principal text) returns timestamptz
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      delete from public.chat_ticket t where t.hash in (
        select e.hash from public.chat_ticket e where e.expires_at <= statement_timestamp()
        order by e.expires_at limit 10 for update skip locked);
      insert into public.chat_ticket (hash, principal, expires_at)
      values (p_hash, p_principal, statement_timestamp() + interval '30 seconds')
      returning expires_at
    $$`.execute(db);

  // Of several who try at once, the first deletes the row, and the others wait for that and find none.
  await sql`
    create function public.ticket_take(p_hash bytea) returns text
    language sql security definer set search_path = pg_catalog, public, pg_temp as $$
      delete from public.chat_ticket t where t.hash = p_hash and t.expires_at > statement_timestamp()
      returning t.principal
    $$`.execute(db);

  await sql`revoke all on function public.ticket_issue(bytea, text), public.ticket_take(bytea) from public`.execute(
    db,
  );
  // The server's role, whatever it is called, reads every table of the owner's unless told otherwise (db/roles.sql).
  // Who holds a ticket, and that there is one, it need not know.
  await sql`
    do $$
    declare
      other regrole;
    begin
      for other in
        select a.grantee::regrole from pg_class c cross join aclexplode(c.relacl) a
        where c.oid = 'public.chat_ticket'::regclass and a.grantee not in (0, c.relowner)
      loop
        execute format('revoke all on public.chat_ticket from %s', other);
      end loop;
    end $$`.execute(db);
}
