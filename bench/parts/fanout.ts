import type { Slice } from '../load/orders.ts';
import { digits } from '../table.ts';
import { addSlice, type Bench, inTurns, type Series, startAll, windowOf } from './rounds.ts';

export type FanoutSeries = Series<Slice, { members: number }>;

/** One message at a time to a large room, against a bare ws server that sends it to everybody. */
export async function measureFanout(bench: Bench, all: FanoutSeries[]): Promise<void> {
  const { options, progress } = bench;
  const { members } = options;
  const compared = options.arms.filter((arm) => arm === 'ws' || arm === 'minutebook');
  const generator = bench.startGenerator();
  const servers = await startAll(bench, compared, { broadcast: true });
  await inTurns(bench, [members], servers, async (server, _, round) => {
    const slice = await generator.do('fanout', {
      target: server.target,
      members,
      ...windowOf(bench, server),
    });
    addSlice(all, server.arm, { members }, slice);
    progress(
      `fanout, round ${round + 1}, ${members} members, ${server.arm}: ` +
        `${digits(slice.messages / slice.seconds)} deliveries/s`,
    );
    return slice;
  });
  await bench.arms.stop();
  await generator.stop();
}
