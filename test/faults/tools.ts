import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rmdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

const works = (file: string, ...args: string[]): Promise<boolean> =>
  run(file, args).then(
    () => true,
    () => false,
  );

async function canMount(): Promise<boolean> {
  if (process.getuid?.() !== 0) return false;
  const dir = await mkdtemp(join(tmpdir(), 'minutebook-mount-'));
  try {
    return (
      (await works('mount', '-t', 'tmpfs', '-o', 'size=64k', 'tmpfs', dir)) && (await works('umount', dir))
    );
  } finally {
    await rmdir(dir);
  }
}

export const FAKETIME = ['/usr/lib/x86_64-linux-gnu', '/usr/lib/aarch64-linux-gnu', '/usr/lib']
  .map((dir) => `${dir}/faketime/libfaketime.so.1`)
  .find(existsSync);

export const MEMORY_CGROUP = '/sys/fs/cgroup/memory';

/** What some faults need beside Node and Postgres, and how to find out whether it is there. */
const tools = {
  /** Traces processes and fails their system calls; needs the right to. */
  strace: () => works('strace', '-qq', '-o', '/dev/null', 'true'),
  faketime: async () => FAKETIME !== undefined,
  prlimit: () => works('prlimit', '--version'),
  'the right to mount a tmpfs': canMount,
  'network namespaces': async () =>
    process.getuid?.() === 0 && (await works('unshare', '--net', 'ip', 'link')),
  'a memory cgroup (version 1)': async () => existsSync(`${MEMORY_CGROUP}/memory.limit_in_bytes`),
} as const satisfies Record<string, () => Promise<boolean>>;

export type Tool = keyof typeof tools;

const found = new Map<Tool, Promise<boolean>>();

/** The tools that are not to be had here. */
export async function missing(needed: readonly Tool[]): Promise<Tool[]> {
  const lacking: Tool[] = [];
  for (const tool of needed) {
    const known = found.get(tool) ?? tools[tool]();
    found.set(tool, known);
    if (!(await known)) lacking.push(tool);
  }
  return lacking;
}
