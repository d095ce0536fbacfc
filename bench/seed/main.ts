import { attachEmbedded } from '../../db/embedded/index.ts';
import { readConfig } from '../../src/config.ts';
import { loadDotenv } from '../../src/dotenv.ts';
import { UsageError } from '../options.ts';
import { readSeedOptions, USAGE } from './options.ts';
import { seedDatabase } from './run.ts';

const PROGRESS = 1_000_000;

async function main(): Promise<void> {
  const options = readSeedOptions(process.argv.slice(2));
  if (options === undefined) {
    console.log(USAGE);
    return;
  }
  const { events, seed } = options;
  loadDotenv();
  // Nothing listens here, so nothing depends on the address that the server will have.
  const { databaseUrl = options.databaseUrl, dataDir } = readConfig({
    ...process.env,
    HOST: undefined,
    ...(options.databaseUrl === undefined ? {} : { DATABASE_URL: options.databaseUrl }),
  });
  const embedded = databaseUrl === undefined ? await attachEmbedded(dataDir) : undefined;
  const startedAt = performance.now();
  let told = 0;
  const onProgress = (done: number): void => {
    if (done - told < PROGRESS) return;
    told = done;
    console.error(`  ${done.toLocaleString('en-US')} events`);
  };
  try {
    await seedDatabase(databaseUrl ?? embedded?.url ?? '', { events, seed, onProgress });
  } finally {
    await embedded?.stop();
  }
  const seconds = (performance.now() - startedAt) / 1_000;
  const rate = Math.round(events / seconds).toLocaleString('en-US');
  console.log(`${events.toLocaleString('en-US')} events in ${seconds.toFixed(1)} s: ${rate} a second.`);
}

try {
  await main();
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  if (error instanceof UsageError) console.error(`\n${USAGE}`);
  process.exitCode = error instanceof UsageError ? 2 : 1;
}
