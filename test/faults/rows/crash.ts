import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/client.ts';
import { atNextAppend } from '../moment.ts';
import type { Row } from '../row.ts';
import type { World } from '../world.ts';

const LEASE_MS = 10_000;

/** Waits until the log says that an instance is lost; it may take the lease, and a renewal's time. */
const untilLost = (world: World, name: string): Promise<void> =>
  until(
    `${name} is on record as lost`,
    async () => {
      const rows = await world.sql(
        `select 1 from audit_event where action = 'INSTANCE_LOST' and details->>'instance' = $1`,
        [name],
      );
      return rows.length > 0;
    },
    2 * LEASE_MS,
  );

/** What the log says of the sessions of an instance that was lost. */
async function assertReaped(world: World, name: string): Promise<void> {
  const [lost] = await world.sql<{ sessions: string }>(
    `select details->>'sessions' as sessions from audit_event
     where action = 'INSTANCE_LOST' and details->>'instance' = $1`,
    [name],
  );
  const ends = await world.sql<{ code: string }>(
    `select d.details->>'code' as code from audit_event d join audit_event c using (session_id)
     where d.action = 'DISCONNECTED' and c.action = 'CONNECTED' and c.instance = $1
       and d.details->>'reason' = 'instance_lost'`,
    [name],
  );
  world.t.equal(Number(lost?.sessions), ends.length, 'INSTANCE_LOST counts the sessions that it ends');
  world.t.strictSame([...new Set(ends.map(({ code }) => code))], ends.length === 0 ? [] : ['1006']);
}

/** Faults of the server’s own process. */
export const crash: readonly Row[] = [
  {
    id: '1',
    title:
      'kill -9 of a server under load, eight times at any moment, each time with another to take its place',
    expected: 'acknowledged and delivered is on record; every session gets its end within the lease',
    world: { instances: 2, load: { rate: 200 } },
    strike: async (world) => {
      for (let turn = 0; turn < 8; turn += 1) {
        const [victim] = world.running;
        await delay(50 + Math.random() * 200);
        await victim?.kill();
        await world.startInstance();
      }
    },
    afterwards: async (world) => {
      for (const { name, doomed } of world.instances) {
        if (!doomed) continue;
        await untilLost(world, name);
        await assertReaped(world, name);
      }
    },
  },
  ...(['before', 'after'] as const).map(
    (moment): Row => ({
      id: moment === 'before' ? '3' : '2',
      title: `kill -9 of the server ${moment} the commit of a batch, and before its delivery`,
      expected:
        moment === 'before'
          ? 'neither on record nor delivered'
          : 'on record; delivered to those who come back with `since`',
      ...(moment === 'after' ? { quick: true } : {}),
      world: { proxied: true },
      strike: (world) => atNextAppend(world, moment, () => world.instance.kill()),
      heal: (world) => world.startInstance(),
      afterwards: async (world) => {
        await untilLost(world, world.instance.name);
        await assertReaped(world, world.instance.name);
      },
    }),
  ),
  {
    id: '4',
    title: 'SIGTERM under load, with another server to go to',
    expected: 'commands taken are answered, every session is closed with 1001 and its end is on record',
    quick: true,
    world: { instances: 2 },
    strike: async (world) => {
      const startedAt = performance.now();
      world.t.equal(await world.instance.stop(), 0, 'it ends in good order');
      world.t.ok(performance.now() - startedAt < 10_000, 'within ten seconds');
      const codes = world.history.entries.flatMap((entry) =>
        entry.kind === 'ended' && entry.at >= startedAt ? [entry.code] : [],
      );
      world.t.strictSame([...new Set(codes)], [1001], 'every session was closed with 1001');
    },
  },
  {
    id: '7',
    title: 'a server stands still for 2 s (SIGSTOP)',
    expected: 'a pause, and nothing else: its lease holds',
    world: { instances: 2 },
    strike: async (world) => {
      process.kill(world.instance.pid, 'SIGSTOP');
      await delay(2_000);
      process.kill(world.instance.pid, 'SIGCONT');
    },
    afterwards: async (world) => {
      const lost = await world.sql(`select 1 from audit_event where action = 'INSTANCE_LOST'`);
      world.t.equal(lost.length, 0, 'nobody is taken for lost');
    },
  },
  {
    id: '6a',
    title: 'a server stands still for longer than its lease (SIGSTOP), and wakes up',
    expected:
      'another one ends its sessions; awake, it commits and delivers nothing under its old name, and serves under a new one',
    world: { instances: 2, load: { rate: 60 } },
    answersMayBeLate: true,
    strike: async (world) => {
      const { instance } = world;
      const old = instance.name;
      process.kill(instance.pid, 'SIGSTOP');
      await untilLost(world, old);
      await assertReaped(world, old);
      process.kill(instance.pid, 'SIGCONT');
      await until(
        'it serves under a new name',
        () => instance.name !== old && instance.ready?.status === 200,
      );
      // Its old sockets are cut; people come back, some of them to it.
      await until('everybody has come back', () =>
        world.load.participants.every(({ isSettled }) => isSettled),
      );
    },
  },
  {
    id: '6b',
    title: 'the same, with a batch of it still on its way to the database, which arrives when it is lost',
    expected: 'the database itself refuses the batch (the fence); nobody but the lost server could know',
    world: { proxied: true, load: { rate: 60 } },
    answersMayBeLate: true,
    strike: async (world) => {
      const { instance, proxy } = world;
      const old = instance.name;
      // It takes the short way, so that it goes on.
      await world.startInstance({ env: { DATABASE_URL: world.url } });
      const { promise: asked, resolve } = Promise.withResolvers<void>();
      proxy.onRequest('audit_append', () => {
        proxy.setMode('hold');
        resolve();
      });
      await asked;
      process.kill(instance.pid, 'SIGSTOP');
      await untilLost(world, old);
      proxy.setMode('pass');
      process.kill(instance.pid, 'SIGCONT');
      await until(
        'it serves under a new name',
        () => instance.name !== old && instance.ready?.status === 200,
      );
    },
  },
];
