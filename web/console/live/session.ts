import { batch } from '@preact/signals';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import type { StreamBlock } from '../../../src/core/stream-parser.ts';
import { ConnectionError, call, ProblemError } from '../../common/api.ts';
import type { Filter } from '../filter.ts';
import {
  kept,
  newestSeq,
  nothingWaiting,
  type Row,
  released,
  resetWords,
  rowOf,
  withWaiting,
} from '../list/rows.ts';
import { connection, countLive, isPaused, letGo, look, problem, queryOf, rows, waiting } from '../log.ts';
import { follow } from './follow.ts';

/** Live events are let in together, so that a busy log does not draw more often than one can see. */
const GATHER_MS = 100;

let following = new AbortController();
let gathered: Row[] = [];
let gatherTimer: ReturnType<typeof setTimeout> | undefined;

/** Follows the log from now on, with the same filter. What was before is read once the stream is open. */
export async function goLive(filter: Filter): Promise<void> {
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
    countLive(events);
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
    if (isCut) letGo();
  });
}

export function stopLive(): void {
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
