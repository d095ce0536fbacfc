import { batch, computed, effect, signal, untracked } from '@preact/signals';
import type { AuditEvent, AuditPage, Stats } from '../../src/core/schemas.ts';
import type { StreamBlock } from '../../src/core/stream-parser.ts';
import { ConnectionError, call, callJson, ProblemError, type Query } from '../shared/api.ts';
import { identity } from '../shared/token.ts';
import type { ActionInfo } from './chips/suggest.ts';
import { countFacets, type Facet, type Facets, type facetNames, filterFor, MOST } from './facets/counts.ts';
import { type Filter, valuesOf, withValues } from './filter.ts';
import { countOn, type Histogram, histogramOf, isRefusal, MAX_BARS } from './histogram/buckets.ts';
import {
  joined,
  kept,
  newestSeq,
  nothingWaiting,
  type Row,
  released,
  resetWords,
  rowOf,
  type Waiting,
  withOlder,
  withWaiting,
} from './list/rows.ts';
import { type Connection, follow } from './live/follow.ts';
import { filterKey, view } from './view.ts';

const PAGE = 100;
/** Live events are let in together, so that a busy log does not draw more often than one can see. */
const GATHER_MS = 100;

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
let following = new AbortController();
let gathered: Row[] = [];
let gatherTimer: ReturnType<typeof setTimeout> | undefined;

const queryOf = (filter: Filter): Query => ({ ...filter }) as Query;

/** Reads the list, the histogram and the facets anew; what was asked before is cancelled. Two reads at a time. */
export async function look(): Promise<void> {
  running.abort();
  const controller = new AbortController();
  running = controller;
  const { signal } = controller;
  const { filter } = view.peek();
  batch(() => {
    reading.value = 'first';
    problem.value = undefined;
  });
  try {
    await Promise.all([
      readRows(filter, signal).then(() => readFacets(filter, ['user_id', 'room'], signal)),
      readHistogram(filter, signal).then(() => readFacets(filter, ['action'], signal)),
    ]);
  } catch (error) {
    if (!signal.aborted) {
      batch(() => {
        problem.value = error as Error;
        // Counts of another filter would stand beside it.
        if (rows.peek() === undefined) clearCounts();
      });
    }
    controller.abort();
  } finally {
    if (running === controller) reading.value = 'no';
  }
}

/** Gives up what is being read. */
export function cancel(): void {
  running.abort();
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
  const stats = (query: Query) =>
    callJson<Stats>('/audit/stats', { query: { ...query, group_by: 'time', buckets: MAX_BARS }, signal });
  const all = await stats(queryOf(filter));
  if (signal.aborted) return;
  const whole = histogramOf(all as Parameters<typeof histogramOf>[0]);
  histogram.value = whole;
  const chosen = valuesOf(filter, 'action');
  const names = chosen.length > 0 ? chosen : actions.peek().map(({ action }) => action);
  const refusals = names.filter(isRefusal);
  if (whole === undefined || refusals.length === 0) return;
  const { from, to } = all;
  const some = await stats({ ...queryOf(withValues(filter, 'action', refusals)), from, to });
  if (signal.aborted) return;
  histogram.value = { ...whole, refused: some.data.map(({ count }) => count) };
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

async function readActions(): Promise<void> {
  const answer = await callJson<{ data: ActionInfo[] }>('/audit/actions');
  actions.value = answer.data;
}

/** Follows the log from now on, with the same filter. What was before is read once the stream is open. */
async function goLive(filter: Filter): Promise<void> {
  following.abort();
  const controller = new AbortController();
  following = controller;
  const { from: _, to: __, ...lasting } = filter;
  let isFirst = true;
  try {
    await follow({
      signal: controller.signal,
      async open(lastId, signal) {
        const headers: Record<string, string> = { accept: 'text/event-stream' };
        if (lastId !== undefined) headers['last-event-id'] = lastId;
        const response = await call('/audit/stream', { query: queryOf(lasting), signal, headers });
        if (response.body === null) throw new ConnectionError(new Error('no body'));
        return response.body;
      },
      onBlock(block) {
        if (controller.signal.aborted) return;
        take(block);
        // What came before the stream began: read once, so that nothing lies between.
        if (block.event === 'open' && isFirst) {
          isFirst = false;
          void look();
        }
      },
      onConnection(next) {
        if (following !== controller) return;
        connection.value = next;
        // It cannot be followed yet; perhaps it can be read.
        if (next.is === 'waiting' && isFirst && rows.peek() === undefined) void look();
      },
      retryOf: (error) =>
        error instanceof ProblemError
          ? [429, 503].includes(error.status)
            ? error.retryAfter
            : 'never'
          : undefined,
    });
  } catch (error) {
    if (!controller.signal.aborted) problem.value = error as Error;
  }
}

function take({ event, data, id }: StreamBlock): void {
  if (event === 'audit') gathered.unshift(rowOf(JSON.parse(data) as AuditEvent));
  else if (event === 'reset') {
    const { reason } = JSON.parse(data) as { reason: string };
    gathered.unshift({ is: 'gap', key: `reset-${id}`, words: resetWords[reason] ?? reason });
  } else return;
  gatherTimer ??= setTimeout(letIn, GATHER_MS);
}

/** What was gathered goes into the list, or waits; it is counted either way. */
function letIn(): void {
  gatherTimer = undefined;
  const newer = gathered;
  gathered = [];
  const events = newer.flatMap((row) => (row.is === 'event' ? [row.event] : []));
  batch(() => {
    const counted = histogram.peek();
    if (counted !== undefined) histogram.value = countOn(counted, events.toReversed());
    facets.value = countFacets(facets.peek(), events);
    waiting.value = withWaiting(waiting.peek(), newer);
    if (!isPaused.peek()) release();
  });
}

/** Lets in what waits. */
export function release(): void {
  const waits = waiting.peek();
  if (waits.rows.length === 0) return;
  const before = rows.peek() ?? [];
  const newest = newestSeq(before);
  const fresh = { ...waits, rows: waits.rows.filter((row) => row.is === 'gap' || row.event.seq > newest) };
  const { rows: next, isCut } = kept(released(fresh, before));
  batch(() => {
    rows.value = next;
    waiting.value = nothingWaiting;
    if (isCut) {
      cursor = undefined;
      hasOlder.value = true;
    }
  });
}

function stopLive(): void {
  following.abort();
  clearTimeout(gatherTimer);
  gatherTimer = undefined;
  gathered = [];
  batch(() => {
    connection.value = { is: 'off' };
    waiting.value = nothingWaiting;
    isPaused.value = false;
  });
}

/** The mode alone, so that opening an event does not read anew. */
const liveMode = computed(() => view.value.live);

/** Looks again whenever the filter, the token or the mode changes. */
export function followView(): void {
  let shown = '';
  effect(() => {
    const key = filterKey.value;
    const who = identity.value;
    const isLive = liveMode.value;
    untracked(() => {
      stopLive();
      if (who === undefined || !who.scopes.has('audit:read')) return cancel();
      // The rows of another filter are no answer to this one.
      if (shown !== key) {
        rows.value = undefined;
        reading.value = 'first';
      }
      shown = key;
      void start(isLive);
    });
  });
}

async function start(isLive: boolean): Promise<void> {
  try {
    // Not an act on record, and asked once: which names there are.
    if (actions.peek().length === 0) await readActions();
  } catch (error) {
    problem.value = error as Error;
    return;
  }
  if (isLive) await goLive(view.peek().filter);
  else await look();
}
