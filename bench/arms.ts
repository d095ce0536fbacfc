import { randomBytes } from 'node:crypto';
import { mkdir } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { limitVariables } from '../src/limits.ts';
import type { Target } from './load/orders.ts';
import { npmStart } from './npm-start.ts';
import type { BenchPostgres } from './postgres.ts';
import { ROOT, type RunningServer, type ServerCommand, startServer } from './processes.ts';

/** What is compared, in the order of the tables. */
export const arms = {
  ws: 'bare ws',
  fastify: 'bare @fastify/websocket',
  seed: 'INSERT per message, pool on demand',
  seed10: 'INSERT per message, pool of 10',
  minutebook: 'Minutebook',
} as const;
export type Arm = keyof typeof arms;
export const armNames = Object.keys(arms) as Arm[];

/** Connections left to everybody else on the same Postgres. */
const RESERVED_CONNECTIONS = 25;

/** A server to load, of one process or of several. */
export type RunningArm = {
  arm: Arm;
  target: Target;
  databaseUrl: string | undefined;
  pids: readonly number[];
  /** Stops its processes; resolves with 0, or with the end of one that did not end well. */
  stop: RunningServer['stop'];
};

export type ArmOptions = {
  postgres: BenchPostgres;
  /** For what the servers write; removed at the end. */
  folder: string;
  /** Where Minutebook's CPU profiles go; undefined: none are made. */
  profileDir: string | undefined;
};

export type StartOptions = {
  /** A message goes to everybody, not back to its sender; for `ws` only. */
  broadcast?: boolean;
  /** It collects its garbage when told to (SIGWINCH). */
  collectable?: boolean;
  /** So many processes on one database; for `minutebook` only. */
  instances?: number;
  /** Environment variables beside those that all have; for `minutebook` only. */
  env?: Record<string, string>;
};

/** The table of a program that keeps its log as it goes: four columns, and plain indexes. */
async function createSeedTable(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await client.query(`
      create table message (
        id bigserial primary key,
        "user" text not null,
        message text not null,
        timestamp timestamptz not null default now()
      );
      create index message_user on message ("user");
      create index message_timestamp on message (timestamp);`);
  } finally {
    await client.end();
  }
}

/** All that can be switched off: the load comes from one address, and is there to be as heavy as it can. */
export const limitsOff = Object.fromEntries(
  Object.entries(limitVariables)
    .filter(([, schema]) => new RegExp((schema as { pattern?: string }).pattern ?? '').test('0'))
    .map(([name]) => [name, '0']),
);

/**
 * Starts the servers of a run; each arm keeps its database for as long as the run lasts, and has another one for
 * another number of instances.
 */
export class Arms {
  readonly #options: ArmOptions;
  readonly #databases = new Map<string, Promise<string>>();
  readonly #running = new Set<RunningServer>();
  readonly #pids: [Arm, number][] = [];

  constructor(options: ArmOptions) {
    this.#options = options;
  }

  async start(arm: Arm, how: StartOptions = {}): Promise<RunningArm> {
    const { instances = 1, collectable = false } = how;
    const secret = arm === 'minutebook' ? randomBytes(32).toString('hex') : null;
    const name = instances === 1 ? arm : `${arm}_${instances}`;
    const databaseUrl = await this.#databaseOf(arm, name);
    const collect = collectable ? ['--import', join(ROOT, 'bench/servers/collect.ts')] : [];
    const servers: RunningServer[] = [];
    for (let index = 0; index < instances; index += 1) {
      const dataDir = join(this.#options.folder, `${name}-${index}`);
      const command = await this.#commandOf(arm, how, databaseUrl ?? '', secret ?? '', dataDir);
      const server = await startServer({ ...command, args: [...collect, ...command.args] });
      this.#running.add(server);
      this.#pids.push([arm, server.pid]);
      servers.push(server);
    }
    return {
      arm,
      databaseUrl,
      pids: servers.map(({ pid }) => pid),
      target: { ports: servers.map(({ port }) => port), secret, chat: arm === 'minutebook' },
      stop: async () => {
        const exits = await Promise.all(servers.map((server) => this.#stopOne(server)));
        return exits.find((exit) => exit !== 0) ?? 0;
      },
    };
  }

  /** Every process that has run for this arm. */
  pidsOf(arm: Arm): number[] {
    return this.#pids.filter(([one]) => one === arm).map(([, pid]) => pid);
  }

  /** Stops all that still run. */
  async stop(): Promise<void> {
    await Promise.all([...this.#running].map((server) => this.#stopOne(server)));
  }

  #stopOne(server: RunningServer): ReturnType<RunningServer['stop']> {
    this.#running.delete(server);
    return server.stop();
  }

  #databaseOf(arm: Arm, name: string): Promise<string | undefined> {
    if (arm === 'ws' || arm === 'fastify') return Promise.resolve(undefined);
    const make = async (): Promise<string> => {
      const url = await this.#options.postgres.createDatabase(name);
      if (arm !== 'minutebook') await createSeedTable(url);
      return url;
    };
    const database = this.#databases.get(name) ?? make();
    this.#databases.set(name, database);
    return database;
  }

  async #commandOf(
    arm: Arm,
    { broadcast = false, env = {} }: StartOptions,
    DATABASE_URL: string,
    JWT_SECRET: string,
    DATA_DIR: string,
  ): Promise<ServerCommand> {
    const { folder, postgres, profileDir } = this.#options;
    const script = (name: string): string => join(ROOT, 'bench/servers', name);
    const plain = { name: arms[arm], cwd: folder, env: {} };
    switch (arm) {
      case 'ws':
        return { ...plain, args: [script(broadcast ? 'ws-broadcast.ts' : 'ws-echo.ts')] };
      case 'fastify':
        return { ...plain, args: [script('fastify-echo.ts')] };
      case 'seed': {
        const POOL = `on-demand ${postgres.maxConnections - RESERVED_CONNECTIONS}`;
        return { ...plain, args: [script('seed.ts')], env: { DATABASE_URL, POOL } };
      }
      case 'seed10':
        return { ...plain, args: [script('seed.ts')], env: { DATABASE_URL, POOL: '10' } };
      case 'minutebook': {
        await mkdir(DATA_DIR, { recursive: true });
        const profile =
          profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${resolve(profileDir)}`];
        return {
          ...plain,
          args: [...profile, ...npmStart.args],
          env: { ...npmStart.env, ...limitsOff, ...env, DATABASE_URL, DATA_DIR, PORT: '0', JWT_SECRET },
        };
      }
    }
  }
}
