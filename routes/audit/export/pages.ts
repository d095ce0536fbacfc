import { setTimeout as delay } from 'node:timers/promises';
import { CopyTarget, type Db } from '../../../db/client.ts';
import { type LogState, readLogState, type SeqRange } from '../../../db/events.ts';
import { type FoundPage, readExportPage } from '../../../db/export.ts';
import { read } from '../../../db/read.ts';
import type { ExportFormat } from '../../../src/core/actions.ts';
import { CodedError } from '../../../src/core/errors.ts';
import { walk } from '../../../src/core/export-walk.ts';
import type { Filter } from '../../../src/core/filter.ts';

/** How often a page is asked for that could not be had in passing, and how long between, in milliseconds. */
const ATTEMPTS = 5;
const RETRY_MS = 1_000;

/** What pages are read from, and for. */
export type Source = {
  db: Db;
  /** Does the work when it is its turn to read. @throws CodedError */
  inTurn: <T>(work: () => Promise<T>) => Promise<T>;
  /** Goes on only while somebody waits for pages, and may have them. @throws CodedError */
  check: () => void;
};

/** Tries again for a while: all connections may be taken, or Postgres be started anew. */
async function patiently<T>(work: () => Promise<T>, check: () => void): Promise<T> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await work();
    } catch (error) {
      check();
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
 * All events of a range that match, in order, as lines. Every page is a statement of its own, so that no snapshot is held.
 * What a page holds is good until the next one is asked for.
 *
 * @param begun the log when the range was made
 * @throws CodedError `audit_unavailable`, `too_slow`, `expired`
 */
export function exportPages(
  { db, inTurn, check }: Source,
  format: ExportFormat,
  filter: Filter,
  begun: LogState,
  range: SeqRange,
): AsyncGenerator<FoundPage, void> {
  const target = new CopyTarget();
  const readPage = async (part: SeqRange): Promise<FoundPage> => {
    // Who has gone while they waited is not read for.
    check();
    const page = await read(readExportPage(db, target, format, filter, part));
    checkSame(begun, await read(readLogState(db)), part.from);
    return page;
  };
  return walk(
    range,
    (part) => patiently(() => inTurn(() => readPage(part)), check),
    performance.now.bind(performance),
  );
}
