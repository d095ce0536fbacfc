import { until } from '../../support/client.ts';
import { isAlive } from '../cluster.ts';
import type { Row } from '../row.ts';
import { attachStrace } from '../strace.ts';
import { fillDisk, freeDisk, mountTmpfs } from '../tmpfs.ts';
import type { World } from '../world.ts';

const REFUSED = ['audit_unavailable', 'outcome_unknown'] as const;
/** The user that Postgres runs as when we are root. */
const NOBODY = 65_534;
const smallWal = {
  initdb: ['--wal-segsize=1'],
  settings: { min_wal_size: '5MB', max_wal_size: '10MB' },
};

/** Fails the first such system call of each backend of the servers. */
async function failOnce(world: World, call: string): Promise<void> {
  const pids = await world.backends();
  // Not those that come after them: Postgres has to be able to recover.
  const words = ['-e', `trace=${call}`, '-e', `inject=${call}:error=EIO:when=1`];
  const tracer = await attachStrace(world.t, pids, { words });
  await until('one of them has gone down', () => pids.some((pid) => !isAlive(pid)));
  await tracer.detach();
}

/** Frees the disk, and starts Postgres again if it has given up. */
async function makeSpace(world: World): Promise<void> {
  await freeDisk(world.disk);
  await world.cluster.start();
}

/** Faults of the disk under Postgres. */
export const disk: readonly Row[] = [
  {
    id: '21',
    title: 'every fdatasync of Postgres takes 300 ms',
    expected: 'slower, in larger batches; nothing refused, nothing lost',
    needs: ['strace'],
    strike: async (world) => {
      const words = ['-e', 'trace=fdatasync', '-e', 'inject=fdatasync:delay_enter=300000'];
      const pids = await world.cluster.pids();
      const tracer = await attachStrace(world.t, pids, { follow: true, words });
      world.onHeal(() => tracer.detach());
    },
    lasts: async (world, since) => {
      await world.acknowledged(100, 20_000);
      world.t.strictSame(world.load.answersSince('fail', since), [], 'nobody is refused');
    },
  },
  {
    id: '22a',
    title: 'the fdatasync of a commit fails (EIO): Postgres panics and recovers',
    expected: 'the batch may be on record or not: looked up, acknowledged once if it is',
    needs: ['strace'],
    strike: (world) => failOnce(world, 'fdatasync'),
    heal: (world) => world.cluster.start(),
  },
  {
    id: '22b',
    title: 'the write of a commit to the WAL fails (EIO): Postgres panics and recovers',
    expected: 'not on record before, and once after the next attempt',
    needs: ['strace'],
    strike: (world) => failOnce(world, 'pwrite64'),
    heal: (world) => world.cluster.start(),
  },
  {
    id: '23',
    title: 'the disk of Postgres is full',
    expected: 'refused until there is space again; what was acknowledged is on record',
    needs: ['the right to mount a tmpfs'],
    refusals: REFUSED,
    world: {
      cluster: async (t) => {
        const disk = await mountTmpfs(t, 192);
        return { disk, dir: disk, ...smallWal };
      },
      load: { fillerLength: 2_000 },
    },
    strike: (world) => fillDisk(world.disk),
    heal: makeSpace,
  },
  {
    id: '24',
    title: 'the disk of the WAL is full: Postgres panics, and ends',
    expected: 'refused until there is space, and Postgres is started again',
    needs: ['the right to mount a tmpfs'],
    refusals: REFUSED,
    world: {
      cluster: async (t) => {
        const disk = await mountTmpfs(t, 32, NOBODY);
        return { disk, ...smallWal, initdb: [...smallWal.initdb, '--waldir', `${disk}/wal`] };
      },
      load: { fillerLength: 2_000 },
    },
    strike: async (world) => {
      // As a standby that is gone does, a slot keeps all WAL, so that no segment can be used again.
      await world.sql(`select pg_create_physical_replication_slot('gone', true)`);
      world.onHeal(() => world.sql(`select pg_drop_replication_slot('gone')`));
      world.onHeal(() => makeSpace(world));
      await fillDisk(world.disk);
      const use = `select pg_logical_emit_message(true, 'faults', repeat('x', 200000))`;
      await until('no more WAL can be written', () =>
        world.sql(use).then(
          () => false,
          () => true,
        ),
      );
    },
  },
];
