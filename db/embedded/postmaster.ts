import { execFile } from 'node:child_process';
import { readFile, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { promisify } from 'node:util';
import pg from 'pg';

/** What a running cluster says of itself in `postmaster.pid`. */
export type Postmaster = { pid: number; port: number };

const isAlive = (pid: number): boolean => {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
};

/** The command line of a process, its words with a space after each; empty when it cannot be had. */
async function commandOf(pid: number): Promise<string> {
  if (process.platform === 'linux') {
    const words = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    return words.replaceAll('\0', ' ');
  }
  return promisify(execFile)('ps', ['-o', 'command=', '-p', `${pid}`]).then(
    ({ stdout }) => stdout,
    () => '',
  );
}

/**
 * The cluster’s running server, or undefined when there is none. The file of a killed one is stale, and its
 * process id may be somebody else’s by now; so the process must name this very folder on its command line.
 */
export async function findPostmaster(clusterDir: string): Promise<Postmaster | undefined> {
  const file = await readFile(join(clusterDir, 'postmaster.pid'), 'utf8').catch(() => '');
  // Lines: process id, data folder, start time, port, ...
  const [pid, , , port] = file.split('\n').map(Number);
  if (pid === undefined || !(pid > 0) || !isAlive(pid)) return undefined;
  const command = await commandOf(pid);
  const folder = await realpath(clusterDir).catch(() => clusterDir);
  if (!command.includes('postgres') || !command.includes(` -D ${folder} `)) return undefined;
  return { pid, port: port ?? 0 };
}

/** Stops a cluster’s server in good order (SIGINT: “fast”) and waits until it is gone. */
export async function stopPostmaster(clusterDir: string, timeoutMs = 8_000): Promise<void> {
  const running = await findPostmaster(clusterDir);
  if (running === undefined) return;
  process.kill(running.pid, 'SIGINT');
  const giveUp = performance.now() + timeoutMs;
  while ((await findPostmaster(clusterDir))?.pid === running.pid) {
    if (performance.now() > giveUp) throw new Error(`Postgres (process ${running.pid}) does not stop.`);
    await delay(20);
  }
}

/**
 * Waits until a server answers; rejects when `gone` does, or when it does not listen within the time-out. A
 * server that recovers from a crash says so, and may take as long as it needs.
 */
export async function waitUntilReady(url: string, gone: Promise<never>, timeoutMs = 20_000): Promise<void> {
  const giveUp = performance.now() + timeoutMs;
  for (;;) {
    const client = new pg.Client({ connectionString: url, connectionTimeoutMillis: 2_000 });
    client.on('error', () => {});
    try {
      await Promise.race([client.connect(), gone]);
      await client.end();
      return;
    } catch (error) {
      const { code } = error as { code?: string };
      // Recovering from a crash, or stormed by those who waited for it: it lives, and says so.
      const isAtWork = code === '57P03' || code === '53300';
      if (!isAtWork && (code !== 'ECONNREFUSED' || performance.now() > giveUp)) throw error;
      await delay(20);
    }
  }
}
