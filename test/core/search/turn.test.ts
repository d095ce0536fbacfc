import { test } from 'tap';
import { BLOCK_SIZE } from '../../../src/core/search/offsets.ts';
import { IndexingTurn } from '../../../src/core/search/turn.ts';

/** What one instance finds, look after look, of the blocks that are indexed and those that are whole. */
function looks(older: number | undefined, found: readonly [nextBlock: number, whole: number][]): boolean[] {
  const turn = new IndexingTurn();
  return found.map(([nextBlock, whole]) => turn.look({ older, nextBlock, nextSeq: whole * BLOCK_SIZE + 5 }));
}

/** How many looks it takes until it is an instance’s turn, of blocks that nobody indexes. */
const patienceOf = (older: number): number =>
  looks(
    older,
    Array.from({ length: 50 }, () => [4, 7]),
  ).indexOf(true);

test('it is the eldest’s turn at once and always, and never that of who has no place in the log', async (t) => {
  t.strictSame(
    looks(0, [
      [0, 0],
      [0, 9],
      [0, 9],
    ]),
    [true, true, true],
  );
  t.strictSame(
    looks(
      undefined,
      Array.from({ length: 50 }, () => [0, 9]),
    ),
    Array(50).fill(false),
  );
});

test('while the eldest makes progress, or little waits, nobody stands in for it', async (t) => {
  const progress = Array.from({ length: 50 }, (_, n): [number, number] => [n, 700]);
  t.strictSame(looks(1, progress), Array(50).fill(false));
  const little = Array.from({ length: 50 }, (): [number, number] => [4, 6]);
  t.strictSame(looks(1, little), Array(50).fill(false));
});

test('the next eldest stands in first, and the one after only if that makes nothing either', async (t) => {
  t.strictSame([1, 2, 3].map(patienceOf), [3, 6, 9]);
});

test('who stands in goes on until nothing waits, and is as patient the next time', async (t) => {
  const turn = new IndexingTurn();
  const look = (nextBlock: number, whole: number): boolean =>
    turn.look({ older: 1, nextBlock, nextSeq: whole * BLOCK_SIZE });
  t.strictSame(
    [0, 0, 0, 0].map((next) => look(next, 3)),
    [false, false, false, true],
  );
  t.equal(look(1, 3), true);
  t.equal(look(2, 4), true);
  t.equal(look(4, 4), false);
  t.strictSame(
    [4, 4, 4, 4].map((next) => look(next, 7)),
    [false, false, false, true],
  );
  t.equal(turn.look({ older: undefined, nextBlock: 4, nextSeq: 7 * BLOCK_SIZE }), false);
});
