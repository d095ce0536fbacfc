import type { AuditEvent } from '../../../src/core/schemas.ts';

/** The most rows that live mode keeps. */
export const MAX_ROWS = 5_000;

/** Where events are missing from the list, and why. */
export type Gap = { is: 'gap'; key: string; words: string };
export type Row = { is: 'event'; event: AuditEvent } | Gap;

export const rowOf = (event: AuditEvent): Row => ({ is: 'event', event });

/** The newest event's seq; -1: there is none. */
export function newestSeq(rows: readonly Row[]): number {
  for (const row of rows) if (row.is === 'event') return row.event.seq;
  return -1;
}

/** What came live, before a page that was read meanwhile: each event once. */
export function joined(live: readonly Row[], page: readonly AuditEvent[]): Row[] {
  const newest = page[0]?.seq ?? -1;
  return [...live.filter((row) => row.is === 'gap' || row.event.seq > newest), ...page.map(rowOf)];
}

/** Older events behind the rows, each once. */
export function withOlder(rows: readonly Row[], page: readonly AuditEvent[]): Row[] {
  const last = rows.findLast((row) => row.is === 'event');
  const lowest = last?.is === 'event' ? last.event.seq : Number.POSITIVE_INFINITY;
  return [...rows, ...page.filter(({ seq }) => seq < lowest).map(rowOf)];
}

/** The newest rows, no more than are kept. @returns also whether older ones went */
export function kept(rows: readonly Row[], most = MAX_ROWS): { rows: readonly Row[]; isCut: boolean } {
  return rows.length <= most ? { rows, isCut: false } : { rows: rows.slice(0, most), isCut: true };
}

/** What waits while the list stands still; beyond what is kept, the oldest go, and a gap says how many. */
export type Waiting = { rows: readonly Row[]; dropped: number };

export const nothingWaiting: Waiting = { rows: [], dropped: 0 };

export function withWaiting({ rows, dropped }: Waiting, newer: readonly Row[], most = MAX_ROWS): Waiting {
  const all = [...newer, ...rows];
  return { rows: all.slice(0, most), dropped: dropped + Math.max(0, all.length - most) };
}

/** The rows once what waited is let in. */
export function released({ rows: waiting, dropped }: Waiting, rows: readonly Row[]): Row[] {
  if (dropped === 0) return [...waiting, ...rows];
  const words = `${dropped.toLocaleString('en')} events came meanwhile and are not shown here.`;
  return [...waiting, { is: 'gap', key: `dropped-${newestSeq(waiting)}`, words }, ...rows];
}

/** How many events wait. */
export const waitingCount = ({ rows, dropped }: Waiting): number =>
  rows.filter((row) => row.is === 'event').length + dropped;

/** Whether nobody has been in the chat: there are only the acts of the server, and of those who read the log. */
export const isBeforeAnybody = (rows: readonly Row[]): boolean =>
  rows.every((row) => row.is === 'event' && row.event.session_id === null);

export type Item = Row | { is: 'day'; key: string; words: string };

/** The rows with a line before each day. `dayOf` says a time's day, as it is shown. */
export function itemsOf(rows: readonly Row[], dayOf: (timestamp: string) => string): Item[] {
  const items: Item[] = [];
  let day = '';
  for (const row of rows) {
    if (row.is === 'event') {
      const next = dayOf(row.event.timestamp);
      if (next !== day) items.push({ is: 'day', key: `day-${next}`, words: next });
      day = next;
    }
    items.push(row);
  }
  return items;
}

export const keyOfItem = (item: Item): string | number => (item.is === 'event' ? item.event.seq : item.key);

/** Why the live stream could not go on where it was, for people. */
export const resetWords: Record<string, string> = {
  wrong_epoch: 'The log was restored to an older state: what was shown before may no longer be in it.',
  beyond_head: 'The log is shorter than what was shown: events above here may be missing.',
  expired: 'Events are missing here: the log no longer keeps those that came while there was no connection.',
};
