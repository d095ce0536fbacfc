import { until } from '../support/client.ts';
import type { Mode } from '../support/proxy.ts';
import type { World } from './world.ts';

/** A fault strikes before the database has done what it was asked for, or after it has, but before it said so. */
export type Moment = 'before' | 'after';

/**
 * Sets the proxy's mode when the next message is to be recorded: its append is the first to be treated so. A batch of
 * somebody's read alone would leave the messages behind it waiting, and nobody in doubt.
 */
export async function setModeAtNextAppend({ proxy }: World, mode: Mode): Promise<void> {
  let asked = false;
  proxy.onRequest('MESSAGE_SENT', () => {
    proxy.setMode(mode);
    asked = true;
  });
  await until('a message is to be recorded', () => asked);
}

/**
 * Strikes while an append is under way: `before`, with the request held in the proxy; `after`, with the batch
 * committed and the answer held back. What was under way on the proxy's connections is lost either way.
 */
export async function atNextAppend(
  world: World,
  moment: Moment,
  strike: () => Promise<unknown>,
): Promise<void> {
  const { proxy } = world;
  await setModeAtNextAppend(world, 'hold');
  if (moment === 'after') {
    const [last] = await world.sql<{ seq: string }>('select max(first_seq) as seq from audit_batch');
    proxy.setMode('swallow-answers');
    await until('it is committed', async () => {
      const later = await world.sql('select 1 from audit_batch where first_seq > $1', [last?.seq]);
      return later.length > 0;
    });
  }
  await strike();
  // What was held is lost with its connections; new ones find the database as the fault has left it.
  proxy.cut();
  proxy.setMode('pass');
}

/**
 * Strikes while the append of a message holds the number, inside the database: `strike` gets the backend's process.
 * Every such append takes half a second longer from then on, until the fault is healed.
 */
export async function whileAppending(
  world: World,
  strike: (backend: number) => Promise<unknown>,
): Promise<void> {
  // Inside a trigger, so that it is the append itself that stands there.
  await world.sql(`create function hold() returns trigger language plpgsql as
    $$ begin
      if exists (select from fresh where action = 'MESSAGE_SENT') then perform pg_sleep(0.5); end if;
      return null;
    end $$;
    create trigger hold after insert on audit_event referencing new table as fresh
      for each statement execute function hold()`);
  // To drop the trigger would mean to wait for a lock, and who is back would be counted from after that.
  world.onHeal(() =>
    world.sql(`create or replace function hold() returns trigger language plpgsql as
      $$ begin return null; end $$`),
  );
  let backend: number | undefined;
  await until('an append holds the number', async () => {
    const rows = await world.sql<{ pid: number }>(
      `select pid from pg_stat_activity
       where wait_event = 'PgSleep' and query like '%audit_append%' and datname = current_database() limit 1`,
    );
    backend = rows[0]?.pid;
    return backend !== undefined;
  });
  if (backend !== undefined) await strike(backend);
}
