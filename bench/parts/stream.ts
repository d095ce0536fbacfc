import type { OpenSlice } from '../load/orders.ts';
import type { Latency } from '../stats.ts';
import { digits } from '../table.ts';
import { type Bench, windowOf } from './rounds.ts';

const CONNECTIONS = 50;
/** Messages per second. */
const RATE = 1_000;
const GRACE_MS = 1_000;

/** Writing at a fixed rate, and how old messages are when a reader of the live stream gets them. */
export type StreamResult = { rate: number; slices: OpenSlice[]; ages: Latency[] };

/** One reader of the live stream, while messages are sent at fixed times. */
export async function measureStream(bench: Bench): Promise<StreamResult | null> {
  const { arms, options, postgres, progress, signal } = bench;
  if (!options.arms.includes('minutebook')) return null;
  const writer = bench.startGenerator();
  const reader = bench.startGenerator();
  const server = await arms.start('minutebook');
  const { target } = server;
  const result: StreamResult = { rate: RATE, slices: [], ages: [] };
  for (let round = 0; round < options.rounds; round += 1) {
    signal.throwIfAborted();
    await postgres.checkpoint();
    const window = windowOf(bench, server);
    await reader.do('follow', { target, user: `follower-${round}`, warmMs: window.warmMs });
    const slice = await writer.do('open', {
      target,
      connections: CONNECTIONS,
      rate: RATE,
      graceMs: GRACE_MS,
      ...window,
    });
    const age = await reader.do('stopFollowing', null);
    bench.onSlice('minutebook', slice.window);
    result.slices.push(slice);
    result.ages.push(age);
    progress(`stream, round ${round + 1}: ${age.count} messages, p99 ${digits(age.p99)} ms after their time`);
  }
  await server.stop();
  await writer.stop();
  await reader.stop();
  return result;
}
