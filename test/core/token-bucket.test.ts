import { test } from 'tap';
import { TokenBucket } from '../../src/core/token-bucket.ts';

/** How many tokens there are to take at one moment. */
function drain(bucket: TokenBucket, now: number): number {
  let taken = 0;
  while (taken < 1_000 && bucket.take(now)) taken += 1;
  return taken;
}

test('a burst passes, and not one more', async (t) => {
  t.equal(drain(new TokenBucket(50, 100, 0), 0), 100);
  t.equal(drain(new TokenBucket(50, 1, 7), 7), 1);
});

test('tokens flow in by the second, as parts of one too', async (t) => {
  const bucket = new TokenBucket(50, 100, 1_000);
  drain(bucket, 1_000);
  t.equal(drain(bucket, 1_019), 0);
  t.equal(drain(bucket, 1_020), 1, 'the part before was kept');
  t.equal(drain(bucket, 1_020), 0);
  t.equal(drain(bucket, 2_020), 50);
});

test('no more tokens than a burst are kept', async (t) => {
  const bucket = new TokenBucket(50, 100, 0);
  t.equal(drain(bucket, 3_600_000), 100);
  t.equal(drain(bucket, 7_200_000), 100);
});

test('asking in vain costs nothing', async (t) => {
  const bucket = new TokenBucket(1, 1, 0);
  t.ok(bucket.take(0));
  for (let now = 100; now < 1_000; now += 100) t.notOk(bucket.take(now));
  t.ok(bucket.take(1_001));
});

test('a rate of 0 switches the limit off', async (t) => {
  t.equal(drain(new TokenBucket(0, 0, 0), 0), 1_000);
});

test('it is full again when nothing is missing', async (t) => {
  const bucket = new TokenBucket(50, 100, 0);
  t.ok(bucket.isFull(0));
  drain(bucket, 0);
  t.notOk(bucket.isFull(1_999));
  t.ok(bucket.isFull(2_000));
});

test('who borrows is told when the token will have flowed in, and whoever comes then waits for as long', async (t) => {
  const bucket = new TokenBucket(50, 2, 0);
  t.strictSame(
    Array.from({ length: 5 }, () => bucket.borrow(0)),
    [0, 0, 20, 40, 60],
  );
  t.notOk(bucket.take(0));
  t.equal(bucket.borrow(60), 20, 'what was borrowed is paid first');
  t.notOk(bucket.isFull(100));
  t.ok(bucket.isFull(120));
  t.equal(new TokenBucket(0, 0, 0).borrow(0), 0, 'a rate of 0 switches the limit off');
});
