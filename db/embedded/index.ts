import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdir, open, readFile, realpath, rename, rm, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import { SetupError } from '../../src/core/setup-error.ts';
import { type Binaries, findBinaries } from './binaries.ts';
import { lockDataDir, tryLockDataDir } from './lock.ts';
import { findPostmaster, stopPostmaster, waitUntilReady } from './postmaster.ts';
import { clusterUser, giveTo, runAs } from './user.ts';

/** A running Postgres of our own. */
export type EmbeddedPostgres = {
  url: string;
  /** Stops what was started here and gives the data folder back. */
  stop: () => Promise<void>;
};

export type EmbeddedOptions = {
  /** Postgres ended without being told to and was started again. */
  onRestart?: (exitCode: number | null) => void;
  /** More connections than a server of our own needs, for tools that bring other programs along. */
  maxConnections?: number;
};

const USER = 'minutebook';
const PASSWORD_FILE = 'minutebook-password';
const RESTART_DELAY_MS = 200;
const PORT_ATTEMPTS = 3;
const STOP_TIMEOUT_MS = 8_000;
const MAX_CONNECTIONS = 50;

/** Settings of the server; durability is said aloud, and statements never reach its log, for they hold messages. */
const settings = (port: number, maxConnections: number): string[] =>
  [
    `port=${port}`,
    'listen_addresses=127.0.0.1',
    'unix_socket_directories=',
    'fsync=on',
    'synchronous_commit=on',
    'full_page_writes=on',
    `max_connections=${maxConnections}`,
    'log_min_error_statement=panic',
    'log_error_verbosity=terse',
  ].flatMap((setting) => ['-c', setting]);

/** A port that is free now: the one asked for, or any for 0. Rejects when it is taken. */
async function freePort(wanted = 0): Promise<number> {
  return new Promise((done, fail) => {
    const server = createServer();
    server.once('error', fail);
    server.listen(wanted, '127.0.0.1', () => {
      const address = server.address();
      server.close(() => done(typeof address === 'object' && address !== null ? address.port : 0));
    });
  });
}

const urlFor = (password: string, port: number, database = 'postgres'): string =>
  `postgres://${USER}:${password}@127.0.0.1:${port}/${database}`;

/** Makes a new cluster beside its final place and moves it there whole, so that a half-made one is never used. */
async function initialise(binaries: Binaries, clusterDir: string): Promise<void> {
  const making = `${clusterDir}.new`;
  await rm(making, { recursive: true, force: true });
  await mkdir(making, { mode: 0o700 });
  const user = await clusterUser(making);
  await giveTo(user, making);
  const password = randomBytes(24).toString('hex');
  const passwordFile = `${making}-password`;
  await writeFile(passwordFile, password, { mode: 0o600 });
  const { file, args } = runAs(user, {
    file: binaries.initdb,
    args: [
      '-D',
      making,
      '-U',
      USER,
      '-E',
      'UTF8',
      '--locale=C',
      '-A',
      'scram-sha-256',
      `--pwfile=${passwordFile}`,
    ],
  });
  try {
    await promisify(execFile)(file, args, { cwd: '/', env: cleanEnv() });
  } catch (error) {
    const { stderr = '', code } = error as { stderr?: string; code?: string };
    const why =
      code === 'ENOENT'
        ? 'the command “setpriv” (package util-linux) is missing'
        : stderr.trim().split('\n').at(-1);
    throw new SetupError(`The embedded Postgres cannot be set up in ${clusterDir}: ${why}`, error);
  }
  await rename(passwordFile, join(making, PASSWORD_FILE));
  await rename(making, clusterDir);
}

/** The environment for Postgres: nothing of ours, for PGDATA and its like would change what it does. */
const cleanEnv = (): NodeJS.ProcessEnv => ({ PATH: process.env.PATH, LANG: 'C', TZ: 'UTC' });

/** Whether there is a cluster; refuses one of another major version. */
async function checkVersion(binaries: Binaries, clusterDir: string): Promise<boolean> {
  const version = await readFile(join(clusterDir, 'PG_VERSION'), 'utf8').catch(() => undefined);
  if (version === undefined) return false;
  if (version.trim() !== binaries.major) {
    throw new SetupError(
      `${clusterDir} was made by Postgres ${version.trim()}, but this Minutebook brings Postgres ${binaries.major}. ` +
        'Carry it over by dump and restore: docs/operations.md, “Upgrade the embedded Postgres”.',
    );
  }
  return true;
}

type Running = {
  child: ChildProcess;
  exited: Promise<number | null>;
  /** It answers; rejected when it ended before. */
  ready: Promise<void>;
};

/** Resolves as soon as there is a process. */
async function spawnPostgres(
  binaries: Binaries,
  clusterDir: string,
  port: number,
  url: string,
  maxConnections: number,
): Promise<Running> {
  const log = await open(join(clusterDir, '..', 'postgres.log'), 'a', 0o600);
  const { file, args } = runAs(await clusterUser(clusterDir), {
    file: binaries.postgres,
    args: ['-D', clusterDir, ...settings(port, maxConnections)],
  });
  // In a session of its own: Ctrl-C goes to the whole process group of the terminal, and Postgres must live on
  // until SERVER_STOPPED is written.
  const child = spawn(file, args, {
    detached: true,
    stdio: ['ignore', log.fd, log.fd],
    cwd: clusterDir,
    env: cleanEnv(),
  });
  const exited = new Promise<number | null>((done) => {
    child.once('exit', done);
    child.once('error', () => done(null));
  });
  await log.close();
  const gone = exited.then((code) => {
    throw new SetupError(
      `The embedded Postgres ended at its start (exit code ${code}); see ${join(clusterDir, '..', 'postgres.log')}.`,
    );
  });
  gone.catch(() => {});
  const ready = waitUntilReady(url, gone);
  ready.catch(() => {});
  return { child, exited, ready };
}

