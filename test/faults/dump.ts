import type { Log, LoggedBatch, LoggedEvent } from './history.ts';
import type { World } from './world.ts';

const AT = `to_char(timestamp at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as timestamp`;

/** The whole log, straight from the tables, by statements that the server does not use. */
export async function dumpLog(world: Pick<World, 'sql'>): Promise<Log> {
  const [identity] = await world.sql<{ epoch: string }>('select epoch from audit_log');
  const events = await world.sql<LoggedEvent & { seq: string }>(
    `select seq::float8 as seq, ${AT}, action, user_id, message, room, session_id::text, instance,
       coalesce(details, '{}') as details from audit_event order by audit_event.seq`,
  );
  const batches = await world.sql<LoggedBatch & { first_seq: string }>(
    `select first_seq::float8 as first_seq, count, ${AT}, writer from audit_batch order by audit_batch.first_seq`,
  );
  return { epoch: identity?.epoch ?? '', events, batches };
}

/** The newest message of each room. */
export async function newestByRoom(world: Pick<World, 'sql'>): Promise<Map<string, number>> {
  const rows = await world.sql<{ room: string; seq: string }>(
    `select room, max(seq) as seq from audit_event where action = 'MESSAGE_SENT' group by room`,
  );
  return new Map(rows.map(({ room, seq }) => [room, Number(seq)]));
}
