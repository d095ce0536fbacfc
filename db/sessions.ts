import { sql } from 'kysely';
import type { ChatSession } from '../src/core/schemas.ts';
import type { Db } from './client.ts';
import { utc } from './sql.ts';

export type SessionFilter = { user_id?: string; room?: string; instance?: string };

/**
 * Open sessions of all instances, in the order in which they connected.
 *
 * @param after the `connected_seq` of the last session of the page before; -1 for the first page
 */
export async function listSessions(
  db: Db,
  filter: SessionFilter,
  after: number,
  limit: number,
): Promise<{ sessions: ChatSession[]; hasMore: boolean }> {
  const { user_id, room, instance } = filter;
  const rooms = sql<string[]>`array(select r.room from public.chat_session_room r
    where r.session_id = s.session_id order by r.joined_seq)`;
  let query = db
    .selectFrom('chat_session as s')
    .select(['session_id', 'user_id', 'instance', 'connected_seq', 'ip'])
    .select([utc(sql.ref('connected_at')).as('connected_at'), rooms.as('rooms')])
    .where('connected_seq', '>', sql<string>`${after}`);
  if (user_id !== undefined) query = query.where('user_id', '=', user_id);
  if (instance !== undefined) query = query.where('instance', '=', instance);
  if (room !== undefined) {
    query = query.where((eb) =>
      eb.exists(
        eb
          .selectFrom('chat_session_room as r')
          .select('r.room')
          .whereRef('r.session_id', '=', 's.session_id')
          .where('r.room', '=', room),
      ),
    );
  }
  const rows = await query
    .orderBy('connected_seq')
    .limit(limit + 1)
    .execute();
  return {
    sessions: rows.slice(0, limit).map((row) => ({ ...row, connected_seq: Number(row.connected_seq) })),
    hasMore: rows.length > limit,
  };
}

/** Whose session it is; undefined when there is none that is open. */
export async function findSessionUser(db: Db, sessionId: string): Promise<string | undefined> {
  const row = await db
    .selectFrom('chat_session')
    .select('user_id')
    .where('session_id', '=', sessionId)
    .executeTakeFirst();
  return row?.user_id;
}
