import { test } from 'tap';
import { until } from '../support/client.ts';
import { HOLD_MS, heardAfter, prove, worldOf } from './fsync-order.ts';
import { missing } from './tools.ts';
import type { World } from './world.ts';

/** Ways to make Postgres answer before the disk has; a server refuses to start with the first, and cannot see the second. */
const lies: Record<string, (world: World) => Promise<unknown>> = {
  'fsync=off': (world) =>
    world.sql('alter system set fsync = off').then(() => world.sql('select pg_reload_conf()')),
  'asynchronous commits': (world) =>
    world.sql(`create function lie() returns trigger language plpgsql as
      $$ begin perform set_config('synchronous_commit', 'off', true); return null; end $$;
      create trigger lie after insert on audit_batch for each statement execute function lie()`),
};

test('the proof of fsync-order.test.ts can fail, and what can be done against it is done', async (t) => {
  const lacking = await missing(['strace']);
  if (lacking.length > 0) {
    t.plan(0, `needs ${lacking.join()}`);
    return;
  }

  await t.test(
    'somebody who switches synchronous_commit off while the server runs changes nothing',
    async (tt) => {
      const world = await worldOf(tt, 1);
      await world.sql('alter system set synchronous_commit = off');
      await world.sql('select pg_reload_conf()');
      await world.sql('alter role current_user set synchronous_commit = off');
      tt.ok((await heardAfter(tt, world)) >= HOLD_MS, 'over the connections that there were');
      for (const pid of await world.backends()) await world.sql('select pg_terminate_backend($1)', [pid]);
      await until('somebody can speak', () => world.load.participants[1]?.say() === true);
      await until('it is answered', () => world.load.participants[1]?.pending === 0);
      tt.ok((await heardAfter(tt, world)) >= HOLD_MS, 'and over new ones');
    },
  );

  for (const [lie, tell] of Object.entries(lies)) {
    await t.test(`the proof fails on a Postgres that lies: ${lie}`, async (tt) => {
      const world = await worldOf(tt, 1);
      await tell(world);
      await world.acknowledged(10);
      const { delivered, early } = await prove(tt, world);
      tt.ok(early.length > delivered / 2, `${early.length} of ${delivered} were told too early`);
      const heard = await heardAfter(tt, world);
      tt.ok(heard < HOLD_MS, `it was heard after ${Math.round(heard)} ms, whatever the disk does`);
    });
  }
});
