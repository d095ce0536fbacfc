import { test } from 'tap';
import { KeyedBuckets } from '../../src/core/keyed-buckets.ts';

test('each key has a bucket of its own', async (t) => {
  const buckets = new KeyedBuckets(1, 2, 10);
  t.same(
    ['alice', 'alice', 'alice', 'bob'].map((key) => buckets.take(key, 0)),
    [true, true, false, true],
  );
  t.ok(buckets.take('alice', 1_000));
  t.notOk(buckets.take('alice', 1_000));
});

test('those that are full again are forgotten, and those in use are not', async (t) => {
  const buckets = new KeyedBuckets(1, 2, 1_000);
  for (let number = 0; number < 100; number += 1) buckets.take(`user-${number}`, 0);
  buckets.take('busy', 999);
  buckets.take('busy', 999);
  for (let number = 0; number < 101; number += 1) buckets.take(`new-${number}`, 1_500);
  t.ok(buckets.size <= 102, `${buckets.size}`);
  t.notOk(buckets.take('busy', 1_500));
});

test('however many keys come at once, no more are remembered than the bound', async (t) => {
  const buckets = new KeyedBuckets(1, 2, 100);
  for (let number = 0; number < 10_000; number += 1) buckets.take(`user-${number}`, 0);
  t.equal(buckets.size, 100);
});

test('a rate of 0 switches the limit off', async (t) => {
  const buckets = new KeyedBuckets(0, 0, 10);
  for (let number = 0; number < 1_000; number += 1) t.ok(buckets.take('alice', 0));
  t.equal(buckets.size, 0);
});

test('who takes more than there is has a debt, and nothing until it is paid', async (t) => {
  const buckets = new KeyedBuckets(10, 20, 100);
  t.ok(buckets.hasAny('a', 0));
  t.equal(buckets.borrow('a', 0, 20), 0);
  t.notOk(buckets.hasAny('a', 0));
  t.equal(buckets.borrow('a', 0, 15), 1_500, 'when they will have flowed in');
  t.notOk(buckets.hasAny('a', 1_499));
  t.notOk(buckets.take('a', 1_550));
  t.ok(buckets.hasAny('a', 1_550));
  t.ok(buckets.hasAny('b', 0), 'nobody else has it');
  const off = new KeyedBuckets(0, 0, 100);
  t.equal(off.borrow('a', 0, 1_000), 0);
  t.ok(off.hasAny('a', 0));
});
