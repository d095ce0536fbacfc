import { readdir, readFile } from 'node:fs/promises';
import { monitorEventLoopDelay } from 'node:perf_hooks';
import type { Instruments } from './instruments.ts';

/** How often the delay of the event loop is looked at. Node counts this time as part of the delay. */
const LOOP_MS = 20;

const seconds = (ms: number): number => ms / 1_000;

async function openFiles(): Promise<number | undefined> {
  // Linux only. One of them is the folder itself, being read.
  const files = await readdir('/proc/self/fd').catch(() => undefined);
  return files === undefined ? undefined : files.length - 1;
}

async function maxOpenFiles(): Promise<number | undefined> {
  const limits = await readFile('/proc/self/limits', 'utf8').catch(() => '');
  const soft = /^Max open files\s+(\d+)/m.exec(limits)?.[1];
  return soft === undefined ? undefined : Number(soft);
}

function measureMemoryAndCpu(instruments: Instruments): void {
  const cpu = () => process.cpuUsage();
  instruments.counter('process_cpu_user_seconds_total', 'CPU time in user mode.', () => cpu().user / 1e6);
  instruments.counter(
    'process_cpu_system_seconds_total',
    'CPU time in the kernel.',
    () => cpu().system / 1e6,
  );
  instruments.counter('process_cpu_seconds_total', 'CPU time.', () => (cpu().user + cpu().system) / 1e6);
  const startedAt = seconds(performance.timeOrigin);
  instruments.gauge('process_start_time_seconds', 'When the process began, since 1970.', () => startedAt);
  const memory = () => process.memoryUsage();
  instruments.gauge('process_resident_memory_bytes', 'Resident memory.', () => process.memoryUsage.rss());
  instruments.gauge('nodejs_heap_size_total_bytes', 'The heap of JavaScript.', () => memory().heapTotal);
  instruments.gauge('nodejs_heap_size_used_bytes', 'What is used of the heap.', () => memory().heapUsed);
  instruments.gauge('nodejs_external_memory_bytes', 'Buffers and the like.', () => memory().external);
}

/**
 * The numbers of the process, under the names that dashboards for Node.js know. The library’s own collectors are
 * not used, because they run timers that nothing can stop, and so keep an app alive that was closed. Collections
 * of garbage are not observed: that added about 0.2 ms to each of 0.5 ms. What they hold up shows in the delay of
 * the event loop.
 *
 * @returns `update` reads what cannot be read at once; `close` ends the measuring
 */
export async function measureProcess(
  instruments: Instruments,
): Promise<{ update: () => Promise<void>; close: () => void }> {
  measureMemoryAndCpu(instruments);

  const maxFiles = await maxOpenFiles();
  let files = await openFiles();
  instruments.gauge('process_open_fds', 'Open files and sockets.', () => files);
  instruments.gauge('process_max_fds', 'How many may be open.', () => maxFiles);

  const loop = monitorEventLoopDelay({ resolution: LOOP_MS });
  loop.enable();
  /** The delays since the last scrape, in seconds. */
  let delays: { mean: number; p99: number; max: number } | undefined;
  instruments.gauge(
    'nodejs_eventloop_lag_mean_seconds',
    'Mean delay of the event loop since the last scrape.',
    () => delays?.mean,
  );
  instruments.gauge(
    'nodejs_eventloop_lag_p99_seconds',
    '99th percentile of its delay since the last scrape.',
    () => delays?.p99,
  );
  instruments.gauge(
    'nodejs_eventloop_lag_max_seconds',
    'Longest delay since the last scrape.',
    () => delays?.max,
  );
  instruments.counter(
    'nodejs_eventloop_active_seconds_total',
    'How long the event loop was at work; its rate is 1 when the loop has no time left.',
    () => seconds(performance.eventLoopUtilization().active),
  );

  return {
    update: async () => {
      files = await openFiles();
      if (loop.count === 0) return;
      const delay = (ns: number): number => Math.max(0, ns / 1e9 - seconds(LOOP_MS));
      delays = { mean: delay(loop.mean), p99: delay(loop.percentile(99)), max: delay(loop.max) };
      loop.reset();
    },
    close: () => {
      loop.disable();
    },
  };
}