/** Stops what was started here in good order (SIGINT: “fast”), however far it has come, and waits for its end. */
async function endPostgres({ child, exited }: Running): Promise<void> {
  child.ref();
  child.kill('SIGINT');
  const timer = new AbortController();
  const late = delay(STOP_TIMEOUT_MS, true, { signal: timer.signal }).catch(() => false);
  const isLate = await Promise.race([exited.then(() => false), late]);
  timer.abort();
  if (isLate) throw new Error(`Postgres (process ${child.pid}) does not stop.`);
}

/** Runs the cluster, and starts it again should it end without being told to. */
async function superviseCluster(
  binaries: Binaries,
  clusterDir: string,
  options: EmbeddedOptions,
): Promise<EmbeddedPostgres> {
  // One that a killed server left behind; ours replaces it, so that it has today's settings and a parent.
  await stopPostmaster(clusterDir);
  const password = (await readFile(join(clusterDir, PASSWORD_FILE), 'utf8')).trim();
  let port = await freePort();
  let url = urlFor(password, port);
  let stopping = false;
  /** The latest, which may still be on its way up when it is to be stopped. */
  let latest: Promise<Running>;

  const start = async (): Promise<Running> => {
    latest = spawnPostgres(binaries, clusterDir, port, url, options.maxConnections ?? MAX_CONNECTIONS);
    const running = await latest;
    try {
      await running.ready;
    } catch (error) {
      // Else it would stand in the way of the next one.
      await endPostgres(running);
      throw error;
    }
    return running;
  };
  const watch = ({ child, exited }: Running): void => {
    child.unref();
    void exited.then(async (code) => {
      while (!stopping) {
        options.onRestart?.(code);
        await delay(RESTART_DELAY_MS);
        if (stopping) return;
        try {
          return watch(await start());
        } catch {
          // Tried again, and told through onRestart, for as long as the server runs; meanwhile it is not ready.
        }
      }
    });
  };
  const startFirst = async (): Promise<Running> => {
    for (let attempt = 1; ; attempt += 1) {
      try {
        return await start();
      } catch (error) {
        const isOurs = attempt === PORT_ATTEMPTS || (await freePort(port).catch(() => 0)) === port;
        if (isOurs) throw error;
        // Somebody else took the port between our asking and Postgres’s listening.
        port = await freePort();
        url = urlFor(password, port);
      }
    }
  };
  watch(await startFirst());

  return {
    url,
    stop: async () => {
      stopping = true;
      // A spawn that failed leaves nothing to stop.
      const running = await latest.catch(() => undefined);
      if (running !== undefined) await endPostgres(running);
    },
  };
}

async function prepare(dataDir: string): Promise<{ binaries: Binaries; clusterDir: string }> {
  const binaries = await findBinaries();
  // A path without symbolic links: a server left behind is known by it, whichever way we came.
  const clusterDir = join(await realpath(dataDir), 'postgres');
  if (!(await checkVersion(binaries, clusterDir))) await initialise(binaries, clusterDir);
  return { binaries, clusterDir };
}

async function makeDataDir(dataDir: string): Promise<void> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 }).catch((error: NodeJS.ErrnoException) => {
    throw new SetupError(
      `The data folder ${dataDir} cannot be made (${error.code}). Set DATA_DIR to another.`,
      error,
    );
  });
}

/**
 * Runs a real Postgres in `dataDir/postgres` for this process alone, on a free port of the loopback address.
 *
 * @throws SetupError when another server has the folder, or Postgres cannot be run
 */
export async function startEmbedded(
  dataDir: string,
  options: EmbeddedOptions = {},
): Promise<EmbeddedPostgres> {
  await makeDataDir(dataDir);
  const lock = await lockDataDir(dataDir);
  try {
    const { binaries, clusterDir } = await prepare(dataDir);
    const postgres = await superviseCluster(binaries, clusterDir, options);
    return { url: postgres.url, stop: () => postgres.stop().finally(lock.release) };
  } catch (error) {
    await lock.release();
    throw error;
  }
}

/**
 * Reaches the Postgres of a data folder for a short task: the running server's, if there is one, else one
 * started for the task.
 */
export async function attachEmbedded(dataDir: string): Promise<EmbeddedPostgres> {
  await makeDataDir(dataDir);
  const lock = await tryLockDataDir(dataDir);
  if (lock !== undefined) {
    await lock.release();
    return startEmbedded(dataDir);
  }
  const clusterDir = join(await realpath(dataDir), 'postgres');
  const running = await findPostmaster(clusterDir);
  if (running === undefined)
    throw new SetupError(`The server on ${dataDir} is starting or stopping; try again.`);
  const password = (await readFile(join(clusterDir, PASSWORD_FILE), 'utf8')).trim();
  return { url: urlFor(password, running.port), stop: async () => {} };
}
