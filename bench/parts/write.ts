import type { Slice } from '../load/orders.ts';
import { digits } from '../table.ts';
import { addSlice, type Bench, inTurns, type Series, startAll, windowOf } from './rounds.ts';

export type WriteSeries = Series<Slice, { connections: number }>;

/** Closed loop: every connection in a room of its own sends its next message when it has its last. */
export async function measureWrite(bench: Bench, all: WriteSeries[]): Promise<void> {
  const { options, progress } = bench;
  const generator = bench.startGenerator();
  const servers = await startAll(bench, options.arms);
  await inTurns(bench, options.connections, servers, async (server, connections, round) => {
    const slice = await generator.do('closed', {
      target: server.target,
      connections,
      ...windowOf(bench, server),
    });
    addSlice(all, server.arm, { connections }, slice);
    progress(
      `write, round ${round + 1}, ${connections} connections, ${server.arm}: ` +
        `${digits(slice.messages / slice.seconds)}/s, p99 ${digits(slice.latency.p99)} ms`,
    );
    return slice;
  });
  await bench.arms.stop();
  await generator.stop();
}
