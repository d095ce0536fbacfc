import { type Expression, sql } from 'kysely';
import type { Ban, BanInForce } from '../src/core/bans.ts';
import type { Db } from './client.ts';
import { utc } from './sql.ts';

/** By the database’s clock, which ends a ban without anybody’s doing. */
const inForce = (until: Expression<unknown>) =>
  sql<boolean>`(${until} is null or ${until} > clock_timestamp())`;

const banInForce = (db: Db) =>
  db
    .selectFrom('chat_ban as b')
    .select(['b.user_id', 'b.reason', 'b.banned_seq'])
    .select([
      utc(sql.ref('b.until')).$castTo<string | null>().as('until'),
      sql<string | null>`extract(epoch from b.until - clock_timestamp()) * 1000`.as('remaining_ms'),
    ])
    .where(inForce(sql.ref('b.until')));

type Row = { reason: string; until: string | null; banned_seq: string; remaining_ms: string | null };

const toBanInForce = ({ reason, until, banned_seq, remaining_ms }: Row): BanInForce => ({
  reason,
  until,
  seq: Number(banned_seq),
  remainingMs: remaining_ms === null ? null : Number(remaining_ms),
});

/** All bans in force, by user, and the number of the first event that they do not reflect. */
export async function readBans(db: Db): Promise<{ bans: Map<string, BanInForce>; nextSeq: number }> {
  // One transaction with one snapshot, so that no event falls between the two.
  return db
    .transaction()
    .setIsolationLevel('repeatable read')
    .execute(async (trx) => {
      const { rows } = await sql<{ next: string | null }>`
        select first_seq + count as next from public.audit_batch order by first_seq desc limit 1`.execute(
        trx,
      );
      const bans = await banInForce(trx).execute();
      return {
        bans: new Map(bans.map((row) => [row.user_id, toBanInForce(row)])),
        nextSeq: Number(rows[0]?.next ?? 0),
      };
    });
}

/** The ban of a user that is in force; undefined when there is none. */
export async function findBan(db: Db, userId: string): Promise<BanInForce | undefined> {
  const row = await banInForce(db).where('b.user_id', '=', userId).executeTakeFirst();
  return row === undefined ? undefined : toBanInForce(row);
}

/** Who was banned at or after a number of the log, and still is. */
export async function bannedSince(db: Db, seq: number): Promise<string[]> {
  const rows = await db
    .selectFrom('chat_ban')
    .select('user_id')
    .where('banned_seq', '>=', sql<string>`${seq}`)
    .where(inForce(sql.ref('until')))
    .execute();
  return rows.map(({ user_id }) => user_id);
}

/**
 * Bans in force, in the order in which they were pronounced.
 *
 * @param after the `seq` of the last ban of the page before; -1 for the first page
 */
export async function listBans(
  db: Db,
  after: number,
  limit: number,
): Promise<{ bans: Ban[]; hasMore: boolean }> {
  const rows = await db
    .selectFrom('chat_ban')
    .select(['user_id', 'reason', 'banned_by', 'banned_seq'])
    .select([
      utc(sql.ref('until')).$castTo<string | null>().as('until'),
      utc(sql.ref('banned_at')).as('banned_at'),
    ])
    .where('banned_seq', '>', sql<string>`${after}`)
    .where(inForce(sql.ref('until')))
    .orderBy('banned_seq')
    .limit(limit + 1)
    .execute();
  return {
    bans: rows.slice(0, limit).map(({ banned_seq, ...row }) => ({ ...row, seq: Number(banned_seq) })),
    hasMore: rows.length > limit,
  };
}

/** Whether an instant is yet to come by the database’s clock. */
export async function isInFuture(db: Db, instant: string): Promise<boolean> {
  const { rows } = await sql<{ future: boolean }>`
    select ${instant}::timestamptz > clock_timestamp() as future`.execute(db);
  return rows[0]?.future === true;
}
