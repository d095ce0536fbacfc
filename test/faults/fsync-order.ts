import type { Test } from 'tap';
import { until } from '../support/client.ts';
import { Cluster } from './cluster.ts';
import { entriesOf } from './facts.ts';
import { attachStrace } from './strace.ts';
import { type Call, parseCalls, toldTimes } from './trace.ts';
import { durableTimes } from './wal.ts';
import { World } from './world.ts';

/** strace slows everything down; so few messages. */
const LOAD = { clients: 6, rate: 30 };
export const MESSAGES = 60;
/** What a server tells a client leaves by one of these; 1 MiB of each is shown. */
const TOLD = ['-ttt', '-T', '-y', '-s', '1048576', '-e', 'trace=write,writev,sendto,sendmsg,sendmmsg'];
const DURABLE = ['-ttt', '-T', '-y', '-xx', '-s', '16777216', '-e', 'trace=pwrite64,fdatasync'];
export const HOLD_MS = 1_500;

export type Proof = {
  /** Messages that clients got while they were watched. */
  delivered: number;
  /** Those that were on their way to somebody before they were durable, or without ever being. */
  early: string[];
};

/** Watches Postgres and the servers under load, and compares when messages were durable and when they were told. */
export async function prove(t: Test, world: World): Promise<Proof> {
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
export async function heardAfter(t: Test, world: World): Promise<number> {
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

/** Few people on servers of their own Postgres. */
export const worldOf = async (t: Test, instances: number): Promise<World> => {
  const world = await World.create(t, await Cluster.create(t), { instances, load: LOAD });
  await world.acknowledged(10);
  return world;
};
