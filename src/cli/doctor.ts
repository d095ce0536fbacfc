import { existsSync } from 'node:fs';
import { join } from 'node:path';
import type { Command } from 'commander';
import { createClient, type Db } from '../../db/client.ts';
import {
  countMissing,
  readClocks,
  readInvalidIndexes,
  readRights,
  readSparePartitions,
} from '../../db/doctor.ts';
import { attachEmbedded } from '../../db/embedded/index.ts';
import { readLogState } from '../../db/events.ts';
import { migrationStatus } from '../../db/migrate.ts';
import { isIndexTrue, readNextBlock } from '../../db/search-index.ts';
import { checkDatabase } from '../../db/self-check.ts';
import { type Config, readConfig } from '../config.ts';
import { BLOCK_SIZE } from '../core/search/offsets.ts';
import { version } from '../version.ts';
import type { Context } from './context.ts';
import { exitCodes } from './exit.ts';
import { visible } from './lines.ts';
import { write } from './output.ts';

/** Events that one statement looks at, so that none holds a snapshot for long. */
const STEP = 250_000;
/** How many of the newest events are looked at for gaps unless all are asked for. */
const NEWEST = 10_000_000;
/** Blocks of the index that are compared with their events unless all are asked for. */
const SAMPLED_BLOCKS = 8;
const SPARE_PARTITIONS = 2;
/** How far clocks may differ, in milliseconds, before somebody should look at them. */
const MAX_CLOCK_MS = 1_000;
/** Promise 4: as readiness has it. */
const MAX_AHEAD_MS = 5_000;

type Level = 'ok' | 'warn' | 'fail';
type Finding = [level: Level, text: string];
type Check = { name: string; look: (db: Db) => Promise<Finding> };

type DoctorOptions = { all?: boolean };

async function lookAtSchema(db: Db): Promise<Finding> {
  const { applied, pending, unknown } = await migrationStatus(db);
  if (unknown.length > 0) return ['fail', `newer than this version: it has ${unknown.join(', ')}`];
  if (pending.length > 0)
    return ['fail', `not up to date: ${pending.join(', ')} missing; run “npm run db:migrate”`];
  return ['ok', `up to date (${applied.at(-1)})`];
}

const lookAtRights =
  (isEmbedded: boolean) =>
  async (db: Db): Promise<Finding> => {
    const { role, missing, excess } = await readRights(db);
    if (missing.length > 0)
      return ['fail', `${role} lacks the right to ${missing.join(', ')}; db/roles.sql gives it`];
    if (excess.length > 0 && !isEmbedded) {
      return [
        'warn',
        `${role} could change the log by itself (${excess.join(', ')}); db/roles.sql has a role that cannot`,
      ];
    }
    return ['ok', `${role} may read the log, and append by the owner’s functions`];
  };

async function lookAtClocks(db: Db): Promise<Finding> {
  // Once before, so that the time to connect is not part of it.
  await readClocks(db);
  const before = Date.now();
  const { databaseMs, logAheadMs } = await readClocks(db);
  const after = Date.now();
  // As little as it may be: the database looked at its clock at some time between.
  const difference = Math.max(before - databaseMs, databaseMs - after, 0);
  const seconds = (ms: number): string => (ms / 1_000).toFixed(1);
  if (logAheadMs > MAX_AHEAD_MS) {
    return [
      'warn',
      `the log’s time is ${seconds(logAheadMs)} s ahead of the database’s clock, which went back`,
    ];
  }
  if (difference > MAX_CLOCK_MS)
    return ['warn', `the database’s and this machine’s differ by ${seconds(difference)} s`];
  return ['ok', 'the database’s and this machine’s agree within a second'];
}

async function lookAtPartitions(db: Db): Promise<Finding> {
  const spare = await readSparePartitions(db);
  if (spare < 0) return ['fail', 'there is none for the next event: nothing can be written'];
  return [spare < SPARE_PARTITIONS ? 'warn' : 'ok', `${spare} spare`];
}

async function lookAtIndexes(db: Db): Promise<Finding> {
  const invalid = await readInvalidIndexes(db);
  return invalid.length === 0
    ? ['ok', 'all in use']
    : ['fail', `not in use: ${invalid.join(', ')}; run “reindex index concurrently” for each, as the owner`];
}

/** Blocks of the index, the newest first, and as far apart as they can be where only some are looked at. */
function sampleOf(first: number, end: number, most: number): number[] {
  const count = Math.min(most, Math.max(0, end - first));
  return Array.from({ length: count }, (_, n) => end - 1 - Math.floor((n * (end - first)) / count));
}

