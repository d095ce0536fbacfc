import { readdirSync, readFileSync } from 'node:fs';

/** USER_HZ, which Linux has fixed at 100 for what it tells programs: one tick is 10 ms. */
const TICK_US = 10_000;

/** What one process has used, in microseconds of CPU. */
export type ProcessCpu = {
  /** Of the program, at most 15 characters. */
  name: string;
  parent: number;
  /** By itself, all threads, user and system. */
  own: number;
  /** By its children that have ended and been waited for, and theirs. */
  reaped: number;
};

/** Reads a line of /proc/PID/stat (proc_pid_stat(5)). The name in it may hold blanks and parentheses. */
export function parseStat(text: string): ProcessCpu {
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  // The first of these is field 3 of the manual page.
  const field = (number: number): number => Number(fields[number - 3]);
  const own = (field(14) + field(15)) * TICK_US;
  const reaped = (field(16) + field(17)) * TICK_US;
  if (Number.isNaN(own + reaped)) throw new Error(`This is no line of /proc/PID/stat: ${text}`);
  const name = text.slice(text.indexOf('(') + 1, text.lastIndexOf(')'));
  return { name, parent: field(4), own, reaped };
}

/** The CPU time of the whole machine, in microseconds: what ran, and what the hypervisor kept from it. */
export type MachineCpu = { busy: number; stolen: number };

/** Reads the first line of /proc/stat. */
export function parseMachineStat(text: string): MachineCpu {
  const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, stolen = 0] = (text.split('\n')[0] ?? '')
    .split(/ +/)
    .slice(1)
    .map((ticks) => Number(ticks) * TICK_US);
  return { busy: user + nice + system + irq + softirq, stolen };
}

function statOf(pid: number | string): ProcessCpu | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, 'utf8'));
  } catch (error) {
    // It has ended between the listing and the reading; its parent counts it now.
    if (['ENOENT', 'ESRCH'].includes((error as NodeJS.ErrnoException).code ?? '')) return undefined;
    throw error;
  }
}

/** @throws Error when there is no process of this number */
export function processOf(pid: number): ProcessCpu {
  const stat = statOf(pid);
  if (stat === undefined) throw new Error(`There is no process ${pid}.`);
  return stat;
}

/** A process and its children, those that have ended included. Postgres has no grandchildren. */
export function cpuWithChildren(pid: number): number {
  // Children first: one that ends meanwhile is then counted twice rather than not at all, by its last tick.
  const children = readdirSync('/proc')
    .filter((name) => /^\d+$/.test(name))
    .map(statOf)
    .filter((stat) => stat?.parent === pid);
  const root = processOf(pid);
  return children.reduce((sum, stat) => sum + (stat?.own ?? 0), root.own + root.reaped);
}

export const machineCpu = (): MachineCpu => parseMachineStat(readFileSync('/proc/stat', 'utf8'));

/** Whose CPU is measured. */
export type Watched = {
  /** The processes of the server. */
  servers: readonly number[];
  /** The postmaster; null when it runs elsewhere. */
  postgres: number | null;
};

/** CPU used, in microseconds. */
export type Usage = {
  /** All its processes together. */
  server: number;
  postgres: number | null;
  generator: number;
  machine: number;
  stolen: number;
};

/** What has been used until now; for the process that generates the load. */
export function readUsage({ servers, postgres }: Watched): Usage {
  const { user, system } = process.cpuUsage();
  const { busy, stolen } = machineCpu();
  return {
    server: servers.reduce((sum, pid) => sum + processOf(pid).own, 0),
    postgres: postgres === null ? null : cpuWithChildren(postgres),
    generator: user + system,
    machine: busy,
    stolen,
  };
}

export const usedBetween = (before: Usage, after: Usage): Usage => ({
  server: after.server - before.server,
  postgres: after.postgres === null || before.postgres === null ? null : after.postgres - before.postgres,
  generator: after.generator - before.generator,
  machine: after.machine - before.machine,
  stolen: after.stolen - before.stolen,
});
