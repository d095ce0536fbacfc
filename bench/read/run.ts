import { resolve } from 'node:path';
import pg from 'pg';
import { measureFsync } from '../fsync.ts';
import { describeMachine, loadAverage } from '../machine.ts';
import { Logs } from './logs.ts';
import type { ReadOptions } from './options.ts';
import { measureQuestions, type OpenLog } from './questions.ts';
import type { LogReadings, ReadResults } from './results.ts';
import { sizeOfLog, sizeOfSeedTable } from './size.ts';
import { openStand, type Stand } from './stand.ts';
import { judgeReads } from './verdicts.ts';
import { type ExportReading, exportFormats, measureExport, measureStats } from './whole.ts';

/** How long the disk is measured. */
const FSYNC_MS = 1_000;

type Progress = (text: string) => void;

async function measureSize(logs: Logs, events: number): Promise<NonNullable<LogReadings['size']>> {
  const client = new pg.Client({ connectionString: await logs.copy(events) });
  await client.connect();
  try {
    return { log: await sizeOfLog(client, events), seed: await sizeOfSeedTable(client) };
  } finally {
    await client.end();
  }
}

/** What is measured in one log after the other; `readings` holds what there is at any time. */
async function measureWhole(
  { routes, readers, server, facts }: Stand,
  readings: LogReadings,
  options: ReadOptions,
  progress: Progress,
): Promise<void> {
  const [reader] = readers;
  // Memory first, while nothing has used any.
  if (options.parts.includes('export')) {
    if (!routes.has('/audit/export')) readings.exports = 'not there';
    else {
      const exports: ExportReading[] = [];
      readings.exports = exports;
      for (const format of exportFormats) {
        progress(`${readings.events} events: export as ${format}`);
        exports.push(await measureExport(reader, server.pid, format));
      }
    }
  }
  if (options.parts.includes('stats')) {
    if (!routes.has('/audit/stats')) readings.stats = 'not there';
    else readings.stats = await measureStats(reader, facts, options);
  }
}

/**
 * Runs what was asked for, and stops all it started, whatever happens. The logs are kept.
 *
 * @param signal aborted when the run has to end before its time
 */
export async function runReads(
  options: ReadOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<ReadResults> {
  const machine = await describeMachine();
  const loadBefore = loadAverage();
  const logs = await Logs.open(resolve(options.dataDir));
  try {
    const fsyncBefore = measureFsync(options.dataDir, FSYNC_MS);
    const measured: LogReadings[] = [];
    const measureAll = async (): Promise<void> => {
      for (const events of options.events) await logs.make(events, progress);
      const open: OpenLog[] = [];
      try {
        for (const events of options.events) {
          signal.throwIfAborted();
          const readings: LogReadings = { events, cases: [], stats: [], exports: [], size: null };
          measured.push(readings);
          if (options.parts.includes('size')) readings.size = await measureSize(logs, events);
          const stand = await openStand(logs, events, options.dataDir);
          open.push({ stand, readings });
          await measureWhole(stand, readings, options, progress);
        }
        await measureQuestions(logs, open, options, progress, signal);
      } finally {
        await Promise.all(open.map(({ stand }) => stand.stop()));
      }
    };
    // What was measured until then is worth telling.
    const stopped = await measureAll().then(
      () => null,
      (error: Error) => (signal.aborted ? (signal.reason as Error) : error),
    );
    return {
      stopped: stopped?.message ?? null,
      machine,
      postgres: await logs.version(),
      options,
      fsync: { before: fsyncBefore, after: measureFsync(options.dataDir, FSYNC_MS) },
      load: { before: loadBefore, after: loadAverage() },
      logs: measured,
      verdicts: judgeReads(measured),
    };
  } finally {
    await logs.close();
  }
}