const lookAtSearch =
  (all: boolean, signal: AbortSignal) =>
  async (db: Db): Promise<Finding> => {
    const { firstSeq, nextSeq } = await readLogState(db);
    const next = await readNextBlock(db);
    // Of a block that is not kept whole, the index has more than the log.
    const first = Math.ceil(firstSeq / BLOCK_SIZE);
    const blocks = sampleOf(first, next, all ? Number.POSITIVE_INFINITY : SAMPLED_BLOCKS);
    for (const block of blocks) {
      signal.throwIfAborted();
      if (await isIndexTrue(db, block)) continue;
      const from = block * BLOCK_SIZE;
      return [
        'fail',
        `the index is not what the log gives from seq ${from} to ${from + BLOCK_SIZE - 1}: filters may miss events there`,
      ];
    }
    const behind = Math.floor(nextSeq / BLOCK_SIZE) - next;
    if (behind > 1) {
      return [
        'warn',
        `the index is ${behind * BLOCK_SIZE} events behind, so searches are slow; a running server makes it`,
      ];
    }
    const of = blocks.length < next - first ? ` of ${next - first}; --all looks at every one` : '';
    return ['ok', `the index is up to date; compared with the log in ${blocks.length} blocks${of}`];
  };

const lookForGaps =
  (all: boolean, signal: AbortSignal) =>
  async (db: Db): Promise<Finding> => {
    const { firstSeq, nextSeq } = await readLogState(db);
    const start = all ? firstSeq : Math.max(firstSeq, nextSeq - NEWEST);
    for (let from = start; from < nextSeq; from += STEP) {
      signal.throwIfAborted();
      const range = { from, to: Math.min(nextSeq, from + STEP) };
      const { events, batches } = await countMissing(db, range);
      if (events !== 0 || batches !== 0) {
        const where = `between seq ${range.from} and ${range.to}`;
        return ['fail', `${events} events and ${batches} numbers of batches are missing ${where}`];
      }
    }
    const looked = start === firstSeq ? '' : ` of the newest ${NEWEST}; --all looks at every one`;
    return ['ok', `none in ${nextSeq - start} events${looked}`];
  };

/** What is wrong with a check that could not be made. */
const failure = (error: Error): Finding => ['fail', error.message];

/** The database that a server with this configuration would use; undefined where it has not been made yet. */
async function openDatabase({ databaseUrl, dataDir }: Config) {
  // To look must not make one.
  if (databaseUrl === undefined && !existsSync(join(dataDir, 'postgres'))) return undefined;
  const embedded = databaseUrl === undefined ? await attachEmbedded(dataDir) : undefined;
  const db = createClient({
    url: databaseUrl ?? embedded?.url ?? '',
    applicationName: 'minutebook doctor',
    purpose: 'read',
    // Each check tells what it met.
    onError: () => {},
  });
  let closed: Promise<void> | undefined;
  const close = (): Promise<void> => {
    closed ??= db.destroy().then(() => embedded?.stop());
    return closed;
  };
  return { db, close };
}

async function doctor(
  { all = false }: DoctorOptions,
  { environment, signal, closers }: Context,
): Promise<void> {
  // Nothing listens here, so nothing depends on the address that the server will have.
  const config = readConfig({ ...environment, HOST: undefined });
  const isEmbedded = config.databaseUrl === undefined;
  async function report(name: string, [level, text]: Finding): Promise<void> {
    if (level === 'fail') process.exitCode = exitCodes.failed;
    await write(process.stdout, `${level.padEnd(4)}  ${name.padEnd(10)}  ${visible(text)}\n`);
  }
  const checks: Check[] = [
    { name: 'schema', look: lookAtSchema },
    { name: 'rights', look: lookAtRights(isEmbedded) },
    { name: 'clocks', look: lookAtClocks },
    { name: 'partitions', look: lookAtPartitions },
    { name: 'indexes', look: lookAtIndexes },
    { name: 'search', look: lookAtSearch(all, signal) },
    { name: 'gaps', look: lookForGaps(all, signal) },
  ];
  const opened = await openDatabase(config);
  if (opened === undefined) {
    return report('database', ['fail', `there is none in ${config.dataDir} yet; a first start makes it`]);
  }
  closers.add(opened.close);
  try {
    const facts = await checkDatabase(opened.db);
    const where = isEmbedded ? `embedded in ${config.dataDir}` : 'at DATABASE_URL';
    await report('versions', [
      'ok',
      `Minutebook ${version}, Node ${process.version}, Postgres ${facts.version}`,
    ]);
    await report('database', ['ok', `${where}; it keeps what it commits (fsync and the like are on)`]);
    for (const { name, look } of checks) {
      const finding = await look(opened.db).catch(failure);
      signal.throwIfAborted();
      await report(name, finding);
    }
  } catch (error) {
    // Nothing else can be looked at.
    if (signal.aborted) throw error;
    await report('database', failure(error as Error));
  } finally {
    await opened.close();
  }
}

/** `doctor`. */
export function addDoctorCommand(program: Command, context: Context): void {
  program
    .command('doctor')
    .summary('look whether the database is as it must be')
    .description(
      'Looks at the database that the server uses: its settings, schema, rights, clocks, partitions and indexes, and whether ' +
        `the log has gaps. Changes nothing. A line a check: ok, warn or fail. Exit code ${exitCodes.failed}: one failed.`,
    )
    .option('--all', `look for gaps in all events, not only in the newest ${NEWEST}, and at all of the index`)
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook doctor
  $ DATABASE_URL=postgres://minutebook_app:...@db.example.org/minutebook minutebook doctor --all`,
    )
    .action((options: DoctorOptions) => doctor(options, context));
}
