import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { test } from 'tap';
import {
  cpuWithChildren,
  parseMachineStat,
  parseStat,
  processOf,
  readUsage,
  usedBetween,
} from '../../bench/cpu.ts';

test('a line of /proc/PID/stat is read, whatever the process is called', async (t) => {
  const rest = 'S 42 10 10 0 -1 4194560 100 200 0 0 123 45 67 8 20 0 1 0 99 1000 200 18446744073709551615';
  for (const name of ['postgres', 'a) b (c', 'x 1 2 3']) {
    t.same(parseStat(`1234 (${name}) ${rest}\n`), { name, parent: 42, own: 1_680_000, reaped: 750_000 });
  }
  t.throws(() => parseStat('1234 (short) S 42'), /is no line of/);
});

test('the machine is busy with all but idling and waiting for the disk', async (t) => {
  const text = 'cpu  100 10 50 9000 400 3 7 20 0 0\ncpu0 50 5 25 4500 200 1 3 10 0 0\n';
  t.same(parseMachineStat(text), { busy: 1_700_000, stolen: 200_000 });
});

test('children that have ended count with their parent', async (t) => {
  const before = cpuWithChildren(process.pid);
  const own = processOf(process.pid).own;
  const spin = 'while (process.cpuUsage().user < 300_000);';
  await promisify(execFile)(process.execPath, ['-e', spin]);
  const byChild = cpuWithChildren(process.pid) - before - (processOf(process.pid).own - own);
  t.ok(byChild >= 250_000, `${byChild} µs`);
});

test('a server of several processes has used what all of them have', async (t) => {
  const before = processOf(process.pid).own;
  const { server } = readUsage({ servers: [process.pid, process.pid], postgres: null });
  t.ok(before > 0);
  t.ok(server >= 2 * before && server <= 2 * processOf(process.pid).own, `${server} µs`);
});

test('of a process that is not there, there is no CPU', async (t) => {
  t.throws(() => processOf(2 ** 30), /no process/);
});

test('a Postgres that cannot be seen has no CPU, rather than none used', async (t) => {
  const usage = { server: 5, postgres: null, generator: 1, machine: 9, stolen: 0 };
  const later = { server: 9, postgres: null, generator: 2, machine: 20, stolen: 1 };
  t.same(usedBetween(usage, later), { server: 4, postgres: null, generator: 1, machine: 11, stolen: 1 });
  t.same(usedBetween({ ...usage, postgres: 3 }, { ...later, postgres: 8 }).postgres, 5);
});
