import { test } from 'tap';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import type { BlockIndex } from '../../../src/core/search/block.ts';
import { Indexer } from '../../../src/core/search/indexer.ts';
import { BLOCK_SIZE } from '../../../src/core/search/offsets.ts';

const event = (seq: number): AuditEvent => ({
  seq,
  timestamp: '',
  occurred_at: '',
  action: 'MESSAGE_SENT',
  user_id: `user-${seq % 3}`,
  message: 'hi',
  room: null,
  session_id: null,
  target_user_id: null,
  instance: 'x',
  ip: null,
  erased_by: null,
  details: {},
});
const events = (from: number, to: number): AuditEvent[] =>
  Array.from({ length: to - from }, (_, n) => event(from + n));

/** A log in memory, and an indexer of it; `read` tells which ranges were read from it. */
function world(next = 0) {
  const written: BlockIndex[] = [];
  const read: [from: number, until: number][] = [];
  const errors: unknown[] = [];
  const state = { next, failures: 0 };
  const indexer = new Indexer({
    readNextBlock: async () => state.next,
    fill: async (builder, until) => {
      if (builder.from < until) read.push([builder.from, until]);
      for (let seq = builder.from; seq < until; seq += 1) builder.add(event(seq));
    },
    write: async (index) => {
      if (state.failures > 0) {
        state.failures -= 1;
        throw new Error('the database is away');
      }
      if (index.block !== state.next) return false;
      state.next += 1;
      written.push(index);
      return true;
    },
    onError: (error) => errors.push(error),
  });
  const counted = (): number[] =>
    written.map(({ fields, counts }) => counts.reduce((sum, n, at) => (fields[at] === 1 ? sum + n : sum), 0));
  return { indexer, state, written, read, errors, counted };
}

test('what was committed before it began is read, what comes is not read again', async (t) => {
  const { indexer, read, counted } = world();
  await indexer.work(BLOCK_SIZE + 100);
  t.strictSame(counted(), [BLOCK_SIZE]);
  indexer.take(events(BLOCK_SIZE + 100, BLOCK_SIZE + 200));
  indexer.take(events(BLOCK_SIZE + 200, 3 * BLOCK_SIZE + 5));
  await indexer.work(0);
  t.strictSame(counted(), [BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE]);
  t.strictSame(read, [
    [0, BLOCK_SIZE],
    [BLOCK_SIZE, BLOCK_SIZE + 100],
  ]);
});

test('more than it gathers at a time is read from the log', async (t) => {
  const { indexer, read, counted } = world();
  await indexer.work(0);
  indexer.take(events(0, 4 * BLOCK_SIZE));
  await indexer.work(0);
  t.strictSame(counted(), [BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE, BLOCK_SIZE]);
  t.strictSame(read, [
    [2 * BLOCK_SIZE, 3 * BLOCK_SIZE],
    [3 * BLOCK_SIZE, 4 * BLOCK_SIZE],
  ]);
});

test('a block that another instance has made is passed over', async (t) => {
  const { indexer, state, written } = world();
  await indexer.work(0);
  state.next = 2;
  indexer.take(events(0, 3 * BLOCK_SIZE));
  await indexer.work(0);
  t.strictSame(
    written.map(({ block }) => block),
    [2],
  );
});

test('a failure is told, and the same block is made later, whole', async (t) => {
  const { indexer, state, errors, counted } = world();
  await indexer.work(0);
  state.failures = 1;
  indexer.take(events(0, BLOCK_SIZE + 1));
  await indexer.work(0);
  t.equal(errors.length, 1);
  t.strictSame(counted(), []);
  await indexer.work(0);
  t.strictSame(counted(), [BLOCK_SIZE]);
});

test('stopped, it makes nothing, and begins anew where the log then stands', async (t) => {
  const { indexer, state, counted } = world();
  await indexer.work(0);
  indexer.take(events(0, 500));
  await indexer.stop();
  indexer.take(events(500, BLOCK_SIZE + 10));
  t.strictSame(counted(), []);
  state.next = 1;
  await indexer.work(2 * BLOCK_SIZE);
  t.strictSame(counted(), [BLOCK_SIZE]);
});

test('who starts it anew while it stops gets nothing of what it gathered before', async (t) => {
  const { indexer, state, written, errors } = world();
  await indexer.work(0);
  indexer.take(events(0, BLOCK_SIZE - 1));
  // Of another history than the log has now.
  const stale = { ...event(BLOCK_SIZE - 1), user_id: 'stale' };
  indexer.take([stale]);
  const stopped = indexer.stop();
  const begun = indexer.work(BLOCK_SIZE);
  await Promise.all([stopped, begun]);
  await indexer.work(BLOCK_SIZE);
  t.equal(state.next, 1);
  t.notOk(written.some(({ values }) => values.includes('stale')));
  t.strictSame(errors, []);
});
