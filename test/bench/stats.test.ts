import { test } from 'tap';
import { Latencies, median, percentile, ratios, spread } from '../../bench/stats.ts';

test('a percentile is the value that so many are at or below', async (t) => {
  const hundred = Array.from({ length: 100 }, (_, index) => index + 1);
  t.equal(percentile(hundred, 0.5), 50);
  t.equal(percentile(hundred, 0.99), 99);
  t.equal(percentile(hundred, 1), 100);
  t.equal(percentile(hundred, 0), 1);
  t.equal(percentile([1, 2, 3], 0.5), 2);
  t.equal(percentile([7], 0.99), 7);
  t.equal(percentile([1, 2], 0.5), 1);
  t.same(percentile([], 0.5), Number.NaN);
});

test('a median is the middle, or the mean of the two in the middle', async (t) => {
  t.equal(median([5, 1, 3]), 3);
  t.equal(median([4, 1, 3, 2]), 2.5);
  t.equal(median([9]), 9);
  t.same(median([]), Number.NaN);
});

test('a spread leaves out what could not be had', async (t) => {
  t.same(spread([3, null, 1, 2]), { median: 2, min: 1, max: 3 });
  t.equal(spread([null]), null);
  t.equal(spread([]), null);
  t.same(spread([Number.NaN, 4, 1 / 0]), { median: 4, min: 4, max: 4 });
});

test('ratios are taken round by round', async (t) => {
  // In the second round the machine was ten times slower, for both.
  t.same(ratios([30, 2, 20], [10, 1, 10]), { median: 2, min: 2, max: 3 });
  t.same(ratios([8, 4], [2]), { median: 4, min: 4, max: 4 });
  t.equal(ratios([], [1]), null);
});

test('latencies are summed up, however many they are', async (t) => {
  const latencies = new Latencies();
  for (let value = 200_000; value > 0; value -= 1) latencies.add(value);
  t.same(latencies.summary(), { count: 200_000, p50: 100_000, p99: 198_000, max: 200_000 });
  t.same(new Latencies().summary(), {
    count: 0,
    p50: Number.NaN,
    p99: Number.NaN,
    max: Number.NaN,
  });
});
