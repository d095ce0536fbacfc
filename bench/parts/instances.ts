import type { ClosedSlice } from '../load/orders.ts';
import { rateOf } from '../slices.ts';
import { ratios, type Spread } from '../stats.ts';
import { digits } from '../table.ts';
import { addSlice, type Bench, inTurns, type Series, windowOf } from './rounds.ts';

export type InstancesSeries = Series<ClosedSlice, { instances: number; rooms: number }>;

const CONNECTIONS = 50;
/** Every connection has a room of its own. */
export const OWN_ROOMS = CONNECTIONS;
/** Five in each, some of them on either instance, so that every message has to get to the other one. */
export const SHARED_ROOMS = 10;

/** How fast two instances are against one, round by round; null when it was not measured. */
export function againstOne(all: readonly InstancesSeries[], rooms: number): Spread | null {
  const rates = (instances: number): number[] =>
    (all.find((one) => one.instances === instances && one.rooms === rooms)?.slices ?? []).map(rateOf);
  return ratios(rates(2), rates(1));
}

/** Closed loop: the same load on one Minutebook, and spread over two on one database; each side has its own. */
export async function measureInstances(bench: Bench, all: InstancesSeries[]): Promise<void> {
  const { arms, options, progress } = bench;
  if (!options.arms.includes('minutebook')) return;
  const generator = bench.startGenerator();
  const servers = [await arms.start('minutebook'), await arms.start('minutebook', { instances: 2 })];
  await inTurns(bench, [OWN_ROOMS, SHARED_ROOMS], servers, async (server, rooms, round) => {
    const slice = await generator.do('closed', {
      target: server.target,
      connections: CONNECTIONS,
      rooms,
      ...windowOf(bench, server),
    });
    const instances = server.pids.length;
    addSlice(all, server.arm, { instances, rooms }, slice);
    progress(
      `instances, round ${round + 1}, ${rooms} rooms, ${instances} x ${server.arm}: ` +
        `${digits(rateOf(slice))}/s, p99 ${digits(slice.latency.p99)} ms`,
    );
    return slice;
  });
  await arms.stop();
  await generator.stop();
}
