import { randomBytes } from 'node:crypto';
import type { Test } from 'tap';
import { PostgresLogStore } from '../../db/append.ts';
import { type ClientOptions, createClient, type Db } from '../../db/client.ts';
import { type Draft, type PendingEvent, prepareEvent } from '../../src/core/events.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { query } from './postgres.ts';

/** Kysely on a database, as production opens it; closed when the test ends. */
export function openDb(
  t: Test,
  url: string,
  purpose: ClientOptions['purpose'] = 'write',
  applicationName = 'minutebook test',
): Db {
  const db = createClient({ url, applicationName, purpose, onError: () => {} });
  t.teardown(() => db.destroy());
  return db;
}

/** A writer of the log, under a fresh name unless one is given. */
export const joinLog = (db: Db, id = `writer-${randomBytes(4).toString('hex')}`): Promise<PostgresLogStore> =>
  PostgresLogStore.join(db, id);

/** An event as `record` would queue it. */
export const pendingEvent = (draft: Draft, now = Date.now()): PendingEvent =>
  prepareEvent(draft, 'ignored: the writer’s name is taken', now);

/** So many messages. */
export const messages = (count: number, fields: Partial<AuditEvent> = {}): PendingEvent[] =>
  Array.from({ length: count }, (_, n) =>
    pendingEvent({
      action: 'MESSAGE_SENT',
      user_id: 'alice',
      room: 'lobby',
      message: `${n}`,
      ...fields,
    } as Draft),
  );

/** An event that no check has seen, as a bug of ours could make it. */
export function uncheckedEvent(
  fields: { [name in keyof AuditEvent]?: unknown },
  detailsJson?: string,
): PendingEvent {
  const pending = pendingEvent({ action: 'MESSAGE_SENT' });
  Object.assign(pending.event, fields);
  if (detailsJson !== undefined) pending.detailsJson = detailsJson;
  return pending;
}

/**
 * Empties the log of a test’s database and cuts its partitions anew, this many events each. The triggers that
 * refuse it are stepped over, as only a superuser can who means to.
 */
export async function restartLog(url: string, partitionSize: number): Promise<void> {
  await query(
    url,
    `begin;
     set local session_replication_role = replica;
     truncate audit_batch;
     do $$ declare partition regclass; begin
       for partition in select inhrelid from pg_inherits where inhparent = 'audit_event'::regclass loop
         execute format('drop table %s', partition);
       end loop;
     end $$;
     update audit_log set partition_size = ${partitionSize}, partitioned_to = 0;
     select audit_make_partitions();
     commit;`,
  );
}
