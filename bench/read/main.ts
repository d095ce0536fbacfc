import { writeFile } from 'node:fs/promises';
import { resolve } from 'node:path';
import { UsageError } from '../options.ts';
import { readOptions, USAGE } from './options.ts';
import { describeReads } from './report.ts';
import { runReads } from './run.ts';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  if (process.platform !== 'linux') {
    throw new Error('The bench reads memory from /proc, so it runs on Linux only.');
  }
  if (options.json !== undefined) await writeFile(options.json, '');
  const stop = new AbortController();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) {
    process.on(signal, () => stop.abort(new Error(`Stopped by ${signal}.`)));
  }
  // Whatever else would end the process must not leave servers behind; a closed pipe, too, comes as an error.
  for (const fault of ['uncaughtException', 'unhandledRejection'] as const) {
    process.on(fault, (error: Error) => stop.abort(error));
  }
  const results = await runReads(options, (text) => console.error(`  ${text}`), stop.signal);
  console.log(describeReads(results));
  if (options.json !== undefined) {
    await writeFile(options.json, `${JSON.stringify(results, null, 2)}\n`);
    console.log(`\nEverything measured is in ${resolve(options.json)}.`);
  }
  if (results.stopped !== null) throw new Error(`Not everything was measured: ${results.stopped}`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof UsageError) console.error(`\n${USAGE}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
