import { join, resolve } from 'node:path';
import pg from 'pg';
import { measureFsync } from '../fsync.ts';
import { describeMachine, loadAverage } from '../machine.ts';
import { type Case, casesOf } from './cases.ts';
import { Logs } from './logs.ts';
import { measure } from './measure.ts';
import type { Part, ReadOptions } from './options.ts';
import { pageOf } from './pages.ts';
import type { CaseReading, LogReadings, PageReading, ReadResults } from './results.ts';
import { sizeOfLog, sizeOfSeedTable } from './size.ts';
import { openStand, type Stand } from './stand.ts';
import { judgeReads } from './verdicts.ts';
import { exportFormats, measureExport, measureStats } from './whole.ts';

/** How long the disk is measured. */
const FSYNC_MS = 1_000;
/** Every read adds an event: a log that has grown by this share is copied anew. */
const MOST_GROWTH = 0.25;

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

async function measureCase({ facts, readers }: Stand, one: Case, options: ReadOptions): Promise<CaseReading> {
  const pages: PageReading[] = [];
  for (const place of one.places) {
    const path = pageOf(facts, one, place);
    const alone = await measure(readers.slice(0, 1), path, options);
    pages.push({ place, alone, together: await measure(readers, path, options) });
  }
  const { part, name, bound } = one;
  return { part, name, bound, pages };
}

const requestsOf = ({ pages }: CaseReading): number =>
  pages.reduce((sum, { alone, together }) => sum + alone.latency.count + together.latency.count, 0);

/** Measures a log; `readings` holds what there is at any time. */
async function measureLog(
  logs: Logs,
  readings: LogReadings,
  options: ReadOptions,
  progress: Progress,
  signal: AbortSignal,
): Promise<void> {
  const { events } = readings;
  const wants = (part: Part): boolean => options.parts.includes(part);
  if (wants('size')) readings.size = await measureSize(logs, events);
  const folder = join(resolve(options.dataDir), 'server');
  let stand = await openStand(logs, events, folder);
  try {
    let grown = 0;
    // Memory first, while nothing has used any.
    if (wants('export')) {
      const { routes, readers, server } = stand;
      const [reader] = readers;
      if (!routes.has('/audit/export') || reader === undefined) readings.exports = 'not there';
      else {
        for (const format of exportFormats) {
          progress(`${events} events: export as ${format}`);
          const reading = await measureExport(reader, server.pid, format);
          if (readings.exports !== 'not there') readings.exports.push(reading);
        }
      }
    }
    if (wants('stats')) {
      const { routes, readers, facts } = stand;
      if (!routes.has('/audit/stats')) readings.stats = 'not there';
      else readings.stats = await measureStats(readers.slice(0, 1), facts, options);
    }
    const cases = casesOf(stand.facts).filter(({ part }) => wants(part));
    for (const [index, one] of cases.entries()) {
      signal.throwIfAborted();
      if (index % 20 === 0) progress(`${events} events: ${index} of ${cases.length} questions`);
      if (grown > events * MOST_GROWTH) {
        await stand.stop();
        stand = await openStand(logs, events, folder);
        grown = 0;
      }
      const reading = await measureCase(stand, one, options);
      grown += requestsOf(reading);
      readings.cases.push(reading);
    }
  } finally {
    await stand.stop();
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
      for (const events of options.events) {
        const readings: LogReadings = { events, cases: [], stats: [], exports: [], size: null };
        measured.push(readings);
        await measureLog(logs, readings, options, progress, signal);
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
