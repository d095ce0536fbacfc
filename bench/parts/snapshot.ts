import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';
import type { RunningArm } from '../arms.ts';
import type { Slice } from '../load/orders.ts';
import type { Generator } from '../processes.ts';
import { rateOf } from '../slices.ts';
import { ratios, type Spread } from '../stats.ts';
import { digits } from '../table.ts';
import { type Bench, windowOf } from './rounds.ts';

const CONNECTIONS = 50;
const MINUTE_MS = 60_000;
const DUMP_START_MS = 20_000;

export type SnapshotResult = {
  minutes: number;
  before: Slice[];
  /** One a minute, with the age of the snapshot. */
  meanwhile: { ageSeconds: number; slice: Slice }[];
  /** At the end of the time, the snapshot still open. */
  end: Slice[];
  /** Then with pg_dump's as well; empty when there was none. */
  dump: Slice[];
  /** Why there was no pg_dump. */
  noDump: string | null;
  after: Slice[];
  /** The rate at the end against the mean of those before and after. */
  ratio: Spread | null;
  dumpRatio: Spread | null;
};

/** A transaction that sees the database as it is now, for as long as it is open. */
async function openSnapshot(url: string): Promise<pg.Client> {
  const client = new pg.Client({ connectionString: url, application_name: 'minutebook bench snapshot' });
  client.on('error', () => {});
  await client.connect();
  await client.query('begin isolation level repeatable read');
  await client.query('select count(*) from audit_batch');
  return client;
}

/** Why the pg_dump of this machine cannot be used; null when it can. */
async function dumpTrouble(serverVersion: string): Promise<string | null> {
  try {
    const { stdout } = await promisify(execFile)('pg_dump', ['--version']);
    const major = Number(/(\d+)/.exec(stdout)?.[1]);
    return major >= Number.parseInt(serverVersion, 10)
      ? null
      : `pg_dump ${major} is older than Postgres ${serverVersion}, and refuses it`;
  } catch {
    return 'there is no pg_dump on this machine';
  }
}

/** A pg_dump that nobody reads from, so that it stands still in the middle with its snapshot and its locks. */
async function startDump(url: string, snapshot: pg.Client): Promise<ChildProcess> {
  const { hostname, port, username, password, pathname } = new URL(url);
  const { PATH = '' } = process.env;
  const child = spawn('pg_dump', ['--format=plain'], {
    stdio: ['ignore', 'pipe', 'pipe'],
    env: {
      PATH,
      PGHOST: hostname,
      PGPORT: port || '5432',
      PGUSER: decodeURIComponent(username),
      PGPASSWORD: decodeURIComponent(password),
      PGDATABASE: pathname.slice(1),
    },
  });
  let complaints = '';
  child.stderr.on('data', (chunk: Buffer) => {
    complaints += chunk.toString();
  });
  const deadline = performance.now() + DUMP_START_MS;
  for (;;) {
    // Else a transaction would see the same activity for ever.
    await snapshot.query('select pg_stat_clear_snapshot()');
    const { rows } = await snapshot.query<{ query: string }>(
      `select query from pg_stat_activity
       where application_name = 'pg_dump' and datname = current_database() and query ~* '^copy'`,
    );
    if (rows.length > 0) return child;
    if (child.exitCode !== null || performance.now() > deadline) {
      child.kill();
      throw new Error(`pg_dump did not come to copy anything (exit code ${child.exitCode}): ${complaints}`);
    }
    await delay(50);
  }
}

/** The rates of some slices against those without a snapshot, before and after. */
export function against(
  slices: readonly Slice[],
  before: readonly Slice[],
  after: readonly Slice[],
): Spread | null {
  const control = before.map((slice, round) => {
    const later = after[round];
    return later === undefined ? rateOf(slice) : (rateOf(slice) + rateOf(later)) / 2;
  });
  return ratios(slices.map(rateOf), control);
}

/** Writing while somebody else keeps a snapshot open, which keeps every dead row version since. */
class SnapshotPart {
  readonly #bench: Bench;
  readonly #server: RunningArm;
  readonly #generator: Generator;

  constructor(bench: Bench, server: RunningArm, generator: Generator) {
    this.#bench = bench;
    this.#server = server;
    this.#generator = generator;
  }

  async slice(when: string): Promise<Slice> {
    this.#bench.signal.throwIfAborted();
    await this.#bench.postgres.checkpoint();
    const slice = await this.#generator.do('closed', {
      target: this.#server.target,
      connections: CONNECTIONS,
      ...windowOf(this.#bench, this.#server),
    });
    this.#bench.onSlice('minutebook', slice.window);
    this.#bench.progress(`snapshot, ${when}: ${digits(rateOf(slice))}/s`);
    return slice;
  }

  async slices(when: string): Promise<Slice[]> {
    const all: Slice[] = [];
    for (let round = 0; round < this.#bench.options.rounds; round += 1) all.push(await this.slice(when));
    return all;
  }

  /** A lone sender, who makes a batch of each message: the most commits, so the most that a snapshot keeps. */
  async age(ms: number): Promise<void> {
    this.#bench.signal.throwIfAborted();
    const window = windowOf(this.#bench, this.#server);
    await this.#generator.do('closed', {
      target: this.#server.target,
      connections: 1,
      ...window,
      warmMs: 0,
      ms,
    });
  }

  async run(): Promise<SnapshotResult> {
    const { options, postgres } = this.#bench;
    const { databaseUrl: url = '' } = this.#server;
    const before = await this.slices('before');
    const snapshot = await openSnapshot(url);
    try {
      const openedAt = performance.now();
      const age = (): number => performance.now() - openedAt;
      const meanwhile: SnapshotResult['meanwhile'] = [];
      const sliceMs = (options.seconds + options.warmup) * 1_000;
      const endAt = options.snapshotMinutes * MINUTE_MS - options.rounds * sliceMs;
      while (age() < endAt) {
        await this.age(Math.min(MINUTE_MS - sliceMs, endAt - age()));
        if (age() >= endAt) break;
        const ageSeconds = Math.round(age() / 1_000);
        meanwhile.push({ ageSeconds, slice: await this.slice(`open for ${ageSeconds} s`) });
      }
      const end = await this.slices(`open for ${Math.round(age() / 1_000)} s`);
      const noDump = await dumpTrouble(postgres.version);
      let dump: Slice[] = [];
      if (noDump === null) {
        const child = await startDump(url, snapshot);
        try {
          dump = await this.slices('with pg_dump as well');
        } finally {
          child.kill();
        }
      }
      await snapshot.query('rollback');
      const after = await this.slices('after');
      return {
        minutes: options.snapshotMinutes,
        before,
        meanwhile,
        end,
        dump,
        noDump,
        after,
        ratio: against(end, before, after),
        dumpRatio: against(dump, before, after),
      };
    } finally {
      await snapshot.end();
    }
  }
}

export async function measureSnapshot(bench: Bench): Promise<SnapshotResult | null> {
  if (!bench.options.arms.includes('minutebook')) return null;
  const generator = bench.startGenerator();
  const server = await bench.arms.start('minutebook');
  const result = await new SnapshotPart(bench, server, generator).run();
  await server.stop();
  await generator.stop();
  return result;
}
