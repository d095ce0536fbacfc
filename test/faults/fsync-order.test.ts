import { type Test, test } from 'tap';
import { until } from '../support/client.ts';
import { Cluster } from './cluster.ts';
import { entriesOf } from './facts.ts';
import { attachStrace } from './strace.ts';
import { missing } from './tools.ts';
import { type Call, parseCalls, toldTimes } from './trace.ts';
import { durableTimes } from './wal.ts';
import { World } from './world.ts';

/** strace slows everything down; so few messages. */
const LOAD = { clients: 6, rate: 30 };
const MESSAGES = 60;
/** What a server tells a client leaves by one of these; 1 MiB of each is shown. */
const TOLD = ['-ttt', '-T', '-y', '-s', '1048576', '-e', 'trace=write,writev,sendto,sendmsg,sendmmsg'];
const DURABLE = ['-ttt', '-T', '-y', '-xx', '-s', '16777216', '-e', 'trace=pwrite64,fdatasync'];
const HOLD_MS = 1_500;

type Proof = {
  /** Messages that clients got while they were watched. */
  delivered: number;
  /** Those that were on their way to somebody before they were durable, or without ever being. */
  early: string[];
};

/** Watches Postgres and the servers under load, and compares when messages were durable and when they were told. */
async function prove(t: Test, world: World): Promise<Proof> {
  const database = await attachStrace(t, await world.cluster.pids(), { follow: true, words: DURABLE });
  const pids = world.instances.map(({ pid }) => pid);
  const servers = await attachStrace(t, pids, { follow: true, words: TOLD });
  // Those that were under way when the watching began may have been written unseen.
  const before = new Set(entriesOf(world.history.entries, 'invoke').map(({ text }) => text));
  await world.acknowledged(MESSAGES, 30_000);
  await world.load.hush();
  await servers.detach();
  await database.detach();
  const calls = async (tracer: typeof servers): Promise<Call[]> =>
    [...(await tracer.output()).values()].flatMap(parseCalls);
  const durable = durableTimes(await calls(database));
  const told = toldTimes(await calls(servers));
  const rows = await world.sql<{ message: string; transaction: string }>(
    `select message, xmin::text as transaction from audit_event where action = 'MESSAGE_SENT'`,
  );
  const transactions = new Map(rows.map(({ message, transaction }) => [message, Number(transaction)]));
  const delivered = new Set(
    entriesOf(world.history.entries, 'delivery').flatMap(({ text }) => (before.has(text) ? [] : [text])),
  );
  const early = [...delivered].filter((text) => {
    const toldAt = told.get(text);
    const durableAt = durable.get(transactions.get(text) ?? -1);
    // What reached a client, but was not seen to leave, would have gone by a way that is not watched.
    return toldAt === undefined || durableAt === undefined || toldAt < durableAt;
  });
  return { delivered: delivered.size, early };
}

/** Holds every fdatasync of Postgres, lets somebody speak, and tells how long it took until anybody heard it. */
async function heardAfter(t: Test, world: World): Promise<number> {
  await world.load.hush();
  const words = ['-e', 'trace=fdatasync', '-e', `inject=fdatasync:delay_enter=${HOLD_MS}000`];
  const tracer = await attachStrace(t, await world.cluster.pids(), { follow: true, words });
  const sentAt = performance.now();
  await until('somebody can speak', () => world.load.participants[1]?.say() === true);
  const heard = () =>
    world.history.entries.find(
      (entry) => (entry.kind === 'delivery' || entry.kind === 'ok') && entry.at >= sentAt,
    );
  await until('somebody has heard it', () => heard() !== undefined);
  await tracer.detach();
  return (heard()?.at ?? 0) - sentAt;
}

const worldOf = async (t: Test, instances: number): Promise<World> => {
  const world = await World.create(t, await Cluster.create(t), { instances, load: LOAD });
  await world.acknowledged(10);
  return world;
};

/** Ways to make Postgres answer before the disk has; a server refuses to start with the first, and cannot see the second. */
const lies: Record<string, (world: World) => Promise<unknown>> = {
  'fsync=off': (world) =>
    world.sql('alter system set fsync = off').then(() => world.sql('select pg_reload_conf()')),
  'asynchronous commits': (world) =>
    world.sql(`create function lie() returns trigger language plpgsql as
      $$ begin perform set_config('synchronous_commit', 'off', true); return null; end $$;
      create trigger lie after insert on audit_batch for each statement execute function lie()`),
};

test('no byte of a message reaches anybody before the fsync of its batch', async (t) => {
  const lacking = await missing(['strace']);
  if (lacking.length > 0) {
    t.comment(`skipped: needs ${lacking.join()}`);
    t.pass();
    return;
  }

  await t.test('under load, on two servers, by the system calls of all of them', async (tt) => {
    const { delivered, early } = await prove(tt, await worldOf(tt, 2));
    tt.ok(delivered >= MESSAGES, `${delivered} messages were watched`);
    tt.strictSame(early, [], 'each left after the fdatasync that covers its commit');
  });

  await t.test('while an fdatasync is held up, nobody hears anything', async (tt) => {
    const heard = await heardAfter(tt, await worldOf(tt, 1));
    tt.ok(heard >= HOLD_MS, `it was heard after ${Math.round(heard)} ms`);
    tt.ok(heard < 3 * HOLD_MS, 'and right after it');
  });

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
