import { setTimeout as delay } from 'node:timers/promises';
import { signal } from '../cluster.ts';
import { atNextAppend, whileAppending } from '../moment.ts';
import type { Row } from '../row.ts';

/** What senders hear while no connection can be had, or one is lost while it had something to do. */
const REFUSED = ['audit_unavailable', 'outcome_unknown'] as const;

/** Faults of Postgres itself: processes that die, stand still, or are ended by somebody. */
export const database: readonly Row[] = [
  ...(['before', 'after'] as const).map(
    (moment): Row => ({
      id: moment === 'before' ? '8a' : '8b',
      title: `kill -9 of the backend that appends, ${moment} it has committed`,
      expected: 'all backends go down with it (57P02); the batch is tried again under its number',
      world: { proxied: true },
      strike: async (world) =>
        atNextAppend(world, moment, async () => {
          const [backend] = await world.backends();
          if (backend !== undefined) process.kill(backend, 'SIGKILL');
        }),
      heal: (world) => world.cluster.start(),
    }),
  ),
  ...(['before', 'after'] as const).map(
    (moment): Row => ({
      id: moment === 'before' ? '9a' : '9b',
      title: `kill -9 of the postmaster ${moment} a commit, and a start two seconds of refusals later`,
      expected: 'refused while it is down; connected again by itself; what was in doubt is looked up',
      ...(moment === 'after' ? { quick: true } : {}),
      world: { proxied: true },
      refusals: REFUSED,
      strike: async (world) => atNextAppend(world, moment, () => world.cluster.kill()),
      heal: (world) => world.cluster.start(),
    }),
  ),
  ...(['fast', 'immediate'] as const).map(
    (mode): Row => ({
      id: mode === 'fast' ? '10a' : '10b',
      title: `Postgres is restarted, ${mode}`,
      expected: 'commands of that moment are tried again, and then through',
      strike: async (world) => {
        await world.cluster.stop(mode);
        await world.cluster.start();
      },
    }),
  ),
  {
    id: '11',
    title: 'pg_terminate_backend of all connections, every 100 ms for 4 s',
    expected: 'the process lives; messages go through in between, or are refused',
    world: { instances: 2 },
    strike: async (world) => {
      for (let turn = 0; turn < 40; turn += 1) {
        await world.sql(
          `select pg_terminate_backend(pid) from pg_stat_activity where application_name like 'minutebook%'`,
        );
        await delay(100);
      }
    },
  },
  {
    id: '12',
    title: 'the backend that holds the number lock is stopped (SIGSTOP), and goes on later',
    expected: 'all instances refuse (lock time-outs, no answer); what was in doubt is resolved',
    world: { instances: 2 },
    refusals: REFUSED,
    strike: (world) =>
      whileAppending(world, async (backend) => {
        process.kill(backend, 'SIGSTOP');
        world.onHeal(async () => signal(backend, 'SIGCONT'));
      }),
  },
  {
    id: '13',
    title: 'every process of Postgres stands still (SIGSTOP), and goes on later',
    expected: 'refused or in doubt after 5 s, with a bounded queue; the truth when it goes on',
    refusals: ['outcome_unknown'],
    quick: true,
    strike: (world) =>
      whileAppending(world, async () => {
        const pids = await world.cluster.pids();
        for (const pid of pids) signal(pid, 'SIGSTOP');
        world.onHeal(async () => {
          for (const pid of pids) signal(pid, 'SIGCONT');
        });
      }),
  },
];
