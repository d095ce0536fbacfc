import { setTimeout as delay } from 'node:timers/promises';
import { test } from 'tap';
import type { Budget } from '../../../plugins/limits.ts';
import { Joiner, Rounds, type Writer } from '../../../plugins/streams/rounds.ts';
import { until } from '../../support/client.ts';

const unlimited: Budget = { owner: 'rich', isLeft: () => true, spend: () => {} };

/** Notes when it is flushed. */
function writerOf(flushed: string[], name: string, budget = unlimited): Writer {
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

test('who has nothing left waits, in their order, and holds nobody up', async (t) => {
  const rounds = new Rounds();
  const flushed: string[] = [];
  let left = 15;
  const budget: Budget = {
    owner: 'poor',
    isLeft: () => left > 0,
    spend: (bytes) => {
      left -= bytes;
    },
  };
  const [a, b, c, other] = ['a', 'b', 'c', 'other'].map((name) =>
    writerOf(flushed, name, name === 'other' ? unlimited : budget),
  ) as [Writer, Writer, Writer, Writer];
  for (const writer of [a, b, c, other]) rounds.add(writer);
  await null;
  t.strictSame(flushed, ['a', 'b', 'other'], 'the last that may leaves a debt');
  rounds.add(a);
  // Longer than any pause.
  await delay(50);
  rounds.add(other);
  await null;
  t.strictSame(flushed.slice(3), ['other'], 'at once, though some wait');
  left = 5;
  rounds.add(b);
  await until('one of them has its turn', () => flushed.length > 4);
  t.strictSame(flushed.slice(4), ['c'], 'who waited longest');
  left = 100;
  await until('so have the others', () => flushed.length === 7);
  t.strictSame(flushed.slice(5), ['a', 'b']);
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
