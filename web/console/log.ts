import { batch, signal } from '@preact/signals';
import type { AuditEvent, AuditPage, Stats } from '../../src/core/schemas.ts';
import { callJson, type Query } from '../common/api.ts';
import type { ActionInfo } from './chips/suggest.ts';
import { countFacets, type Facet, type Facets, type facetNames, filterFor, MOST } from './facets/counts.ts';
import { type Filter, valuesOf, withValues } from './filter.ts';
import { countOn, type Histogram, histogramOf, isRefusal, MAX_BARS } from './histogram/buckets.ts';
import { joined, nothingWaiting, type Row, type Waiting, withOlder } from './list/rows.ts';
import type { Connection } from './live/follow.ts';
import { view } from './view.ts';

const PAGE = 100;

/** The newest first; undefined: nothing was read yet. */
export const rows = signal<readonly Row[] | undefined>(undefined);
export const histogram = signal<Histogram | undefined>(undefined);
export const facets = signal<Facets>({});
/** What is being read now. */
export const reading = signal<'no' | 'first' | 'older'>('no');
/** Why the last read, or the live stream, has no answer. */
export const problem = signal<Error | undefined>(undefined);
/** Whether more is to be had behind the last row. */
export const hasOlder = signal(false);
export const connection = signal<Connection>({ is: 'off' });
export const waiting = signal<Waiting>(nothingWaiting);
/** Whether what comes live waits. */
export const isPaused = signal(false);
export const actions = signal<readonly ActionInfo[]>([]);

let cursor: string | undefined;
let running = new AbortController();
/** Until when the histogram's own count goes: later events are counted here, as they come. */
let countedTo = '';
/** Those that came while it is being made. */
let recent: AuditEvent[] = [];
let isCounting = false;

export const queryOf = (filter: Filter): Query => ({ ...filter }) as Query;

/** Reads the list, the histogram and the facets anew; what was asked before is cancelled. Two reads at a time. */
export async function look(): Promise<void> {
  running.abort();
  const controller = new AbortController();
  running = controller;
  const { signal } = controller;
  const { filter } = view.peek();
  // What went wrong before is said until there is an answer, so that nothing jumps.
  const before = problem.peek();
  reading.value = 'first';
  const failed = (error: Error) => {
    if (signal.aborted) return;
    batch(() => {
      problem.value = error;
      // Counts of another filter would stand beside it.
      if (rows.peek() === undefined) clearCounts();
    });
  };
  // Each on its own: what takes too long to count can still be read.
  await Promise.all([
    readRows(filter, signal)
      .then(() => {
        if (!signal.aborted && problem.peek() === before) problem.value = undefined;
        return readFacets(filter, ['user_id', 'room'], signal);
      })
      .catch(failed),
    readHistogram(filter, signal)
      .then(() => readFacets(filter, ['action'], signal))
      .catch(failed),
  ]);
  if (running === controller) reading.value = 'no';
}

/** Gives up what is being read. */
export function cancel(): void {
  running.abort();
  isCounting = false;
  batch(() => {
    reading.value = 'no';
    if (rows.peek() === undefined) clearCounts();
  });
}

function clearCounts(): void {
  histogram.value = undefined;
  facets.value = {};
}

async function readRows(filter: Filter, signal: AbortSignal): Promise<void> {
  const page = await callJson<AuditPage>('/audit', { query: { ...queryOf(filter), limit: PAGE }, signal });
  if (signal.aborted) return;
  batch(() => {
    const live = connection.peek().is === 'off' ? [] : (rows.peek() ?? []).filter(({ is }) => is === 'event');
    rows.value = joined(live, page.data);
    cursor = page.next_cursor ?? undefined;
    hasOlder.value = page.has_more;
    if (reading.peek() === 'first') reading.value = 'no';
  });
}

/** Reads what is older than the last row. */
export async function readOlder(): Promise<void> {
  const shown = rows.peek();
  if (shown === undefined || !hasOlder.peek() || reading.peek() !== 'no') return;
  const { signal } = running;
  const { filter } = view.peek();
  reading.value = 'older';
  try {
    const query =
      cursor === undefined ? { ...queryOf(filter), to: afterLast(shown) } : { ...queryOf(filter), cursor };
    const page = await callJson<AuditPage>('/audit', { query: { ...query, limit: PAGE }, signal });
    if (signal.aborted) return;
    batch(() => {
      rows.value = withOlder(rows.peek() ?? [], page.data);
      cursor = cursor === undefined ? undefined : (page.next_cursor ?? undefined);
      hasOlder.value = page.has_more;
    });
  } catch (error) {
    if (!signal.aborted) problem.value = error as Error;
  } finally {
    if (!signal.aborted) reading.value = 'no';
  }
}

/** Just after the last row: where its cursor went with rows that live mode let go, its time says where to go on. */
function afterLast(shown: readonly Row[]): string {
  const last = shown.findLast((row) => row.is === 'event');
  const time = last?.is === 'event' ? last.event.timestamp : new Date().toISOString();
  return new Date(Date.parse(time) + 1).toISOString();
}

async function readHistogram(filter: Filter, signal: AbortSignal): Promise<void> {
  isCounting = true;
  try {
    await countAll(filter, signal);
  } finally {
    if (!signal.aborted) isCounting = false;
  }
}

/** Counts live events on, the newest first; no count is asked for again. */
export function countLive(events: readonly AuditEvent[]): void {
  const counted = histogram.peek();
  const later = events.filter(({ timestamp }) => timestamp >= countedTo).reverse();
  recent = isCounting ? [...recent, ...later] : [];
  if (counted !== undefined) histogram.value = countOn(counted, later);
  facets.value = countFacets(facets.peek(), events);
}

/** The oldest rows were let go: where to go on is told by the last one's time. */
export function letGo(): void {
  cursor = undefined;
  hasOlder.value = true;
}

async function countAll(filter: Filter, signal: AbortSignal): Promise<void> {
  const stats = (query: Query) =>
    callJson<Stats>('/audit/stats', { query: { ...query, group_by: 'time', buckets: MAX_BARS }, signal });
  const all = await stats(queryOf(filter));
  if (signal.aborted) return;
  const whole = histogramOf(all as Parameters<typeof histogramOf>[0]);
  recent = recent.filter(({ timestamp }) => timestamp >= (all.to ?? ''));
  countedTo = all.to ?? '';
  histogram.value = whole === undefined ? undefined : countOn(whole, recent);
  const chosen = valuesOf(filter, 'action');
  const names = chosen.length > 0 ? chosen : actions.peek().map(({ action }) => action);
  const refusals = names.filter(isRefusal);
  if (whole === undefined || refusals.length === 0) return;
  const { from, to } = all;
  const some = await stats({ ...queryOf(withValues(filter, 'action', refusals)), from, to });
  if (signal.aborted) return;
  const refused = some.data.map(({ count }) => count);
  histogram.value = countOn({ ...whole, refused }, recent);
}

async function readFacets(
  filter: Filter,
  names: readonly (typeof facetNames)[number][],
  signal: AbortSignal,
) {
  for (const name of names) {
    const stats = await callJson<Stats>('/audit/stats', {
      query: { ...queryOf(filterFor(filter, name)), group_by: name, limit: MOST },
      signal,
    });
    if (signal.aborted) return;
    const facet: Facet = { counts: stats.data as Facet['counts'], isComplete: stats.complete };
    facets.value = { ...facets.peek(), [name]: facet };
  }
}

export async function readActions(): Promise<void> {
  const answer = await callJson<{ data: ActionInfo[] }>('/audit/actions');
  actions.value = answer.data;
}
