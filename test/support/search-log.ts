import type { Db } from '../../db/client.ts';
import { listEvents } from '../../db/events.ts';
import type { Filter } from '../../src/core/filter.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import type { Order } from '../../src/core/search/ranges.ts';
import { query } from './postgres.ts';

const COLUMNS =
  'seq, timestamp, occurred_at, action, user_id, message, room, session_id, target_user_id, instance, ip';

/** Puts events in the place of a log, as one batch that ends before a number. */
export async function fillLog(url: string, events: readonly AuditEvent[], end: number): Promise<void> {
  await query(
    url,
    'begin; set local session_replication_role = replica; truncate audit_event, audit_batch; commit',
  );
  await query(
    url,
    `insert into audit_event (${COLUMNS}) select ${COLUMNS} from jsonb_populate_recordset(null::audit_event, $1)`,
    [JSON.stringify(events)],
  );
  await query(url, `insert into audit_batch values (0, ${end}, '2026-01-02T03:04:05Z', 'test', 1)`);
}

/** An other definition than ours of what is alike but for case. */
const holds = (text: string | null, part: string): boolean =>
  text !== null && new RegExp(part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'), 'iu').test(text);

/** Whether an event matches, looked at by itself; the interval is not looked at. */
export const matches = (event: AuditEvent, filter: Filter): boolean =>
  (filter.action === undefined || filter.action.includes(event.action)) &&
  (filter.user_id === undefined || filter.user_id.includes(event.user_id ?? '')) &&
  (filter.involves === undefined || [event.user_id, event.target_user_id].includes(filter.involves)) &&
  (filter.q === undefined || holds(event.message, filter.q)) &&
  (['target_user_id', 'room', 'session_id', 'ip'] as const).every(
    (name) => filter[name] === undefined || event[name] === filter[name],
  );

/** The numbers on every page of what matches. */
export async function walk(
  db: Db,
  filter: Filter,
  from: number,
  to: number,
  order: Order,
  limit: number,
): Promise<number[]> {
  const seqs: number[] = [];
  for (;;) {
    const { events, hasMore } = await listEvents(db, filter, { from, to }, order, limit);
    seqs.push(...events.map(({ seq }) => seq));
    if (!hasMore) return seqs;
    if (order === 'asc') from = (seqs.at(-1) ?? 0) + 1;
    else to = seqs.at(-1) ?? 0;
  }
}
