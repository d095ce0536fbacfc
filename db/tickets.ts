import { sql } from 'kysely';
import type { Db } from './client.ts';
import { utc } from './sql.ts';

/**
 * Keeps a ticket for 30 s; answers until when.
 *
 * @param hash its SHA-256
 * @param principal whom it admits, as `takeTicket` gives it back
 */
export async function issueTicket(db: Db, hash: Buffer, principal: string): Promise<string> {
  const issued = sql`public.ticket_issue(${hash}, ${principal})`;
  const { rows } = await sql<{ expires_at: string }>`select ${utc(issued)} as expires_at`.execute(db);
  if (rows[0] === undefined) throw new Error('ticket_issue answered nothing');
  return rows[0].expires_at;
}

/** Takes a ticket, so that nobody else can; null when there is none, it was taken, or it has expired. */
export async function takeTicket(db: Db, hash: Buffer): Promise<string | null> {
  const taken = sql<{ principal: string | null }>`select public.ticket_take(${hash}) as principal`;
  return (await taken.execute(db)).rows[0]?.principal ?? null;
}
