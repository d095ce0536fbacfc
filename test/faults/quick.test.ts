import { test } from 'tap';
import { Cluster } from './cluster.ts';
import { rows } from './rows/index.ts';
import { runRow } from './run-row.ts';

// The most telling rows; `npm run test:faults` runs all of them.
test('under a fault nothing is lost, doubled, out of order or told before it is on record', async (t) => {
  // Under two minutes on a machine of its own.
  t.setTimeout(400_000);
  const cluster = await Cluster.create(t);
  for (const row of rows.filter(({ quick }) => quick === true)) {
    await t.test(`${row.id}: ${row.title}`, async (tt) => {
      await runRow(tt, row, cluster);
    });
  }
});
