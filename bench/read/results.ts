import type { Machine } from '../machine.ts';
import type { Latency } from '../stats.ts';
import type { Verdict } from '../verdict.ts';
import type { Bound, Case, Place } from './cases.ts';
import type { Reading } from './measure.ts';
import type { ReadOptions } from './options.ts';
import type { Sizes } from './size.ts';
import type { ExportReading, StatsReading } from './whole.ts';

/** A page, read by one administrator at a time, and by several. */
export type PageReading = { place: Place; alone: Reading; together: Reading };

export type CaseReading = { part: Case['part']; name: string; bound: Bound; pages: PageReading[] };

/** What was measured in a log of one length. A part that was left out is empty or null. */
export type LogReadings = {
  events: number;
  cases: CaseReading[];
  /** `not there`: the server has no such route. */
  stats: StatsReading[] | 'not there';
  exports: ExportReading[] | 'not there';
  size: { log: Sizes; seed: { own: Sizes; asMany: Sizes } } | null;
};

/** Everything that was measured; what `--json` writes. Times are in milliseconds, sizes in bytes. */
export type ReadResults = {
  /** Why it ended early; null when everything wanted was measured. */
  stopped: string | null;
  machine: Machine;
  postgres: string;
  options: ReadOptions;
  fsync: { before: Latency; after: Latency };
  load: { before: number; after: number };
  logs: LogReadings[];
  verdicts: Verdict[];
};
