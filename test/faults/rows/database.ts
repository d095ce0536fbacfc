import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/client.ts';
import { childrenOf, signal } from '../cluster.ts';
import { atNextAppend } from '../moment.ts';
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
    // Taken inside a trigger, so that it is the append itself that holds it.
    strike: async (world) => {
      await world.sql(`create function hold() returns trigger language plpgsql as
        $$ begin perform pg_sleep(0.3); return null; end $$;
        create trigger hold after insert on audit_batch for each statement execute function hold()`);
      const holder = async (): Promise<number | undefined> => {
        const rows = await world.sql<{ pid: number }>(
          `select pid from pg_stat_activity where wait_event = 'PgSleep' and query like '%audit_append%' limit 1`,
        );
        return rows[0]?.pid;
      };
      await until('an append holds the number', async () => {
        const pid = await holder();
        if (pid !== undefined) process.kill(pid, 'SIGSTOP');
        return pid !== undefined;
      });
    },
    heal: async (world) => {
      for (const pid of await world.cluster.pids()) signal(pid, 'SIGCONT');
      await world.sql('drop trigger hold on audit_batch');
    },
  },
  {
    id: '13',
    title: 'every process of Postgres stands still (SIGSTOP), and goes on later',
    expected: 'refused or in doubt after 5 s, with a bounded queue; the truth when it goes on',
    refusals: ['outcome_unknown'],
    quick: true,
    strike: async (world) => {
      const { pid } = world.cluster;
      process.kill(pid, 'SIGSTOP');
      for (const child of await childrenOf(pid)) signal(child, 'SIGSTOP');
    },
    heal: async (world) => {
      for (const pid of await world.cluster.pids()) signal(pid, 'SIGCONT');
    },
  },
];
