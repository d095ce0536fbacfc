import type { OpenSlice } from '../load/orders.ts';
import { digits } from '../table.ts';
import { addSlice, type Bench, inTurns, type Series, startAll, windowOf } from './rounds.ts';

export type OpenSeries = Series<OpenSlice, { rate: number }>;

const CONNECTIONS = 50;
/** How long the answers are waited for when the sending is over. */
const GRACE_MS = 1_000;

/** Open loop: messages at fixed times, whatever became of those before. */
export async function measureOpen(bench: Bench, all: OpenSeries[]): Promise<void> {
  const { options, progress } = bench;
  const generator = bench.startGenerator();
  const servers = await startAll(bench, options.arms);
  await inTurns(bench, options.rates, servers, async (server, rate, round) => {
    const slice = await generator.do('open', {
      target: server.target,
      connections: CONNECTIONS,
      rate,
      graceMs: GRACE_MS,
      ...windowOf(bench, server),
    });
    addSlice(all, server.arm, { rate }, slice);
    progress(
      `open, round ${round + 1}, ${rate}/s, ${server.arm}: ${digits(slice.messages / slice.seconds)}/s, ` +
        `p99 ${digits(slice.latency.p99)} ms, ${slice.unanswered} unanswered`,
    );
    // What it has not done yet would be done during the next one's turn.
    if (slice.unanswered > 0) {
      await server.stop();
      servers[servers.indexOf(server)] = await bench.arms.start(server.arm);
    }
    return slice;
  });
  await bench.arms.stop();
  await generator.stop();
}
