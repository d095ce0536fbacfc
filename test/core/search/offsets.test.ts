import { test } from 'tap';
import { BLOCK_SIZE, isListed, listBytes, Offsets } from '../../../src/core/search/offsets.ts';

const of = (...positions: number[]): Offsets => {
  const offsets = new Offsets();
  for (const position of positions) offsets.add(position);
  return offsets;
};

test('positions come back in rising order, each once, also at the ends of words and of the block', async (t) => {
  t.strictSame([...of(BLOCK_SIZE - 1, 32, 31, 0, 31, 63, 64)], [0, 31, 32, 63, 64, BLOCK_SIZE - 1]);
  t.strictSame([...of()], []);
  t.equal(Offsets.all().count, BLOCK_SIZE);
  t.strictSame([...Offsets.range(30, 34)], [30, 31, 32, 33]);
  t.strictSame([...Offsets.range(-5, 2)], [0, 1]);
  t.strictSame([...Offsets.range(BLOCK_SIZE - 1, BLOCK_SIZE + 9)], [BLOCK_SIZE - 1]);
});

test('only what both have is kept', async (t) => {
  const offsets = of(1, 5, 40, 9_000);
  offsets.keep(of(5, 41, 9_000));
  t.strictSame([...offsets], [5, 9_000]);
});

test('a part is counted as a look at each position would', async (t) => {
  const positions = Array.from({ length: 900 }, (_, n) => (n * 7_919) % BLOCK_SIZE);
  const offsets = of(...positions);
  for (const [from, to] of [
    [0, BLOCK_SIZE],
    [-10, BLOCK_SIZE + 10],
    [0, 1],
    [31, 33],
    [32, 64],
    [100, 100],
    [200, 100],
    [BLOCK_SIZE - 1, BLOCK_SIZE],
    [5_000, 9_001],
  ] as const) {
    const expected = positions.filter((position) => position >= from && position < to).length;
    t.equal(offsets.countIn(from, to), expected, `${from} to ${to}`);
  }
});

test('a list is read as it is written: two bytes for each position, or a bit for each event', async (t) => {
  t.equal(listBytes(3), 6);
  t.equal(isListed(BLOCK_SIZE / 16 - 1), true);
  t.equal(
    listBytes(BLOCK_SIZE / 16 - 1),
    BLOCK_SIZE / 8 - 2,
    'no list of positions is as long as one of bits',
  );
  t.equal(isListed(BLOCK_SIZE / 16), false);
  t.equal(listBytes(BLOCK_SIZE), BLOCK_SIZE / 8);
  const offsets = new Offsets();
  offsets.addList(Buffer.from([1, 0, 0xff, 0x3f]));
  t.strictSame([...offsets], [1, BLOCK_SIZE - 1]);
  const bits = Buffer.alloc(BLOCK_SIZE / 8);
  bits[0] = 0b1000_0001;
  bits[BLOCK_SIZE / 8 - 1] = 0b1000_0000;
  offsets.addList(bits);
  t.strictSame([...offsets], [0, 1, 7, BLOCK_SIZE - 1]);
});
