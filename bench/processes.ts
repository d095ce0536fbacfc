import { type ChildProcess, fork, spawn } from 'node:child_process';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import type { Kind, Orders, Reply, Request } from './load/orders.ts';

export const ROOT = join(import.meta.dirname, '..');
const START_MS = 60_000;
/** Longer than Minutebook may take to shut down. */
const STOP_MS = 15_000;
/** So much of what a server prints is kept, for when something goes wrong. */
const KEPT_OUTPUT = 4_096;

/** A server that runs as a process of its own. */
export type RunningServer = {
  pid: number;
  port: number;
  /** Asks it to end (SIGTERM) and waits; resolves with the exit code, or the signal that ended it. */
  stop: () => Promise<number | NodeJS.Signals>;
};

export type ServerCommand = {
  /** What it is called in error messages. */
  name: string;
  /** Arguments of node. */
  args: string[];
  env: Record<string, string>;
  cwd: string;
};

const exitOf = (child: ChildProcess): Promise<number | NodeJS.Signals> =>
  new Promise((resolve) => child.once('exit', (code, signal) => resolve(code ?? signal ?? 'SIGKILL')));

async function end(
  child: ChildProcess,
  exited: Promise<number | NodeJS.Signals>,
  signal: NodeJS.Signals,
): Promise<number | NodeJS.Signals> {
  child.kill(signal);
  const timer = new AbortController();
  const late = delay(STOP_MS, undefined, { signal: timer.signal }).then(
    () => child.kill('SIGKILL'),
    () => {},
  );
  try {
    return await exited;
  } finally {
    timer.abort();
    await late;
  }
}

/** Starts a server, and waits until it prints where it listens. @throws Error with what it printed otherwise */
export async function startServer({ name, args, env, cwd }: ServerCommand): Promise<RunningServer> {
  const { PATH = '', HOME = '', NODE_COMPILE_CACHE = '' } = process.env;
  // A group of its own: Ctrl-C is for the bench, which ends its servers in order.
  const child = spawn(process.execPath, args, {
    env: { PATH, HOME, NODE_COMPILE_CACHE, NODE_ENV: 'production', ...env },
    cwd,
    stdio: ['ignore', 'pipe', 'pipe'],
    detached: true,
  });
  const exited = exitOf(child);
  let output = '';
  const { promise: listening, resolve } = Promise.withResolvers<number>();
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output = (output + chunk.toString()).slice(-KEPT_OUTPUT);
      const port = /listening on http:\/\/[^\s"]+:(\d+)/.exec(output)?.[1];
      if (port !== undefined) resolve(Number(port));
    });
  }
  const timer = new AbortController();
  const late = delay(START_MS, undefined, { signal: timer.signal }).then(() => undefined);
  late.catch(() => {});
  const port = await Promise.race([listening, exited.then(() => undefined), late]);
  timer.abort();
  if (port === undefined || child.pid === undefined) {
    await end(child, exited, 'SIGKILL');
    throw new Error(`${name} did not start. It printed:\n${output}`);
  }
  let stopping = false;
  void exited.then((code) => {
    if (!stopping) console.error(`${name} ended by itself (${code}). It printed last:\n${output}`);
  });
  return {
    pid: child.pid,
    port,
    stop: () => {
      stopping = true;
      return end(child, exited, 'SIGTERM');
    },
  };
}

/** The load generator, a process of its own. */
export type Generator = {
  do: <K extends Kind>(kind: K, order: Orders[K][0]) => Promise<Orders[K][1]>;
  stop: () => Promise<void>;
};

export function startGenerator(): Generator {
  const child = fork(join(ROOT, 'bench/load/main.ts'), { detached: true, serialization: 'advanced' });
  const exited = exitOf(child);
  return {
    do: async <K extends Kind>(kind: K, order: Orders[K][0]): Promise<Orders[K][1]> => {
      const answer = new Promise<Reply>((resolve) => child.once('message', (reply: Reply) => resolve(reply)));
      child.send({ kind, order } as Request);
      const gone = exited.then((code): Reply => ({ error: `it ended (${code})` }));
      const reply = await Promise.race([answer, gone]);
      if ('error' in reply) throw new Error(`The load generator failed: ${reply.error}`);
      return reply.result;
    },
    stop: async () => {
      await end(child, exited, 'SIGTERM');
    },
  };
}
