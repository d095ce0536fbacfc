import { spawn } from 'node:child_process';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { Test } from 'tap';
import { temporaryFolder } from '../support/app.ts';
import { until } from '../support/client.ts';
import { isAlive } from './cluster.ts';

/** strace, attached to processes. */
export type Tracer = {
  /** Lets the processes go on untraced. */
  detach: () => Promise<void>;
  /** What it has written of each process, by its id; complete after `detach`. */
  output: () => Promise<Map<number, string>>;
};

export type TraceOptions = {
  /** Whether processes that they start are traced as well. */
  follow?: boolean;
  /** More words for strace: what to trace, what to inject. */
  words: readonly string[];
};

/** Attaches strace to processes; resolves when it holds all of them. Detached when the test ends. */
export async function attachStrace(
  t: Test,
  pids: readonly number[],
  { follow = false, words }: TraceOptions,
): Promise<Tracer> {
  const dir = await temporaryFolder(t);
  const targets = pids.flatMap((pid) => ['-p', `${pid}`]);
  // -ff: a file for each process, so that no call is cut in two by another's.
  const args = [follow ? '-ff' : '--output-separately', '-o', join(dir, 'trace'), ...words, ...targets];
  const child = spawn('strace', args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  child.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  const exited = new Promise<void>((resolve) => child.once('exit', () => resolve()));
  const detach = async (): Promise<void> => {
    if (child.exitCode === null && child.signalCode === null) child.kill('SIGINT');
    // It lets a process go when that stops next; one that is held up may take its time.
    const late = setTimeout(() => child.kill('SIGKILL'), 5_000);
    await exited;
    clearTimeout(late);
  };
  t.teardown(detach);
  await until('strace is attached', () => {
    if (child.exitCode !== null) throw new Error(`strace ended: ${said}`);
    // One that has ended meanwhile, such as a backend whose client has gone, needs no watching.
    return pids.every((pid) => said.includes(`Process ${pid} attached`) || !isAlive(pid));
  });
  return {
    detach,
    output: async () => {
      const traces = new Map<number, string>();
      for (const name of await readdir(dir)) {
        traces.set(Number(name.split('.').at(-1)), await readFile(join(dir, name), 'utf8'));
      }
      return traces;
    },
  };
}
