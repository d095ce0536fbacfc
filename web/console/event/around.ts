import type { AuditEvent, AuditPage } from '../../../src/core/schemas.ts';
import { callJson } from '../../common/api.ts';

/** How many events are shown on each side. */
const SIDE = 5;
/** More than one commit holds: events of one commit have the same time. */
const MAX_SEEN = 600;
const PAGE = 25;

export type Around = { before: AuditEvent[]; after: AuditEvent[] };

/** A time of the log a microsecond later. */
function nextMicrosecond(timestamp: string): string {
  const micros = Number(timestamp.slice(20, 26)) + 1;
  if (micros < 1_000_000) return `${timestamp.slice(0, 20)}${String(micros).padStart(6, '0')}Z`;
  return `${new Date(Date.parse(`${timestamp.slice(0, 19)}Z`) + 1_000).toISOString().slice(0, 19)}.000000Z`;
}

/** Whose doings surround an event: of who did it, else of whom it was done to. */
export const whoseAround = ({ user_id, target_user_id }: AuditEvent): string | undefined =>
  user_id ?? target_user_id ?? undefined;

async function side(
  userId: string,
  bound: { from: string } | { to: string },
  belongs: (event: AuditEvent) => boolean,
  signal: AbortSignal,
): Promise<AuditEvent[]> {
  const query = { user_id: userId, ...bound, order: 'from' in bound ? 'asc' : 'desc', limit: PAGE };
  const found: AuditEvent[] = [];
  let cursor: string | undefined;
  for (let seen = 0; seen < MAX_SEEN; ) {
    const page = await callJson<AuditPage>('/audit', { query: { ...query, cursor }, signal });
    found.push(...page.data.filter(belongs));
    seen += page.data.length;
    if (found.length >= SIDE || !page.has_more || page.next_cursor === null) break;
    cursor = page.next_cursor;
  }
  return found.slice(0, SIDE);
}

/** What the same user did just before and after an event, oldest first. Two reads, as a rule. */
export async function loadAround(event: AuditEvent, userId: string, signal: AbortSignal): Promise<Around> {
  const { seq, timestamp } = event;
  const [before, after] = await Promise.all([
    side(userId, { to: nextMicrosecond(timestamp) }, (other) => other.seq < seq, signal),
    side(userId, { from: timestamp }, (other) => other.seq > seq, signal),
  ]);
  return { before: before.reverse(), after };
}
