import { test } from 'tap';
import { Cluster } from './cluster.ts';
import { tableOf, writeReport } from './report.ts';
import type { Outcome } from './row.ts';
import { rows } from './rows/index.ts';
import { runRow } from './run-row.ts';

// npm run test:faults [-- --test-arg=ROW ...]: every row, or those named, one after the other.
const asked = new Set(process.argv.slice(2));

test('under a fault nothing is lost, doubled, out of order or told before it is on record', async (t) => {
  const cluster = await Cluster.create(t);
  const outcomes: Outcome[] = [];
  for (const row of rows.filter(({ id }) => asked.size === 0 || asked.has(id))) {
    await t.test(`${row.id}: ${row.title}`, async (tt) => {
      outcomes.push(await runRow(tt, row, cluster));
    });
  }
  for (const line of tableOf(outcomes)) t.comment(line);
  // Half a table would be a lie.
  if (asked.size === 0 && outcomes.length === rows.length) await writeReport(outcomes);
});
