import type { Machine } from './machine.ts';
import type { Options } from './options.ts';
import type { FanoutSeries } from './parts/fanout.ts';
import type { IdleResult } from './parts/idle.ts';
import type { InstancesSeries } from './parts/instances.ts';
import type { OpenSeries } from './parts/open.ts';
import type { ReadsResult } from './parts/reads.ts';
import type { SnapshotResult } from './parts/snapshot.ts';
import type { StreamResult } from './parts/stream.ts';
import type { WriteSeries } from './parts/write.ts';
import type { Latency } from './stats.ts';
import type { Verdict } from './verdict.ts';

/**
 * Everything that was measured; what `--json` writes. Latencies are in milliseconds, CPU in microseconds,
 * memory in bytes. A part that was left out is empty or null.
 */
export type Results = {
  /** Why it ended early; null when everything wanted was measured. */
  stopped: string | null;
  machine: Machine;
  postgres: {
    version: string;
    settings: Record<string, string>;
    /** Whether its CPU could be seen. */
    watched: boolean;
  };
  options: Options;
  /** How long one block took to become durable. */
  fsync: { before: Latency; after: Latency };
  /** Load average over a minute. */
  load: { before: number; after: number };
  write: WriteSeries[];
  open: OpenSeries[];
  fanout: FanoutSeries[];
  instances: InstancesSeries[];
  reads: ReadsResult | null;
  stream: StreamResult | null;
  idle: IdleResult | null;
  snapshot: SnapshotResult | null;
  verdicts: Verdict[];
};
