import type { Arm, Arms, RunningArm } from '../arms.ts';
import type { Watched } from '../cpu.ts';
import type { Slice, TimeWindow, Window } from '../load/orders.ts';
import type { Options } from '../options.ts';
import type { BenchPostgres } from '../postgres.ts';
import type { Generator } from '../processes.ts';

/** What every part has at hand. */
export type Bench = {
  options: Options;
  postgres: BenchPostgres;
  arms: Arms;
  /** A generator of its own for each part, so that none inherits another's memory. */
  startGenerator: () => Generator;
  /** Says on stderr how far it has come. */
  progress: (text: string) => void;
  /** Told when an arm was measured. */
  onSlice: (arm: Arm, window: TimeWindow) => void;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
};

export const watchedOf = ({ postgres }: Bench, server: RunningArm): Watched => ({
  servers: server.pids,
  postgres: postgres.pid,
});

/** The time of one measurement, as the options say. */
export const windowOf = (bench: Bench, server: RunningArm): Window => ({
  warmMs: bench.options.warmup * 1_000,
  ms: bench.options.seconds * 1_000,
  watched: watchedOf(bench, server),
});

/** Starts the servers of some arms; they come back in this order. */
export async function startAll(
  bench: Bench,
  wanted: readonly Arm[],
  how: { broadcast?: boolean } = {},
): Promise<RunningArm[]> {
  return Promise.all(wanted.map((arm) => bench.arms.start(arm, how)));
}

/**
 * Lets the servers take turns, A-B-A, so that what disturbs the machine for a while disturbs all of them. Each
 * round begins with another one.
 */
export async function inTurns<T>(
  bench: Bench,
  settings: readonly T[],
  servers: readonly RunningArm[],
  measure: (server: RunningArm, setting: T, round: number) => Promise<Slice>,
): Promise<void> {
  const { options, postgres, signal } = bench;
  for (let round = 0; round < options.rounds; round += 1) {
    for (const setting of settings) {
      for (let turn = 0; turn < servers.length; turn += 1) {
        const server = servers[(turn + round) % servers.length];
        if (server === undefined) continue;
        signal.throwIfAborted();
        await postgres.checkpoint();
        const { window } = await measure(server, setting, round);
        bench.onSlice(server.arm, window);
      }
    }
  }
}

/** What was measured of each arm in one setting, a slice a round. */
export type Series<S, X> = X & { arm: Arm; slices: S[] };

/** Adds a slice to the series it belongs to. */
export function addSlice<S, X extends object>(all: Series<S, X>[], arm: Arm, setting: X, slice: S): void {
  const same = (one: Series<S, X>): boolean =>
    one.arm === arm && Object.entries(setting).every(([name, value]) => one[name as keyof X] === value);
  const series = all.find(same);
  if (series === undefined) all.push({ ...setting, arm, slices: [slice] });
  else series.slices.push(slice);
}
