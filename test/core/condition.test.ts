import { setImmediate as nextTurn } from 'node:timers/promises';
import { test } from 'tap';
import { Condition } from '../../src/core/condition.ts';

test('all who wait go on once what they wait for holds, and not before', async (t) => {
  const condition = new Condition();
  let value = 0;
  const passed: number[] = [];
  const waiting = [1, 2, 2].map((least) =>
    condition.until(() => value >= least).then(() => passed.push(least)),
  );
  await condition.until(() => true);
  for (const now of [0, 1, 2]) {
    value = now;
    await nextTurn();
    t.equal(passed.length, now === 2 ? 1 : 0, 'it is looked at when something has changed');
    condition.changed();
    await nextTurn();
    t.strictSame(
      passed,
      [1, 2, 2].filter((least) => least <= now),
    );
  }
  await Promise.all(waiting);
});
