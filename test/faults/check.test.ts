import { test } from 'tap';
import { until } from '../support/client.ts';
import { check, type InvariantId, invariantIds } from './check.ts';
import { Cluster } from './cluster.ts';
import { Material } from './material.ts';
import { mutations } from './mutations.ts';
import { none } from './rows/none.ts';
import { conclude } from './run-row.ts';
import { walkLog } from './walk.ts';
import { World } from './world.ts';

test('the checker finds every single fault in a good history, and blames what is broken', async (t) => {
  const world = await World.create(t, await Cluster.create(t), { instances: 2 });
  const stopWalking = walkLog(world);
  await world.acknowledged(60);
  await stopWalking();
  // Several events in one batch, which a fast machine hardly ever has.
  const admin = await world.connection();
  await admin.query('begin; lock table audit_event in exclusive mode');
  // One of each server is on its way alone; those behind them go together.
  const waiting = (): number => world.load.participants.reduce((sum, { pending }) => sum + pending, 0);
  await until('many wait for the log', () => waiting() >= 12);
  await admin.query('commit');
  await none.strike(world);
  const log = await conclude(t, world);
  const { entries } = world.history;
  const broken = ({ entries: spoilt, ...spoiltLog }: Material): InvariantId[] =>
    check(spoilt, spoiltLog).flatMap(({ id, violations }) => (violations.length > 0 ? [id] : []));
  t.strictSame(broken(new Material(entries, log)), [], 'the history is good');
  for (const { what, spoil, breaks } of mutations) {
    const material = new Material(entries, log);
    spoil(material);
    t.strictSame(broken(material), breaks, what);
  }
  const blamed = new Set(mutations.flatMap(({ breaks }) => (breaks.length === 1 ? breaks : [])));
  t.strictSame(
    invariantIds.filter((id) => !blamed.has(id)),
    [],
    'each invariant is broken alone by something',
  );
});
