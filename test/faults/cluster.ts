import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { findBinaries } from '../../db/embedded/binaries.ts';
import { clusterUser, giveTo, runAs } from '../../db/embedded/user.ts';
import { temporaryFolder } from '../support/app.ts';
import { until } from '../support/client.ts';
import { query } from '../support/postgres.ts';

const USER = 'faults';
const STARTED_MS = 20_000;

export type ClusterOptions = {
  /** Settings beside those of durability, which are always on. */
  settings?: Record<string, string>;
  /** Where its files live; a temporary folder unless given. */
  dir?: string;
  /** More words for initdb. */
  initdb?: string[];
  /** A network namespace to run in, and the address that it has there. */
  network?: { namespace: string; address: string };
};

async function freePort(): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

/** The children of a process. */
export async function childrenOf(pid: number): Promise<number[]> {
  const text = await readFile(`/proc/${pid}/task/${pid}/children`, 'utf8').catch(() => '');
  return text.split(' ').filter(Boolean).map(Number);
}

const environment = (): NodeJS.ProcessEnv => ({ PATH: process.env.PATH, LANG: 'C', TZ: 'UTC' });

/** A Postgres that belongs to one test, to be killed, stopped, starved and set back. */
export class Cluster {
  readonly dataDir: string;
  /** A superuser’s URL of the database `postgres`. */
  readonly url: string;
  readonly #options: ClusterOptions;
  readonly #port: number;
  readonly #logFile: string;
  /** Undefined before the first start. */
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  private constructor(dir: string, port: number, password: string, options: ClusterOptions) {
    this.dataDir = join(dir, 'cluster');
    this.#logFile = join(dir, 'postgres.log');
    this.#port = port;
    this.#options = options;
    this.url = `postgres://${USER}:${password}@${options.network?.address ?? '127.0.0.1'}:${port}/postgres`;
  }

  /** Makes a cluster and starts it; stopped and removed when the test ends. */
  static async create(t: Test, options: ClusterOptions = {}): Promise<Cluster> {
    const dir = options.dir ?? (await temporaryFolder(t));
    const password = randomBytes(16).toString('hex');
    const cluster = new Cluster(dir, await freePort(), password, options);
    await cluster.#initialise(join(dir, 'password'), password);
    t.teardown(() => cluster.kill());
    await cluster.start();
    return cluster;
  }

  async #initialise(passwordFile: string, password: string): Promise<void> {
    const { initdb } = await findBinaries();
    await mkdir(this.dataDir, { mode: 0o700 });
    const user = await clusterUser(this.dataDir);
    await giveTo(user, this.dataDir);
    await writeFile(passwordFile, password, { mode: 0o600 });
    const words = ['-D', this.dataDir, '-U', USER, '-E', 'UTF8', '--locale=C', '-A', 'scram-sha-256', '-N'];
    const more = [`--pwfile=${passwordFile}`, ...(this.#options.initdb ?? [])];
    const { file, args } = runAs(user, { file: initdb, args: [...words, ...more] });
    await promisify(execFile)(file, args, { cwd: '/', env: environment() });
    if (this.#options.network !== undefined) {
      const access = await open(join(this.dataDir, 'pg_hba.conf'), 'a');
      await access.write('host all all 0.0.0.0/0 scram-sha-256\n');
      await access.close();
    }
  }

  /** The postmaster's process. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#child !== undefined && this.#child.exitCode === null && this.#child.signalCode === null;
  }

  /** Starts it unless it runs; resolves when it answers. */
  async start(): Promise<void> {
    if (!this.isRunning) await this.#spawn();
    // Whatever it says while it recovers, or is struck down once more.
    await until(
      'Postgres answers',
      async () => {
        if (!this.isRunning) throw new Error(`Postgres ended: ${await this.#lastWords()}`);
        return query(this.url, 'select 1').then(
          () => true,
          () => false,
        );
      },
      STARTED_MS,
    );
  }

  async #lastWords(): Promise<string> {
    return (await readFile(this.#logFile, 'utf8')).slice(-1_000);
  }

  async #spawn(): Promise<void> {
    const { postgres } = await findBinaries();
    const { settings = {}, network } = this.#options;
    const all: Record<string, string> = {
      port: String(this.#port),
      listen_addresses: network?.address ?? '127.0.0.1',
      unix_socket_directories: '',
      wal_sync_method: 'fdatasync',
      max_connections: '60',
      ...settings,
    };
    const words = Object.entries(all).flatMap(([name, value]) => ['-c', `${name}=${value}`]);
    const run = runAs(await clusterUser(this.dataDir), {
      file: postgres,
      args: ['-D', this.dataDir, ...words],
    });
    const { file, args } =
      network === undefined
        ? run
        : { file: 'nsenter', args: [`--net=/run/netns/${network.namespace}`, '--', run.file, ...run.args] };
    const log = await open(this.#logFile, 'a');
    const child = spawn(file, args, {
      detached: true,
      stdio: ['ignore', log.fd, log.fd],
      env: environment(),
    });
    await log.close();
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      child.once('exit', () => resolve());
      child.once('error', () => resolve());
    });
  }

  /** Every process of it, the postmaster first. */
  async pids(): Promise<number[]> {
    return this.isRunning ? [this.pid, ...(await childrenOf(this.pid))] : [];
  }

  /** Ends it as `pg_ctl stop -m` does. */
  async stop(mode: 'fast' | 'immediate' = 'fast'): Promise<void> {
    if (!this.isRunning) return;
    process.kill(this.pid, mode === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await this.#exited;
  }

  /** kill -9 of the postmaster; its children see that and end by themselves, which is waited for. */
  async kill(): Promise<void> {
    if (!this.isRunning) return;
    const children = await childrenOf(this.pid);
    for (const pid of [this.pid, ...children]) signal(pid, 'SIGCONT');
    process.kill(this.pid, 'SIGKILL');
    await this.#exited;
    await until('the children of the postmaster have ended', () => children.every((pid) => !isAlive(pid)));
  }

  /** Copies its files, while it is stopped. */
  async copyTo(dir: string): Promise<void> {
    await promisify(execFile)('cp', ['-a', this.dataDir, dir]);
  }

  /** Puts a copy in the place of its files, while it is stopped. */
  async restoreFrom(dir: string): Promise<void> {
    await rm(this.dataDir, { recursive: true });
    await rename(dir, this.dataDir);
  }
}

export function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

/** Sends a signal to a process that may be gone already. */
export function signal(pid: number, name: NodeJS.Signals): void {
  if (isAlive(pid)) process.kill(pid, name);
}
