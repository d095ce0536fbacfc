import { setTimeout as delay } from 'node:timers/promises';
import pg from 'pg';
import type { Arm, RunningArm } from '../arms.ts';
import type { CrowdState } from '../load/orders.ts';
import { residentBytesOf } from '../machine.ts';
import type { Generator } from '../processes.ts';
import type { Latency } from '../stats.ts';
import { digits } from '../table.ts';
import type { Bench } from './rounds.ts';

/** Connections that come and go before, so that what a first connection costs is not counted. */
const FIRST_CONNECTIONS = 200;
/** How long everything is left alone before memory is read, in warm-ups. */
const SETTLE_WARMUPS = 3;
const SPEAKERS = 100;

/** Resident memory of a server in bytes. */
export type Memory = {
  /** With no connection, after a garbage collection. */
  empty: number;
  /** With all connections, as it is. */
  full: number;
  /** With all connections, after a garbage collection. */
  collected: number;
  /** How long opening them took. */
  openSeconds: number;
};

/** How Minutebook got along with the idle connections, up to its end. */
export type IdleLife = {
  heldSeconds: number;
  before: CrowdState;
  join: Latency;
  message: Latency;
  stopSeconds: number;
  exit: number | string;
  /** How the connections saw the end. */
  after: CrowdState;
  /** Events in the log. */
  connected: number;
  disconnected: number;
  /** Sessions still open in the log. */
  left: number;
};

export type IdleResult = {
  connections: number;
  memory: { arm: Arm; rounds: Memory[] }[];
  life: IdleLife | null;
};

const residentBytes = (pids: readonly number[]): number =>
  pids.reduce((sum, pid) => sum + residentBytesOf(pid), 0);

const settle = ({ options, signal }: Bench): Promise<void> =>
  delay(SETTLE_WARMUPS * options.warmup * 1_000, undefined, { signal });

async function collectedBytes(bench: Bench, pids: readonly number[]): Promise<number> {
  for (const pid of pids) process.kill(pid, 'SIGWINCH');
  await settle(bench);
  return residentBytes(pids);
}

/** Opens the connections and leaves them open. */
async function measureMemory(
  bench: Bench,
  { target, pids }: RunningArm,
  generator: Generator,
): Promise<Memory> {
  const { idle: connections } = bench.options;
  await generator.do('hold', { target, connections: FIRST_CONNECTIONS });
  await generator.do('release', null);
  const empty = await collectedBytes(bench, pids);
  const { seconds } = await generator.do('hold', { target, connections });
  await settle(bench);
  const full = residentBytes(pids);
  return { empty, full, collected: await collectedBytes(bench, pids), openSeconds: seconds };
}

async function countEnds(url: string): Promise<Pick<IdleLife, 'connected' | 'disconnected' | 'left'>> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<Record<'connected' | 'disconnected' | 'left', string>>(`
      select count(*) filter (where action = 'CONNECTED') as connected,
        count(*) filter (where action = 'DISCONNECTED') as disconnected,
        (select count(*) from chat_session) as left
      from audit_event`);
    const [row] = rows;
    return {
      connected: Number(row?.connected),
      disconnected: Number(row?.disconnected),
      left: Number(row?.left),
    };
  } finally {
    await client.end();
  }
}

/** Holds the connections, lets some of them speak, and stops the server while all are open. */
async function liveOn(bench: Bench, server: RunningArm, generator: Generator): Promise<IdleLife> {
  const { holdSeconds, idle } = bench.options;
  await delay(holdSeconds * 1_000, undefined, { signal: bench.signal });
  const before = await generator.do('held', null);
  const { join, message } = await generator.do('speak', { speakers: Math.min(SPEAKERS, idle) });
  const stopping = performance.now();
  const exit = await server.stop();
  const stopSeconds = (performance.now() - stopping) / 1_000;
  // What the kernel still had for them.
  await settle(bench);
  const after = await generator.do('held', null);
  const ends = await countEnds(server.databaseUrl ?? '');
  return { heldSeconds: holdSeconds, before, join, message, stopSeconds, exit, after, ...ends };
}

/** Connections in no room: what each costs in memory, and that the server gets along with them. */
export async function measureIdle(bench: Bench): Promise<IdleResult> {
  const { options, progress, signal } = bench;
  const compared = options.arms.filter((arm) => arm === 'ws' || arm === 'minutebook');
  const memory: IdleResult['memory'] = compared.map((arm) => ({ arm, rounds: [] }));
  let life: IdleLife | null = null;
  for (let round = 0; round < options.rounds; round += 1) {
    for (const { arm, rounds } of memory) {
      signal.throwIfAborted();
      const server = await bench.arms.start(arm, { collectable: true });
      const generator = bench.startGenerator();
      const measured = await measureMemory(bench, server, generator);
      rounds.push(measured);
      const each = (measured.full - measured.empty) / options.idle / 1_024;
      progress(`idle, round ${round + 1}, ${options.idle} connections, ${arm}: ${digits(each)} KiB each`);
      if (arm === 'minutebook' && round === options.rounds - 1) life = await liveOn(bench, server, generator);
      else {
        await generator.do('release', null);
        await server.stop();
      }
      await generator.stop();
    }
  }
  return { connections: options.idle, memory, life };
}
