import type { Machine } from './machine.ts';
import type { Options } from './options.ts';
import type { FanoutSeries } from './parts/fanout.ts';
import type { OpenSeries } from './parts/open.ts';
import type { WriteSeries } from './parts/write.ts';
import type { Latency } from './stats.ts';
import { digits } from './table.ts';

/** Everything that was measured; what `--json` writes. */
export type Results = {
  machine: Machine;
  postgres: { version: string; settings: Record<string, string> };
  options: Options;
  fsync: { before: Latency; after: Latency };
  load: { before: number; after: number };
  write: WriteSeries[];
  open: OpenSeries[];
  fanout: FanoutSeries[];
};

/** What was measured with. */
export function describeResults({ machine, postgres, fsync, load, options }: Results): string {
  const settings = Object.entries(postgres.settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(' ');
  const disk = (latency: Latency): string => `p50 ${digits(latency.p50)} ms, p99 ${digits(latency.p99)} ms`;
  return [
    `${machine.at}, commit ${machine.git}`,
    `${machine.cpus} × ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}`,
    `Node ${machine.node}, ws ${machine.ws}, fastify ${machine.fastify}, ` +
      `@fastify/websocket ${machine['@fastify/websocket']}, pg ${machine.pg}`,
    `Postgres ${postgres.version}: ${settings}`,
    `fdatasync of 8 KiB: before ${disk(fsync.before)}; after ${disk(fsync.after)}`,
    `load average: before ${load.before.toFixed(2)}, after ${load.after.toFixed(2)}`,
    `${options.rounds} rounds of ${options.seconds} s after ${options.warmup} s of warm-up; medians (min..max)`,
  ].join('\n');
}
