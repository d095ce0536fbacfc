import { sql } from 'kysely';
import { SetupError } from '../src/core/setup-error.ts';
import type { Db } from './client.ts';

const MIN_VERSION = 150_000;

/** What the check found out about the database, for the log and for `SERVER_STARTED`. */
export type DatabaseFacts = { version: string };

/**
 * Refuses a database that would let acknowledged messages be lost: `fsync` or `synchronous_commit` off
 * (whether by server, database or role), an unlogged table or sequence, a read-only standby, or a Postgres that is too old.
 *
 * @throws SetupError saying how to mend it
 */
export async function checkDatabase(db: Db): Promise<DatabaseFacts> {
  const { rows } = await sql<{
    number: string;
    version: string;
    fsync: string;
    full_page_writes: string;
    synchronous_commit: string;
    standby: boolean;
    unlogged: string[];
  }>`
    select current_setting('server_version_num') as number, current_setting('server_version') as version,
      current_setting('fsync') as fsync, current_setting('full_page_writes') as full_page_writes,
      -- As it is without what our own connections set (db/client.ts).
      (select s.reset_val from pg_settings s where s.name = 'synchronous_commit') as synchronous_commit,
      pg_is_in_recovery() as standby,
      array(select c.relname::text from pg_class c join pg_namespace n on n.oid = c.relnamespace
        where n.nspname = 'public' and c.relpersistence = 'u' and c.relkind in ('r', 'p', 'S')
          and (c.relname like 'audit\_%' or c.relname like 'chat\_%')
          -- Whoever holds a ticket when Postgres crashes buys another one.
          and c.relname <> 'chat_ticket' order by 1) as unlogged`.execute(db);
  const facts = rows[0];
  if (facts === undefined) throw new SetupError('The database does not say what it is.');
  if (Number(facts.number) < MIN_VERSION) {
    throw new SetupError(`Postgres ${facts.version} is too old: Minutebook needs Postgres 15 or newer.`);
  }
  if (facts.standby) {
    throw new SetupError('This Postgres is a read-only standby; point DATABASE_URL at the primary.');
  }
  if (facts.fsync !== 'on') {
    throw new SetupError(
      'Postgres runs with fsync=off: a power cut would lose what was acknowledged. Set fsync=on in ' +
        'postgresql.conf (or “alter system set fsync = on”) and reload it.',
    );
  }
  if (facts.full_page_writes !== 'on') {
    throw new SetupError(
      'Postgres runs with full_page_writes=off: a power cut would tear pages of the log. Run “alter system set ' +
        'full_page_writes = on” and reload it.',
    );
  }
  if (facts.synchronous_commit === 'off') {
    throw new SetupError(
      'synchronous_commit is off for this role or database: a crash would lose what was acknowledged. Run ' +
        '“alter role … reset synchronous_commit” or “alter database … reset synchronous_commit”, whichever ' +
        'set it, or set it on in postgresql.conf.',
    );
  }
  if (facts.unlogged.length > 0) {
    throw new SetupError(
      `These tables are UNLOGGED, so a crash would empty them: ${facts.unlogged.join(', ')}. Run ` +
        `“alter table ${facts.unlogged[0]} set logged” for each.`,
    );
  }
  return { version: facts.version };
}
