import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Arms } from './arms.ts';
import { measureFsync } from './fsync.ts';
import { describeMachine, loadAverage } from './machine.ts';
import { type Options, readOptions, USAGE, UsageError } from './options.ts';
import { measureFanout } from './parts/fanout.ts';
import { measureOpen } from './parts/open.ts';
import type { Bench } from './parts/rounds.ts';
import { measureWrite } from './parts/write.ts';
import { openPostgres } from './postgres.ts';
import { type Generator, startGenerator } from './processes.ts';
import { fanoutTable, openTable, writeTable } from './report.ts';
import { describeResults, type Results } from './results.ts';

const FSYNC_MS = 2_000;

/** Runs what was asked for, in `folder`, and stops all it started, whatever happens. */
async function run(options: Options, folder: string, signal: AbortSignal): Promise<Results> {
  const progress = (text: string): void => console.error(`  ${text}`);
  const generators: Generator[] = [];
  const machine = await describeMachine();
  const loadBefore = loadAverage();
  const fsyncBefore = measureFsync(folder, FSYNC_MS);
  const postgres = await openPostgres(folder, options.useDatabaseUrl ? process.env.DATABASE_URL : undefined);
  const arms = new Arms({ postgres, folder, profileDir: options.profile });
  // So that what is under way ends, and the parts with it.
  signal.addEventListener('abort', () => void Promise.all(generators.map((generator) => generator.stop())));
  try {
    const bench: Bench = {
      options,
      postgres,
      arms,
      startGenerator: () => {
        const generator = startGenerator();
        generators.push(generator);
        return generator;
      },
      progress,
      onWindow: () => {},
      signal,
    };
    const wants = (part: Options['parts'][number]): boolean => options.parts.includes(part);
    const write = wants('write') ? await measureWrite(bench) : [];
    const open = wants('open') ? await measureOpen(bench) : [];
    const fanout = wants('fanout') ? await measureFanout(bench) : [];
    return {
      machine,
      postgres: { version: postgres.version, settings: postgres.settings },
      options,
      fsync: { before: fsyncBefore, after: measureFsync(folder, FSYNC_MS) },
      load: { before: loadBefore, after: loadAverage() },
      write,
      open,
      fanout,
    };
  } finally {
    await Promise.all(generators.map((generator) => generator.stop()));
    await arms.stop();
    await postgres.stop();
  }
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) return console.log(USAGE);
  if (options.useDatabaseUrl && !process.env.DATABASE_URL) {
    throw new UsageError('--use-database-url: DATABASE_URL is not set.');
  }
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => stop.abort(new Error(`stopped by ${signal}`)));
  }
  const folder = await mkdtemp(join(tmpdir(), 'minutebook-bench-'));
  try {
    const results = await run(options, folder, stop.signal);
    console.log(describeResults(results));
    if (results.write.length > 0) console.log(`\n${writeTable(results.write)}`);
    if (results.open.length > 0) console.log(`\n${openTable(results.open)}`);
    if (results.fanout.length > 0) console.log(`\n${fanoutTable(results.fanout)}`);
    if (options.json !== undefined) await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof UsageError) console.error(`\n${USAGE}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
