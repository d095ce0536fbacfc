import { setTimeout as delay } from 'node:timers/promises';
import type { Db } from '../../../db/client.ts';
import { type LogState, listEvents, readLogState, type SeqRange } from '../../../db/events.ts';
import { read } from '../../../db/read.ts';
import { CodedError } from '../../../src/core/errors.ts';
import { walk } from '../../../src/core/export-walk.ts';
import type { Filter } from '../../../src/core/filter.ts';
import type { AuditEvent } from '../../../src/core/schemas.ts';

const PAGE_EVENTS = 1_000;

/** How often a page is asked for that could not be had in passing, and how long between, in milliseconds. */
const ATTEMPTS = 5;
const RETRY_MS = 1_000;

/** Tries again for a while: all connections may be taken, or Postgres be started anew. */
async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      const isPassing = error instanceof CodedError && error.code === 'audit_unavailable';
      if (!isPassing || attempt === ATTEMPTS) throw error;
      await delay(RETRY_MS, undefined, { ref: false });
    }
  }
}

/** Refuses to go on in another history than the one that was begun, or past what is kept. */
function checkSame(begun: LogState, now: LogState, from: number): void {
  if (now.epoch !== begun.epoch)
    throw new CodedError('audit_unavailable', 'The log has begun another epoch.');
  if (now.firstSeq > Math.max(from, begun.firstSeq)) {
    throw new CodedError(
      'expired',
      `The log keeps events from seq ${now.firstSeq} on, and no longer ${from}.`,
    );
  }
}

/**
 * All events of a range that match, in order. Every page is a statement of its own, so that no snapshot is held.
 *
 * @param begun the log when the range was made
 * @throws CodedError `audit_unavailable`, `too_slow`, `expired`
 */
export const exportPages = (
  db: Db,
  filter: Filter,
  begun: LogState,
  range: SeqRange,
): AsyncGenerator<AuditEvent[], void> =>
  walk(
    range,
    async (part) => {
      const page = await patiently(() => read(listEvents(db, filter, part, 'asc', PAGE_EVENTS)));
      const now = await patiently(() => read(readLogState(db)));
      checkSame(begun, now, part.from);
      return page;
    },
    performance.now.bind(performance),
  );
