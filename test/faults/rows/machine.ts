import { execFile } from 'node:child_process';
import { mkdir, readdir, readFile, rmdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { temporaryFolder } from '../../support/app.ts';
import { until } from '../../support/client.ts';
import { Crowd } from '../crowd.ts';
import type { Instance } from '../instance.ts';
import type { Row } from '../row.ts';
import { FAKETIME, MEMORY_CGROUP } from '../tools.ts';
import type { World } from '../world.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;

const limitFiles = (pid: number, limit: string): Promise<unknown> =>
  run('prlimit', ['--pid', `${pid}`, `--nofile=${limit}`]);

/** Starts a server in a cgroup of its own, and leaves it hardly more memory than it has then. */
async function startStarved(world: World): Promise<Instance> {
  const group = join(MEMORY_CGROUP, `minutebook-${process.pid}`);
  await mkdir(group);
  world.t.teardown(() => rmdir(group));
  const start = `echo $$ > ${group}/cgroup.procs; exec ${process.execPath} src/server.ts`;
  const instance = await world.startInstance({ command: ['sh', '-c', start] });
  const used = Number(await readFile(join(group, 'memory.usage_in_bytes'), 'utf8'));
  await writeFile(join(group, 'memory.limit_in_bytes'), `${used + 4 * MIB}`);
  return instance;
}

/** Moves some people, so that some are on each server. */
async function mingle(world: World): Promise<void> {
  for (const participant of world.load.participants.slice(0, 5)) participant.drop();
  await world.load.settled();
}

/** Faults of the machine that a server runs on. */
export const machine: readonly Row[] = [
  {
    id: '31',
    title: 'the clock of one of two servers jumps an hour ahead, and then two minutes back',
    expected: '`seq` and `timestamp` are the database’s and do not care; `occurred_at` shows it',
    needs: ['faketime'],
    strike: async (world) => {
      const clock = join(await temporaryFolder(world.t), 'clock');
      await writeFile(clock, '+0');
      const env = {
        LD_PRELOAD: FAKETIME ?? '',
        FAKETIME_TIMESTAMP_FILE: clock,
        FAKETIME_NO_CACHE: '1',
        // Else Node sees its timers go back, and gives up.
        FAKETIME_DONT_FAKE_MONOTONIC: '1',
      };
      await world.startInstance({ env });
      await mingle(world);
      for (const [jump, seconds] of [
        ['+3600', 3_600],
        ['-120', -120],
      ] as const) {
        await writeFile(clock, jump);
        await world.acknowledged(60);
        const seen = await world.sql(
          `select 1 from audit_event
           where abs(extract(epoch from occurred_at - timestamp) - $1) < 30 and action = 'MESSAGE_SENT'`,
          [seconds],
        );
        world.t.ok(seen.length > 0, `messages were recorded under a clock that is ${seconds} s off`);
      }
    },
  },
  {
    id: '39',
    title: 'the kernel kills a server for want of memory',
    expected: 'as kill -9: another one ends its sessions, nothing acknowledged is lost',
    needs: ['a memory cgroup (version 1)'],
    strike: async (world) => {
      const victim = await startStarved(world);
      await mingle(world);
      victim.doomed = true;
      // People who come need memory.
      const crowd = await Crowd.gather(world, { size: 500, target: () => victim.server.url });
      world.t.equal(await victim.server.exited, 'SIGKILL', 'it was killed');
      await crowd.disperse();
    },
  },
  {
    id: '40',
    title: 'a server has no file descriptors left',
    expected: 'nobody can connect; who is connected talks on, for the log has its connections already',
    needs: ['prlimit'],
    strike: async (world) => {
      const { pid } = world.instance;
      const open = (await readdir(`/proc/${pid}/fd`)).length;
      await limitFiles(pid, `${open + 2}:4096`);
      world.onHeal(() => limitFiles(pid, '4096:4096'));
    },
    lasts: async (world, since) => {
      const crowd = await Crowd.gather(world, { size: 30, target: () => world.instance.server.url });
      await until('somebody could not connect', () => crowd.refused > 0);
      await world.acknowledged(60);
      world.t.strictSame(world.load.answersSince('fail', since), [], 'nobody who is connected is refused');
      await crowd.disperse();
    },
  },
];
