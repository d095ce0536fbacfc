import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { openFilesLimit } from './machine.ts';
import { type Options, readOptions, USAGE, UsageError } from './options.ts';
import { describeProfile } from './profile.ts';
import { describeResults } from './report.ts';
import { run } from './run.ts';

/** Files that a process has open besides its connections. */
const OTHER_FILES = 200;

/** Said before half an hour has gone by. */
async function checkOptions(options: Options): Promise<void> {
  const { useDatabaseUrl, json, profile } = options;
  if (useDatabaseUrl && !process.env.DATABASE_URL) {
    throw new UsageError('--use-database-url: DATABASE_URL is not set.');
  }
  if (process.platform !== 'linux') {
    throw new Error('The bench reads CPU and memory from /proc, so it runs on Linux only.');
  }
  const sockets = Math.max(
    ...options.connections,
    options.parts.includes('fanout') ? options.members : 0,
    options.parts.includes('idle') ? options.idle : 0,
  );
  if (sockets + OTHER_FILES > openFilesLimit()) {
    throw new UsageError(
      `${sockets} connections need “ulimit -n ${sockets + OTHER_FILES}”; it is ${openFilesLimit()}.`,
    );
  }
  if (profile !== undefined) await mkdir(profile, { recursive: true });
  if (json !== undefined) {
    await writeFile(json, '').catch((error: Error) => {
      throw new UsageError(`--json: ${error.message}`);
    });
  }
}

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  await checkOptions(options);
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => stop.abort(new Error(`Stopped by ${signal}.`)));
  }
  // Whatever else would end the process must not leave servers behind; a closed pipe, too, comes as an error.
  for (const fault of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(fault, (error: Error) => stop.abort(error));
  }
  const folder = await mkdtemp(join(tmpdir(), 'minutebook-bench-'));
  try {
    const { results, profile } = await run(options, folder, stop.signal);
    console.log(describeResults(results));
    if (profile !== undefined) console.log(`\n${describeProfile(profile)}`);
    if (options.json !== undefined) {
      await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
      console.log(`\nEverything measured is in ${resolve(options.json)}.`);
    }
    if (results.stopped !== null) throw new Error(`Not everything was measured: ${results.stopped}`);
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
