import { databaseUrl } from '../../support/postgres.ts';
import { Instance } from '../instance.ts';
import type { Row } from '../row.ts';
import { SERVER_ENV, type World } from '../world.ts';

const LISTENS = `query like '%listen minutebook%' or query like '%pg_notify%' or query like '%pg_listening_channels%'`;

/** Tells how long the others wait for a message of somebody on another server at most, from its acknowledgement. */
function slowestDelivery(world: World, since: number): number {
  const acknowledged = new Map<number, number>();
  let slowest = 0;
  for (const entry of world.history.entries) {
    if (entry.at < since) continue;
    if (entry.kind === 'ok') acknowledged.set(entry.seq, entry.at);
    if (entry.kind === 'delivery')
      slowest = Math.max(slowest, entry.at - (acknowledged.get(entry.seq) ?? entry.at));
  }
  return slowest;
}

/** Faults between servers that share a database. */
export const instances: readonly Row[] = [
  {
    id: '37a',
    title: 'the connections that listen for notifications are ended, again and again',
    expected: 'the poll is the net: others hear within a second, in order, and miss nothing',
    world: { instances: 2 },
    quick: true,
    strike: async (world) => {
      const since = performance.now();
      for (let turn = 0; turn < 5; turn += 1) {
        const ended = await world.sql(
          `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database()
           and application_name like 'minutebook%' and (${LISTENS})`,
        );
        if (turn === 0) world.t.ok(ended.length > 0, `${ended.length} connections listened`);
        await world.acknowledged(40);
      }
      const slowest = slowestDelivery(world, since);
      world.t.ok(
        slowest < 1_500,
        `everybody heard everything within ${Math.round(slowest)} ms of its acknowledgement`,
      );
    },
  },
  {
    id: '37b',
    title: 'the connections that listen are half open: nothing comes, and nobody is told',
    expected: 'the same, by the poll',
    world: { instances: 2, proxied: true },
    strike: async (world) => {
      const since = performance.now();
      world.proxy.forget('listen minutebook');
      await world.acknowledged(200);
      const slowest = slowestDelivery(world, since);
      world.t.ok(
        slowest < 1_500,
        `everybody heard everything within ${Math.round(slowest)} ms of its acknowledgement`,
      );
    },
  },
  {
    id: '38',
    title: 'three servers start at once on an empty database, three times',
    expected: 'the schema is made once; all serve, under names of their own',
    strike: async (world) => {
      for (let turn = 0; turn < 3; turn += 1) {
        const [{ name } = { name: '' }] = await world.sql<{ name: string }>(
          `select current_database() || '_${turn}' as name`,
        );
        await world.sql(`create database ${name} template template0`);
        const env = { ...SERVER_ENV, DATABASE_URL: databaseUrl(name, world.url) };
        const started = await Promise.all([0, 1, 2].map(() => Instance.start(world.t, { env })));
        await Promise.all(started.map((instance) => instance.untilReady()));
        world.t.equal(
          new Set(started.map((instance) => instance.name)).size,
          3,
          'each has a name of its own',
        );
        for (const instance of started) world.t.equal(await instance.stop(), 0);
      }
    },
  },
];
