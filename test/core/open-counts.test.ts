import { test } from 'tap';
import { OpenCounts } from '../../src/core/open-counts.ts';

test('a key may have so many open, and not one more', async (t) => {
  const counts = new OpenCounts(2);
  for (let number = 0; number < 2; number += 1) {
    t.ok(counts.hasRoom('alice'));
    counts.add('alice');
  }
  t.notOk(counts.hasRoom('alice'));
  t.ok(counts.hasRoom('bob'));
  counts.remove('alice');
  t.ok(counts.hasRoom('alice'));
});

test('who has nothing open takes no memory', async (t) => {
  const counts = new OpenCounts(2);
  counts.add('alice');
  counts.add('alice');
  counts.add('bob');
  t.equal(counts.size, 2);
  for (const key of ['alice', 'alice', 'bob', 'nobody']) counts.remove(key);
  t.equal(counts.size, 0);
});

test('a limit of 0 switches it off', async (t) => {
  const counts = new OpenCounts(0);
  for (let number = 0; number < 100; number += 1) counts.add('alice');
  t.ok(counts.hasRoom('alice'));
  t.equal(counts.size, 0);
});
