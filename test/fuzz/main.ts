import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { readOptions, USAGE, UsageError } from './options.ts';
import { describe } from './report.ts';
import { run } from './run.ts';

async function main(): Promise<void> {
  const options = readOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  if (process.platform !== 'linux') {
    throw new Error('The fuzzer reads what the server holds from /proc, so it runs on Linux only.');
  }
  const folder = await mkdtemp(join(tmpdir(), 'minutebook-fuzz-'));
  try {
    const findings = await run(options, folder, (line) => console.error(line));
    console.log(describe(findings));
    if (findings.faults.length > 0) process.exitCode = 1;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

try {
  await main();
} catch (error) {
  console.error(error instanceof UsageError ? error.message : error);
  if (error instanceof UsageError) console.error(`\n${USAGE}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
