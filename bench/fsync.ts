import { closeSync, fdatasyncSync, openSync, unlinkSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { Latencies, type Latency } from './stats.ts';

const BLOCK = 8 * 1024;
const FILE_BLOCKS = 2_048;

/**
 * How long the disk takes to make one block of 8 KiB durable, in milliseconds: what every commit waits for.
 * The file is written once before, as Postgres uses its log files again, and removed.
 */
export function measureFsync(folder: string, ms: number): Latency {
  const path = join(folder, 'fsync-probe');
  const file = openSync(path, 'w');
  try {
    const block = Buffer.alloc(BLOCK, 'x');
    for (let index = 0; index < FILE_BLOCKS; index += 1) writeSync(file, block, 0, BLOCK, index * BLOCK);
    fdatasyncSync(file);
    const latencies = new Latencies();
    const end = performance.now() + ms;
    for (let index = 0; performance.now() < end; index += 1) {
      writeSync(file, block, 0, BLOCK, (index % FILE_BLOCKS) * BLOCK);
      const start = performance.now();
      fdatasyncSync(file);
      latencies.add(performance.now() - start);
    }
    return latencies.summary();
  } finally {
    closeSync(file);
    unlinkSync(path);
  }
}
