import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { TimeWindow } from './load/orders.ts';
import { ROOT } from './processes.ts';
import { table } from './table.ts';

/** The part of a .cpuprofile that is looked at; times are in microseconds. */
export type CpuProfile = {
  nodes: { id: number; callFrame: { functionName: string; url: string; lineNumber: number } }[];
  startTime: number;
  samples: number[];
  timeDeltas: number[];
};

export type ProfileSummary = {
  /** Time in which something ran, in microseconds. */
  busy: number;
  idle: number;
  /** Self time by package or folder, and by function; the largest first. */
  groups: [name: string, us: number][];
  functions: [name: string, us: number][];
};

const IDLE = '(idle)';

/** Which package a function belongs to, or which file of ours. */
export function groupOf(
  { functionName, url }: CpuProfile['nodes'][number]['callFrame'],
  root = ROOT,
): string {
  if (functionName === '(program)') return 'outside JavaScript: system calls, parsing, compiling';
  if (functionName.startsWith('(')) return functionName;
  if (url === '') return 'built in to V8 and Node';
  if (url.startsWith('node:')) return 'Node’s own JavaScript';
  const packageName = /node_modules\/((?:@[^/]+\/)?[^/]+)\/(?!.*node_modules\/)/.exec(url)?.[1];
  if (packageName !== undefined) return packageName;
  return url.replace(`file://${root}/`, '');
}

function nameOf({ functionName, url, lineNumber }: CpuProfile['nodes'][number]['callFrame']): string {
  const file = url.replace(`file://${ROOT}/`, '').replace(/^.*node_modules\//, '');
  return `${functionName || '(anonymous)'}${file === '' ? '' : ` ${file}:${lineNumber + 1}`}`;
}

const largestFirst = (sums: Map<string, number>): [string, number][] =>
  [...sums].sort(([, a], [, b]) => b - a);

const add = (sums: Map<string, number>, name: string, us: number): void => {
  sums.set(name, (sums.get(name) ?? 0) + us);
};

/** Adds up the self time of every function, within the windows only. */
export function summariseProfiles(
  profiles: readonly CpuProfile[],
  windows: readonly TimeWindow[],
): ProfileSummary {
  const groups = new Map<string, number>();
  const functions = new Map<string, number>();
  let idle = 0;
  for (const { nodes, samples, timeDeltas, startTime } of profiles) {
    const frames = new Map(nodes.map(({ id, callFrame }) => [id, callFrame]));
    let at = startTime;
    for (const [index, id] of samples.entries()) {
      at += timeDeltas[index] ?? 0;
      // A sample stands for the time until the next.
      const us = timeDeltas[index + 1] ?? 0;
      const frame = frames.get(id);
      if (frame === undefined || !windows.some(({ fromUs, toUs }) => at >= fromUs && at < toUs)) continue;
      if (frame.functionName === IDLE) idle += us;
      else {
        add(groups, groupOf(frame), us);
        add(functions, nameOf(frame), us);
      }
    }
  }
  const busy = [...groups.values()].reduce((sum, us) => sum + us, 0);
  return { busy, idle, groups: largestFirst(groups), functions: largestFirst(functions) };
}

/** Reads the profiles that these processes left behind. */
export async function readProfiles(folder: string, pids: readonly number[]): Promise<CpuProfile[]> {
  // CPU.20261122.101828.PID.THREAD.NUMBER.cpuprofile
  const mine = (await readdir(folder)).filter((name) =>
    pids.some((pid) => name.startsWith('CPU.') && name.split('.')[3] === String(pid)),
  );
  return Promise.all(
    mine.map(async (name) => JSON.parse(await readFile(join(folder, name), 'utf8')) as CpuProfile),
  );
}

const TOP_FUNCTIONS = 40;

export function describeProfile({ busy, idle, groups, functions }: ProfileSummary): string {
  if (busy === 0) return 'There is no profile of Minutebook under load.';
  const rows = (all: ProfileSummary['groups']): string[][] =>
    all.map(([name, us]) => [name, ((100 * us) / busy).toFixed(1), (us / 1_000).toFixed(0)]);
  const large = groups.filter(([, us]) => us >= busy / 500);
  return [
    `${(busy / 1e6).toFixed(1)} s busy, ${(idle / 1e6).toFixed(1)} s idle, while under load`,
    table(['self time by package or file', '%', 'ms'], rows(large)),
    table(['self time by function', '%', 'ms'], rows(functions.slice(0, TOP_FUNCTIONS))),
  ].join('\n\n');
}
