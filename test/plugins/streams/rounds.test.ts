import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'tap';
import { Joiner, Rounds } from '../../../plugins/streams/rounds.ts';
import { until } from '../../support/client.ts';

/** Notes when it is flushed, and how many bytes it spends. */
function writerOf(
  flushed: string[],
  name: string,
  budget = { isLeft: () => true, spend: (_: number) => {} },
) {
  return {
    budget,
    flush: () => {
      flushed.push(name);
      return 10;
    },
  };
}

test('who writes first does so at once, and what comes next gathers', async (t) => {
  const rounds = new Rounds();
  const flushed: string[] = [];
  // So many that the pause after them is a long one.
  const names = Array.from({ length: 40 }, (_, n) => `${n}`);
  const writers = names.map((name) => writerOf(flushed, name));
  for (const writer of writers) rounds.add(writer);
  const before = flushed.length;
  await null;
  const after = flushed.length;
  for (const writer of writers) {
    rounds.add(writer);
    await null;
  }
  const soonAfter = flushed.length;
  t.strictSame([before, after, soonAfter], [0, 40, 40], 'not before the pause is over');
  await until('the next round', () => flushed.length > 40);
  t.strictSame(flushed.slice(40), names, 'all in one');
  await delay(25);
  const [first] = writers;
  if (first !== undefined) rounds.add(first);
  await null;
  t.equal(flushed.length, 81, 'at once again');
});

test('who has nothing left waits, and holds nobody up', async (t) => {
  const rounds = new Rounds();
  const flushed: string[] = [];
  let left = 15;
  const budget = {
    isLeft: () => left > 0,
    spend: (bytes: number) => {
      left -= bytes;
    },
  };
  for (const name of ['a', 'b', 'c']) rounds.add(writerOf(flushed, name, budget));
  rounds.add(writerOf(flushed, 'other'));
  await null;
  t.strictSame(flushed, ['a', 'b', 'other'], 'the last that may leaves a debt');
  const again = writerOf(flushed, 'a', budget);
  rounds.add(again);
  await delay(50);
  t.equal(flushed.length, 3);
  left = 5;
  await until('one of them has its turn', () => flushed.length > 3);
  t.strictSame(flushed.slice(3), ['c'], 'who waited longest');
  rounds.remove(again);
});

test('who is gone is not written to', async (t) => {
  const rounds = new Rounds();
  const flushed: string[] = [];
  const [gone, other] = [writerOf(flushed, 'gone'), writerOf(flushed, 'other')];
  rounds.add(gone);
  rounds.add(other);
  rounds.remove(gone);
  await null;
  t.strictSame(flushed, ['other']);
});

test('the same blocks are joined once', async (t) => {
  const joiner = new Joiner();
  const [a, b, c] = ['a', 'bb', 'ccc'].map((text) => Buffer.from(text)) as [Buffer, Buffer, Buffer];
  const first = joiner.join([a, b], 3);
  t.equal(String(first), 'abb');
  t.equal(joiner.join([a, b], 3), first, 'the same bytes');
  t.equal(String(joiner.join([b, a], 3)), 'bba');
  t.equal(String(joiner.join([a, b, c], 6)), 'abbccc');
  t.equal(String(joiner.join([a, b], 3)), 'abb');
  t.equal(joiner.join([c], 3), c, 'one is as it is');
});
