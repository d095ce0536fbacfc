import { join } from 'node:path';
import type { AuditPage } from '../../../src/core/schemas.ts';
import { temporaryFolder } from '../../support/app.ts';
import { until } from '../../support/client.ts';
import { entriesOf } from '../facts.ts';
import type { Row } from '../row.ts';
import { tokenFor, type World } from '../world.ts';

/** A cursor of the old history. */
const cursors = new WeakMap<World, string>();

const read = async (world: World, search: string): Promise<Response> =>
  fetch(`${world.targets[0]}/audit?order=asc&limit=5${search}`, {
    headers: { authorization: `Bearer ${await tokenFor('auditor', 'audit:read')}` },
  });

/** Copies the cluster, and lets people talk on; resolves with what puts the copy in its place. */
async function fork(world: World): Promise<() => Promise<void>> {
  const { cluster } = world;
  const copy = join(await temporaryFolder(world.t), 'copy');
  await cluster.stop();
  await cluster.copyTo(copy);
  await cluster.start();
  await world.acknowledged(60);
  const { next_cursor } = (await (await read(world, '')).json()) as AuditPage;
  cursors.set(world, next_cursor ?? '');
  return async () => {
    await cluster.stop();
    await cluster.restoreFrom(copy);
    await cluster.start();
  };
}

/** A new history says so to everybody who comes with something of the old one. */
async function assertNewEpoch(world: World): Promise<void> {
  const [before] = world.chapters;
  const { epoch } = ((await world.sql<{ epoch: string }>('select epoch from audit_log'))[0] ?? {}) as {
    epoch: string;
  };
  world.t.not(epoch, before?.log.epoch, 'the epoch is a new one');
  const begun = await world.sql(
    `select 1 from audit_event where action = 'EPOCH_STARTED' and details->>'epoch' = $1`,
    [epoch],
  );
  world.t.equal(begun.length, 1, 'its beginning is on record, once');
  await world.load.settled();
  const resets = entriesOf(world.history.entries, 'reset');
  world.t.ok(
    resets.length >= world.load.participants.length,
    `${resets.length} times \`since\` was answered by a reset`,
  );
  world.t.ok(
    resets.every((reset) => reset.epoch === epoch),
    'which names the new epoch',
  );
  const old = new Set(entriesOf(before?.entries ?? [], 'welcome').map(({ session }) => session));
  const stale = entriesOf(world.history.entries, 'delivery').filter(({ session }) => old.has(session));
  world.t.strictSame(stale, [], 'no session hears of both histories');
  const { status } = await read(world, `&cursor=${cursors.get(world)}`);
  world.t.ok(status === 400 || status === 410, `a cursor of the old history is answered ${status}`);
}

/** The database is put back to an older state. */
export const restore: readonly Row[] = [
  {
    id: '27a',
    title: 'the database is put back to an older copy while the server runs',
    expected:
      'noticed: a new epoch; every session is cut, and every `since` and cursor of the old history refused',
    world: { proxied: true, cluster: async () => ({}) },
    unread: true,
    answersMayBeLate: true,
    recoversInMs: 10_000,
    strike: async (world) => {
      const putBack = await fork(world);
      world.proxy.setMode('refuse');
      await until('nothing is under way any more', async () => (await world.backends()).length === 0);
      await world.endChapter({ open: true });
      await putBack();
      world.proxy.setMode('pass');
    },
    afterwards: (world) => assertNewEpoch(world),
  },
  {
    id: '27b',
    title: 'the server is stopped, the database put back to an older copy, and the server started again',
    expected: 'noticed at its start by what it remembers in DATA_DIR; else the same',
    world: { cluster: async () => ({}) },
    unread: true,
    strike: async (world) => {
      const putBack = await fork(world);
      const { dataDir } = world.instance.server;
      world.t.equal(await world.instance.stop(), 0);
      await world.endChapter({ open: false });
      await putBack();
      await world.startInstance({ dataDir });
    },
    afterwards: (world) => assertNewEpoch(world),
  },
];
