import { execFile } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { cpus, loadavg, release, totalmem } from 'node:os';
import { promisify } from 'node:util';
import { ROOT } from './processes.ts';

/** What was measured with, so that two results can be told apart. */
export type Machine = {
  at: string;
  cpu: string;
  cpus: number;
  memoryGiB: number;
  system: string;
  node: string;
  ws: string;
  fastify: string;
  '@fastify/websocket': string;
  pg: string;
  /** The commit, with a + when the work tree differs from it. */
  git: string;
};

async function versionOf(name: string): Promise<string> {
  const path = createRequire(import.meta.url).resolve(name);
  const folder = path.slice(0, path.lastIndexOf(`node_modules/${name}/`));
  const text = await readFile(`${folder}node_modules/${name}/package.json`, 'utf8');
  return (JSON.parse(text) as { version: string }).version;
}

async function gitVersion(): Promise<string> {
  const git = async (...args: string[]): Promise<string> =>
    (await promisify(execFile)('git', args, { cwd: ROOT })).stdout.trim();
  try {
    const dirty = (await git('status', '--porcelain', '--untracked-files=no')) !== '';
    return (await git('rev-parse', '--short', 'HEAD')) + (dirty ? '+' : '');
  } catch {
    return 'not in a git work tree';
  }
}

export async function describeMachine(): Promise<Machine> {
  return {
    at: new Date().toISOString(),
    cpu: cpus()[0]?.model ?? 'unknown',
    cpus: cpus().length,
    memoryGiB: Math.round(totalmem() / 2 ** 30),
    system: `Linux ${release()}`,
    node: process.version,
    ws: await versionOf('ws'),
    fastify: await versionOf('fastify'),
    '@fastify/websocket': await versionOf('@fastify/websocket'),
    pg: await versionOf('pg'),
    git: await gitVersion(),
  };
}

/** How many files and sockets a process may have open. Node raises its own limit as far as it may. */
export function openFilesLimit(): number {
  const soft = /^Max open files +(\w+)/m.exec(readFileSync('/proc/self/limits', 'utf8'))?.[1];
  return soft === 'unlimited' ? Number.POSITIVE_INFINITY : Number(soft);
}

/** Resident memory of a process, in bytes. @throws Error when there is none of this number */
export function residentBytesOf(pid: number): number {
  const kib = /^VmRSS:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
  if (kib === undefined) throw new Error(`Process ${pid} does not tell its memory.`);
  return Number(kib) * 1_024;
}

/** How many processes wanted to run, over the last minute. */
export const loadAverage = (): number => loadavg()[0] ?? 0;
