import { test } from 'tap';
import { isShort, shortBelow } from '../../src/core/disk-space.ts';

const GIB = 1024 ** 3;

test('a disk is short below 5 %, but never above 20 GiB and never below 1 GiB', (t) => {
  for (const [size, mark] of [
    [0.5, 1],
    [10, 1],
    [20, 1],
    [100, 5],
    [400, 20],
    [10_000, 20],
  ] as const) {
    const space = { free: mark * GIB, size: size * GIB };
    t.equal(shortBelow(space), mark * GIB, `${size} GiB`);
    t.equal(isShort(space, false), false);
    t.equal(isShort({ ...space, free: mark * GIB - 1 }, false), true);
  }
  t.end();
});

test('what was short is so until there is a tenth more', (t) => {
  const size = 100 * GIB;
  t.equal(isShort({ free: 5.4 * GIB, size }, true), true);
  t.equal(isShort({ free: 5.4 * GIB, size }, false), false);
  t.equal(isShort({ free: 5.6 * GIB, size }, true), false);
  t.end();
});
