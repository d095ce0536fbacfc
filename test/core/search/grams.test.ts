import fc from 'fast-check';
import { test } from 'tap';
import { foldCase } from '../../../src/core/search/case-folding.ts';
import { GRANULE_SIZE, Grams, gramRows, PART_BYTES } from '../../../src/core/search/grams.ts';
import { BLOCK_SIZE } from '../../../src/core/search/offsets.ts';

/** Whether all rows of a text have the bit of a granule. */
function mayHold(grams: Grams, granule: number, text: string): boolean {
  return gramRows(text).every(({ part, firstBit }) => {
    const at = firstBit + granule;
    return (((grams.bits[part * PART_BYTES + (at >> 3)] ?? 0) << (at & 7)) & 0x80) !== 0;
  });
}

test('whatever part of a text is looked for, in whatever case, its granule is found', async (t) => {
  const text = fc.string({
    unit: fc.constantFrom(...'aAkK\u212a\u017fsSσςΣiİı你好😀%_\\ .é'),
    minLength: 1,
    maxLength: 60,
  });
  fc.assert(
    fc.property(text, fc.nat(BLOCK_SIZE - 1), fc.nat(), fc.nat(), (said, offset, from, length) => {
      const grams = new Grams();
      grams.add(offset, said);
      const chars = [...said];
      const start = from % chars.length;
      const part = chars.slice(start, start + 1 + (length % 12)).join('');
      const granule = Math.floor(offset / GRANULE_SIZE);
      return (
        mayHold(grams, granule, part.toUpperCase() === part ? part : foldCase(part)) &&
        mayHold(grams, granule, part)
      );
    }),
  );
  t.pass('no counter-example');
});

test('what nobody said is rarely taken for said', async (t) => {
  const words = [
    'the',
    'quick',
    'brown',
    'fox',
    'jumps',
    'over',
    'lazy',
    'dogs',
    'and',
    'then',
    'sleeps',
    'well',
  ];
  const grams = new Grams();
  for (let n = 0; n < BLOCK_SIZE; n += 1) {
    const word = (shift: number): string => words[(Math.imul(n, 0x9e37_79b1) >>> shift) % words.length] ?? '';
    grams.add(n, `${word(3)} ${word(9)} ${word(15)} ${n % 1_000}`);
  }
  for (const text of ['xyz', 'qj', '你', 'zebra crossing']) {
    let found = 0;
    for (let granule = 0; granule < BLOCK_SIZE / GRANULE_SIZE; granule += 1)
      found += Number(mayHold(grams, granule, text));
    t.ok(found < 6, `${text}: ${found} of 128`);
  }
});
