import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../../support/client.ts';
import { Crowd } from '../crowd.ts';
import type { Row } from '../row.ts';
import type { World } from '../world.ts';

const PING_MS = 30_000;

const endsWith = async (world: World, code: number, reason: string): Promise<number> => {
  const rows = await world.sql(
    `select 1 from audit_event where action = 'DISCONNECTED' and user_id = 'crowd'
     and details->>'code' = $1 and details->>'reason' = $2`,
    [`${code}`, reason],
  );
  return rows.length;
};

/** Faults of clients, and of many at once. */
export const clients: readonly Row[] = [
  {
    id: '32',
    title: 'twenty members of a room do not read what they are sent',
    expected: 'closed with 1013 at the limit; memory is bounded, and the others do not notice',
    world: { load: { rate: 90, fillerLength: 30_000 } },
    unread: true,
    strike: async (world) => {
      const size = 20;
      const since = performance.now();
      await Crowd.gather(world, { size, target: () => world.instance.server.url, room: 'red', deaf: true });
      await until(
        'they are closed for being too slow',
        async () => (await endsWith(world, 1013, 'too slow')) === size,
        60_000,
      );
      world.t.strictSame(world.load.answersSince('fail', since), [], 'nobody else is refused');
      const slowest = Math.max(...world.load.participants.map((participant) => participant.slowest));
      world.t.ok(slowest < 2_000, `the others were answered within ${Math.round(slowest)} ms`);
    },
  },
  {
    id: '34',
    title: 'clients that are gone without a word: no ping is answered',
    expected: 'cut within two pings, and their end is on record',
    strike: async (world) => {
      const size = 5;
      await Crowd.gather(world, { size, target: () => world.instance.server.url, mute: true });
      await until(
        'they are cut',
        async () => (await endsWith(world, 1006, 'no answer to a ping')) === size,
        2 * PING_MS + 5_000,
      );
    },
  },
  {
    id: '35',
    title: 'a server is killed, and a thousand clients come back to its successor at once',
    expected: 'all are back within 10 s of its start',
    world: { load: { rate: 30 } },
    strike: async (world) => {
      const size = 1_000;
      const crowd = await Crowd.gather(world, { size, target: () => world.targets[0], persistent: true });
      await until('all are there', () => crowd.present === size, 30_000);
      await world.instance.kill();
      await until('all have noticed', () => crowd.present === 0);
      await world.startInstance();
      const startedAt = performance.now();
      await until('all are back', () => crowd.present === size, 10_000);
      world.t.comment(`a thousand are back after ${Math.round(performance.now() - startedAt)} ms`);
      await crowd.disperse();
    },
  },
  {
    id: '36',
    title: 'a rolling deployment: three times a new server comes, and the oldest is told to stop',
    expected: 'nothing is lost or doubled; what is refused is refused as `overloaded`, for the server stops',
    world: { instances: 2 },
    strike: async (world) => {
      const since = performance.now();
      for (let turn = 0; turn < 3; turn += 1) {
        await world.startInstance();
        await world.acknowledged(20);
        world.t.equal(await world.instances[turn]?.stop(), 0, 'it stops in good order');
      }
      await world.load.settled();
      const codes = new Set(world.load.answersSince('fail', since).map(({ code }) => code));
      codes.delete('overloaded');
      world.t.strictSame([...codes], []);
    },
  },
  {
    id: '5',
    title: 'SIGTERM while the database does not answer and a client does not read',
    expected: 'it gives up in time; the ends of its sessions are recorded by the next one',
    world: { proxied: true },
    answersMayBeLate: true,
    strike: async (world) => {
      const crowd = await Crowd.gather(world, {
        size: 3,
        target: () => world.instance.server.url,
        deaf: true,
      });
      await until('they are there', () => crowd.present === 3);
      world.proxy.setMode('swallow-all');
      const startedAt = performance.now();
      await world.instance.stop();
      const took = performance.now() - startedAt;
      world.t.ok(took < 10_500, `it ends within its ten seconds: ${Math.round(took)} ms`);
      world.proxy.cut();
      world.proxy.setMode('pass');
      await world.startInstance();
    },
  },
  {
    id: 'E1',
    title: 'every client is cut, again and again for 5 s',
    expected: 'all come back and miss nothing, on whichever server they land',
    world: { instances: 2 },
    strike: async (world) => {
      for (let turn = 0; turn < 10; turn += 1) {
        for (const participant of world.load.participants) participant.drop();
        await delay(500);
      }
    },
  },
];
