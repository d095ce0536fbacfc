import { test } from 'tap';
import { Pace } from '../../src/core/pace.ts';
import { until } from '../support/client.ts';

const bounds = { perSecond: 100, burst: 2, maxKeys: 100, maxWaiting: 10, maxWaitingOfAll: 15 };

test('a burst need not wait; what is beyond does, in its order, and no other key for it', async (t) => {
  const pace = new Pace(bounds);
  const turns = Array.from({ length: 5 }, () => pace.turn('alice', 0));
  t.same(
    turns.map((turn) => turn === undefined),
    [true, true, false, false, false],
  );
  t.equal(pace.turn('bob', 0), undefined);
  t.equal(pace.waiting, 3);
  const begun: number[] = [];
  for (const [index, turn] of turns.entries()) void turn?.then(() => begun.push(index));
  await until('all had their turn', () => begun.length === 3);
  t.strictSame(begun, [2, 3, 4]);
  t.equal(pace.waiting, 0);
});

test('so many of one key wait, and of all; beyond, those who have some waiting are full', async (t) => {
  const pace = new Pace({ ...bounds, perSecond: 0.01 });
  const waiting = (key: string): number => {
    let count = 0;
    for (let n = 0; n < 30; n += 1) if (pace.turn(key, 0) !== undefined) count += 1;
    return count;
  };
  t.notOk(pace.isFull('alice'));
  t.equal(waiting('alice'), 10);
  t.ok(pace.isFull('alice'));
  t.notOk(pace.isFull('bob'));
  t.equal(waiting('bob'), 5);
  t.ok(pace.isFull('bob'), 'for no more may wait at all');
  t.equal(waiting('carol'), 0);
  t.notOk(pace.isFull('carol'), 'who has done nothing is heard');
  pace.end();
});

test('at the end all have their turn at once, and nobody waits any more', async (t) => {
  const pace = new Pace({ ...bounds, perSecond: 0.01 });
  const turns = Array.from({ length: 5 }, () => pace.turn('alice', 0));
  pace.end();
  await Promise.all(turns);
  t.equal(pace.waiting, 0);
  t.notOk(pace.isFull('alice'));
  t.equal(pace.turn('alice', 0), undefined);
});

test('a rate of 0 switches it off', async (t) => {
  const pace = new Pace({ ...bounds, perSecond: 0, burst: 0 });
  for (let n = 0; n < 1_000; n += 1) t.equal(pace.turn('alice', 0), undefined);
});
