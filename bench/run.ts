import { Arms } from './arms.ts';
import { measureFsync } from './fsync.ts';
import type { TimeWindow } from './load/orders.ts';
import { describeMachine, loadAverage } from './machine.ts';
import type { Options, Part } from './options.ts';
import { measureFanout } from './parts/fanout.ts';
import { measureIdle } from './parts/idle.ts';
import { measureInstances } from './parts/instances.ts';
import { measureOpen } from './parts/open.ts';
import { measureReads } from './parts/reads.ts';
import type { Bench } from './parts/rounds.ts';
import { measureSnapshot } from './parts/snapshot.ts';
import { measureStream } from './parts/stream.ts';
import { measureWrite } from './parts/write.ts';
import { openPostgres } from './postgres.ts';
import { type Generator, startGenerator } from './processes.ts';
import { type ProfileSummary, readProfiles, summariseProfiles } from './profile.ts';
import type { Results } from './results.ts';
import { judge } from './verdict.ts';

/** How long the disk is measured. */
const FSYNC_MS = 1_000;

type Measured = Pick<
  Results,
  'write' | 'open' | 'fanout' | 'instances' | 'reads' | 'stream' | 'idle' | 'snapshot'
>;

/** Measures the parts that are wanted, one after the other, so that `measured` holds what there is at any time. */
async function measureParts(bench: Bench, measured: Measured): Promise<void> {
  const wants = (part: Part): boolean => bench.options.parts.includes(part);
  if (wants('write')) await measureWrite(bench, measured.write);
  if (wants('open')) await measureOpen(bench, measured.open);
  if (wants('fanout')) await measureFanout(bench, measured.fanout);
  if (wants('instances')) await measureInstances(bench, measured.instances);
  if (wants('reads')) measured.reads = await measureReads(bench);
  if (wants('stream')) measured.stream = await measureStream(bench);
  if (wants('idle')) measured.idle = await measureIdle(bench);
  if (wants('snapshot')) measured.snapshot = await measureSnapshot(bench);
}

/**
 * Runs what was asked for, with its files in `folder`, and stops all it started, whatever happens.
 *
 * @param signal aborted when the run has to end before its time
 */
export async function run(
  options: Options,
  folder: string,
  signal: AbortSignal,
): Promise<{ results: Results; profile: ProfileSummary | undefined }> {
  const machine = await describeMachine();
  const loadBefore = loadAverage();
  const fsyncBefore = measureFsync(folder, FSYNC_MS);
  const postgres = await openPostgres(folder, options.useDatabaseUrl ? process.env.DATABASE_URL : undefined);
  const arms = new Arms({ postgres, folder, profileDir: options.profile });
  const generators: Generator[] = [];
  const stopGenerators = async (): Promise<void> => {
    await Promise.all(generators.map((generator) => generator.stop()));
  };
  const windows: TimeWindow[] = [];
  const bench: Bench = {
    options,
    postgres,
    arms,
    startGenerator: () => {
      const generator = startGenerator();
      generators.push(generator);
      return generator;
    },
    progress: (text) => console.error(`  ${text}`),
    onSlice: (arm, window) => {
      if (arm === 'minutebook') windows.push(window);
    },
    signal,
  };
  const stopEarly = (): void => void stopGenerators();
  signal.addEventListener('abort', stopEarly);
  try {
    signal.throwIfAborted();
    const measured: Measured = {
      write: [],
      open: [],
      fanout: [],
      instances: [],
      reads: null,
      stream: null,
      idle: null,
      snapshot: null,
    };
    // What was measured until then is worth telling.
    const stopped = await measureParts(bench, measured).then(
      () => null,
      (error: Error) => (signal.aborted ? (signal.reason as Error) : error),
    );
    // Their profiles are written when they end.
    await arms.stop();
    const unjudged = {
      stopped: stopped?.message ?? null,
      machine,
      postgres: { version: postgres.version, settings: postgres.settings, watched: postgres.pid !== null },
      options,
      fsync: { before: fsyncBefore, after: measureFsync(folder, FSYNC_MS) },
      load: { before: loadBefore, after: loadAverage() },
      ...measured,
    };
    const profile =
      options.profile === undefined
        ? undefined
        : summariseProfiles(await readProfiles(options.profile, arms.pidsOf('minutebook')), windows);
    return { results: { ...unjudged, verdicts: judge(unjudged) }, profile };
  } finally {
    signal.removeEventListener('abort', stopEarly);
    await stopGenerators();
    await arms.stop();
    await postgres.stop();
  }
}
