import { test } from 'tap';
import { CodedError } from '../../src/core/errors.ts';
import { resumed, walk } from '../../src/core/export-walk.ts';
import { rejectionOf } from '../support/log.ts';

type Range = { from: number; to: number };

/** A log of which some numbers match, and of which so many can be looked at in time. */
function logOf(matching: readonly number[], { inTime = Number.POSITIVE_INFINITY, limit = 3 } = {}) {
  const asked: Range[] = [];
  const readPage = async (part: Range) => {
    asked.push(part);
    const found = matching.filter((seq) => seq >= part.from && seq < part.to);
    const seen = (found[limit] ?? part.to) - part.from;
    if (seen > inTime) throw new CodedError('too_slow', 'too slow');
    const seqs = found.slice(0, limit);
    return { seqs, lastSeq: seqs.at(-1) ?? null, hasMore: found.length > limit };
  };
  return { asked, readPage };
}

async function all(range: Range, log: ReturnType<typeof logOf>, tookMs = 0): Promise<number[]> {
  let clock = 0;
  const seen: number[] = [];
  for await (const { seqs } of walk(range, log.readPage, () => (clock += tookMs))) {
    if (seqs.length === 0) throw new Error('a page was empty');
    seen.push(...seqs);
  }
  return seen;
}

const upTo = (count: number): number[] => Array.from({ length: count }, (_, seq) => seq);

test('each page begins after the last event of the one before, and the last is no longer asked for', async (t) => {
  const log = logOf(upTo(8));
  t.strictSame(await all({ from: 1, to: 8 }, log), [1, 2, 3, 4, 5, 6, 7]);
  t.strictSame(log.asked, [
    { from: 1, to: 8 },
    { from: 4, to: 8 },
    { from: 7, to: 8 },
  ]);
  t.strictSame(await all({ from: 5, to: 5 }, log), [], 'nothing is asked of an empty range');
});

test('where a page takes too long it is asked for in parts, without loss or repeat', async (t) => {
  const matching = [0, 1, 2, 3, 4, 250_000, 250_001, 777_777, 999_999];
  for (const tookMs of [0, 1_000]) {
    const log = logOf(matching, { inTime: 70_000 });
    t.strictSame(await all({ from: 0, to: 1_000_000 }, log, tookMs), matching);
    t.ok(log.asked.length < 200, `${log.asked.length} pages`);
  }
});

test('after a part that is slow to look through, parts grow again', async (t) => {
  const asked: Range[] = [];
  const readPage = async (part: Range) => {
    asked.push(part);
    if (part.from < 10_000 && part.to - part.from > 2_000) throw new CodedError('too_slow', 'too slow');
    return { lastSeq: null, hasMore: false };
  };
  for await (const _ of walk({ from: 0, to: 1_000_000 }, readPage, () => 0)) t.fail('nothing matches');
  t.ok(asked.length < 50, `${asked.length} parts`);
});

test('what takes too long in the smallest part as well is given up', async (t) => {
  const log = logOf([9_999], { inTime: 500 });
  t.match(await rejectionOf(all({ from: 0, to: 10_000 }, log)), { code: 'too_slow' });
});

test('any other failure ends the walk at once', async (t) => {
  const failing = async () => {
    throw new CodedError('audit_unavailable', 'gone');
  };
  const pages = walk({ from: 0, to: 10 }, failing, () => 0);
  t.match(await rejectionOf(pages.next()), { code: 'audit_unavailable' });
});

test('a walk goes on from its first step', async (t) => {
  const log = logOf(upTo(5));
  const pages = walk({ from: 0, to: 5 }, log.readPage, () => 0);
  const first = await pages.next();
  const seen: number[] = [];
  for await (const { seqs } of resumed(first, pages)) seen.push(...seqs);
  t.strictSame(seen, [0, 1, 2, 3, 4]);
});
