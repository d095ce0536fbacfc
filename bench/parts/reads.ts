import type { Answers, ClosedSlice, ReadKind, Slice } from '../load/orders.ts';
import { rateOf } from '../slices.ts';
import type { Spread } from '../stats.ts';
import { digits } from '../table.ts';
import { type Bench, windowOf } from './rounds.ts';
import { against } from './snapshot.ts';

const CONNECTIONS = 50;
/** The default of LIMIT_QUERIES_PER_MINUTE. */
const QUOTA = 300;
/** Reads per second of who is refused. */
const REFUSED_RATE = 2_000;
/** What bounds those who read; unset, so that the defaults hold. */
const limits = {
  LIMIT_QUERIES_PER_MINUTE: String(QUOTA),
  LIMIT_REFUSALS_PER_SECOND_IP: '',
  LIMIT_CONNECTIONS_PER_IP: '',
  LIMIT_STREAMS_PER_USER: '',
  LIMIT_STREAM_BYTES_PER_SECOND_USER: '',
};

/** What one kind of reading was, while others wrote. */
export type ReadsSeries = {
  kind: ReadKind;
  slices: Slice[];
  /** Answers per second, by status, and bytes. */
  answers: Answers[];
  /** The rate against that without a reader, before and after. */
  ratio: Spread | null;
};

export type ReadsResult = { before: Slice[]; after: Slice[]; kinds: ReadsSeries[] };

/** Writing, beside one who reads as much as the limit allows, and beside reads that are refused. */
export async function measureReads(bench: Bench): Promise<ReadsResult | null> {
  const { arms, options, postgres, progress, signal } = bench;
  if (!options.arms.includes('minutebook')) return null;
  const writer = bench.startGenerator();
  const reader = bench.startGenerator();
  const server = await arms.start('minutebook', { env: limits });
  const { target } = server;
  const result: ReadsResult = {
    before: [],
    after: [],
    kinds: options.reads.map((kind) => ({ kind, slices: [], answers: [], ratio: null })),
  };

  async function write(round: number, beside: string): Promise<ClosedSlice> {
    signal.throwIfAborted();
    const slice = await writer.do('closed', {
      target,
      connections: CONNECTIONS,
      ...windowOf(bench, server),
    });
    bench.onSlice('minutebook', slice.window);
    progress(`reads, round ${round + 1}, beside ${beside}: ${digits(rateOf(slice))}/s`);
    return slice;
  }

  for (let round = 0; round < options.rounds; round += 1) {
    await postgres.checkpoint();
    result.before.push(await write(round, 'nobody'));
    for (const { kind, slices, answers } of result.kinds) {
      await postgres.checkpoint();
      // Somebody else each time, whose quota is whole.
      const user = `reader-${kind}-${round}`;
      await reader.do('read', { target, user, kind, rate: REFUSED_RATE, quota: QUOTA });
      const startedAt = performance.now();
      slices.push(await write(round, kind));
      const counts = await reader.do('stopReading', null);
      const seconds = (performance.now() - startedAt) / 1_000;
      answers.push(
        Object.fromEntries(Object.entries(counts).map(([status, count]) => [status, count / seconds])),
      );
    }
    await postgres.checkpoint();
    result.after.push(await write(round, 'nobody'));
  }
  for (const series of result.kinds) series.ratio = against(series.slices, result.before, result.after);
  await server.stop();
  await writer.stop();
  await reader.stop();
  return result;
}
