import { test } from 'tap';
import type { Entry } from '../../src/core/commit-batch.ts';
import { CodedError, type Receipt } from '../../src/core/errors.ts';
import type { PendingEvent } from '../../src/core/events.ts';
import { GroupCommit, type GroupCommitOptions } from '../../src/core/group-commit.ts';
import { until } from '../support/client.ts';
import { pendingMessage, rejectionOf, TIMESTAMP } from '../support/log.ts';

/** A group whose batches end when the test says so. Weights are those given, not those of the events. */
function gated(options: Partial<GroupCommitOptions> = {}) {
  const batches: string[][] = [];
  const gates: (() => void)[] = [];
  let seq = 0;
  const group = new GroupCommit({
    maxBatchEvents: 100,
    maxBatchBytes: 1_000,
    maxQueueEvents: 100,
    maxQueueBytes: 10_000,
    deadlineMs: 60_000,
    minLeftMs: 0,
    commit: async (entries: readonly Entry[]) => {
      batches.push(entries.map(({ pending }) => pending.event.message ?? ''));
      await new Promise<void>((resolve) => gates.push(resolve));
      return () => {
        for (const { resolve } of entries) resolve({ seq: seq++, timestamp: TIMESTAMP });
      };
    },
    ...options,
  });
  const weighing = (message: string, bytes: number): PendingEvent => ({ ...pendingMessage(message), bytes });
  return {
    group,
    /** The messages of each batch that was begun. */
    batches,
    add: (message: string, bytes = 1, since?: number): Promise<Receipt> =>
      group.add(weighing(message, bytes), since),
    /** Waits for the batch of this number to begin, and lets it commit. */
    commit: async (number: number): Promise<void> => {
      await until(`batch ${number} begins`, () => gates.length > number);
      gates[number]?.();
    },
    begun: (count: number): Promise<void> =>
      until(`${count} batches were begun`, () => batches.length === count),
  };
}

const codeOf = async (promise: Promise<unknown>): Promise<string> =>
  ((await rejectionOf(promise)) as CodedError).code;

test('what comes in one turn of the event loop shares the first batch', async (t) => {
  const { add, batches, commit, group } = gated();
  const receipts = Promise.all([add('a'), add('b'), add('c')]);
  t.strictSame(batches, [], 'nothing is begun within the turn');
  t.equal(group.queued, 3);
  await commit(0);
  t.strictSame(
    (await receipts).map(({ seq }) => seq),
    [0, 1, 2],
  );
  t.strictSame(batches, [['a', 'b', 'c']]);
  t.equal(group.queued, 0);
});

test('while one batch commits, the next one gathers, in order', async (t) => {
  const { add, batches, begun, commit, group } = gated();
  const first = add('a');
  await begun(1);
  const rest = [add('b'), add('c')];
  await new Promise((resolve) => setImmediate(resolve));
  rest.push(add('d'));
  t.equal(group.queued, 3);
  t.strictSame(batches, [['a']], 'never two at a time');
  await commit(0);
  t.match(await first, { seq: 0 });
  await begun(2);
  const last = add('e');
  await commit(1);
  await commit(2);
  t.strictSame(batches, [['a'], ['b', 'c', 'd'], ['e']]);
  t.strictSame(
    (await Promise.all([...rest, last])).map(({ seq }) => seq),
    [1, 2, 3, 4],
  );
  const afterRest = add('f');
  await commit(3);
  t.match(await afterRest, { seq: 5 }, 'and it goes on after a rest');
});

test('a batch holds no more events than its bound', async (t) => {
  const { add, batches, commit } = gated({ maxBatchEvents: 2 });
  const all = Promise.all(['a', 'b', 'c', 'd', 'e'].map((message) => add(message)));
  for (const number of [0, 1, 2]) await commit(number);
  await all;
  t.strictSame(batches, [['a', 'b'], ['c', 'd'], ['e']]);
});

test('a batch holds no more bytes than its bound, but an event that is larger goes alone', async (t) => {
  const { add, batches, commit } = gated({ maxBatchBytes: 10 });
  const all = Promise.all([
    add('a', 4),
    add('b', 6),
    add('c', 5),
    add('d', 6),
    add('large', 11),
    add('largest', 20),
    add('e', 10),
    add('f', 1),
  ]);
  for (let number = 0; number < 7; number += 1) await commit(number);
  await all;
  t.strictSame(batches, [['a', 'b'], ['c'], ['d'], ['large'], ['largest'], ['e'], ['f']]);
});

test('a full queue refuses by number of events, until a batch has been taken', async (t) => {
  const { add, batches, begun, commit } = gated({ maxQueueEvents: 2, maxBatchEvents: 1 });
  const taken = [add('a'), add('b')];
  t.equal(await codeOf(add('too many')), 'overloaded');
  await begun(1);
  taken.push(add('c'));
  t.equal(await codeOf(add('too many')), 'overloaded');
  for (const number of [0, 1, 2]) await commit(number);
  await Promise.all(taken);
  t.strictSame(batches, [['a'], ['b'], ['c']], 'what was refused is never recorded');
});

test('a full queue refuses by bytes, until a batch has been taken', async (t) => {
  const { add, batches, begun, commit } = gated({ maxQueueBytes: 10, maxBatchBytes: 6 });
  const taken = [add('a', 6), add('b', 4)];
  t.equal(await codeOf(add('too much', 1)), 'overloaded');
  await begun(1);
  t.equal(await codeOf(add('too much', 7)), 'overloaded');
  taken.push(add('c', 6));
  t.equal(await codeOf(add('too much', 1)), 'overloaded');
  for (const number of [0, 1, 2]) await commit(number);
  await Promise.all(taken);
  t.strictSame(batches, [['a'], ['b'], ['c']]);
});

test('an event whose batch does not begin in time is refused for certain', async (t) => {
  const { add, batches, begun, commit, group } = gated({
    deadlineMs: 60,
    maxQueueEvents: 2,
    maxQueueBytes: 10,
  });
  const stuck = add('stuck');
  await begun(1);
  const queuedAt = performance.now();
  const waiting = [codeOf(add('b', 5)), codeOf(add('c', 5))];
  t.strictSame(await Promise.all(waiting), ['audit_unavailable', 'audit_unavailable']);
  t.ok(performance.now() - queuedAt >= 60, 'not before its time');
  t.equal(group.queued, 0);
  const next = [add('d', 5), add('e', 5)];
  await commit(0);
  t.match(await stuck, { seq: 0 }, 'what had begun is left to its batch');
  await commit(1);
  await Promise.all(next);
  t.strictSame(batches, [['stuck'], ['d', 'e']], 'it makes room, and is never recorded');
});

test('every event that waits too long is refused, each at its own time', async (t) => {
  const { add, begun, commit, group } = gated({ deadlineMs: 60 });
  const stuck = add('stuck');
  await begun(1);
  const refusals: Promise<{ code: string; waited: number }>[] = [];
  for (let number = 0; number < 4; number += 1) {
    const queuedAt = performance.now();
    refusals.push(
      codeOf(add(`waits ${number}`)).then((code) => ({ code, waited: performance.now() - queuedAt })),
    );
    await until('the next is younger', () => performance.now() > queuedAt + 10);
  }
  for (const { code, waited } of await Promise.all(refusals)) {
    t.equal(code, 'audit_unavailable');
    t.ok(waited >= 60, `waited ${waited} ms`);
  }
  t.equal(group.queued, 0);
  await commit(0);
  await stuck;
});

test('who has waited elsewhere is counted from then, and stands where they would have', async (t) => {
  const deadlineMs = 200;
  const { add, begun, commit, batches, group } = gated({ deadlineMs });
  const first = add('a');
  await begun(1);
  const now = performance.now();
  const young = add('young');
  const older = add('older', 1, now - 100);
  const oldest = codeOf(add('oldest', 1, now - 180));
  t.ok(group.oldestWaitMs < 180, 'the batch under way is asked first');
  t.equal(await oldest, 'audit_unavailable');
  t.ok(performance.now() - now < 100, 'at its own time, not at that of those who came before');
  await commit(0);
  await first;
  await commit(1);
  await Promise.all([young, older]);
  t.strictSame(batches, [['a'], ['older', 'young']]);
});

test('time is kept for those who come after others were served', async (t) => {
  const { add, begun, commit } = gated({ deadlineMs: 60 });
  const served = [add('a')];
  await begun(1);
  served.push(add('b'));
  await commit(0);
  await begun(2);
  t.equal(await codeOf(add('waits for b')), 'audit_unavailable');
  await commit(1);
  t.match(await Promise.all(served), [{ seq: 0 }, { seq: 1 }]);
});

test('closing takes nothing more, and resolves when all that was taken is answered', async (t) => {
  const { add, batches, begun, commit, group } = gated({ maxBatchEvents: 1 });
  const answered: string[] = [];
  for (const message of ['a', 'b']) void add(message).then(() => answered.push(message));
  await begun(1);
  const closed = group.close().then(() => answered.push('closed'));
  t.equal(await codeOf(add('late')), 'audit_unavailable');
  await commit(0);
  await commit(1);
  await closed;
  t.strictSame(answered, ['a', 'b', 'closed']);
  t.strictSame(batches, [['a'], ['b']]);
});

test('closing what is idle resolves at once, and closing twice waits twice', async (t) => {
  const idle = gated();
  await idle.group.close();
  await idle.group.close();
  t.equal(await codeOf(idle.add('late')), 'audit_unavailable');
  const busy = gated();
  const receipt = busy.add('a');
  const both = Promise.all([busy.group.close(), busy.group.close()]);
  await busy.commit(0);
  await both;
  t.match(await receipt, { seq: 0 });
});

test('a batch that is refused does not hold up the next', async (t) => {
  let batches = 0;
  const group = new GroupCommit({
    maxBatchEvents: 1,
    maxBatchBytes: 1_000,
    maxQueueEvents: 10,
    maxQueueBytes: 10_000,
    deadlineMs: 1_000,
    minLeftMs: 0,
    commit: async (entries) => {
      batches += 1;
      for (const entry of entries) {
        if (batches === 1) entry.reject(new CodedError('audit_unavailable', 'Not now.'));
        else entry.resolve({ seq: 0, timestamp: TIMESTAMP });
      }
      return () => {};
    },
  });
  const [first, second] = [codeOf(group.add(pendingMessage('a'))), group.add(pendingMessage('b'))];
  t.equal(await first, 'audit_unavailable');
  t.match(await second, { seq: 0 });
});

test('an aborted group refuses what waits and what comes; the batch under way is answered', async (t) => {
  const { group, add, batches, begun, commit } = gated();
  const first = add('a');
  await begun(1);
  const waiting = add('b');
  group.abort();
  t.equal(await codeOf(waiting), 'audit_unavailable');
  t.equal(await codeOf(add('c')), 'audit_unavailable');
  t.equal(group.queued, 0);
  await commit(0);
  t.match(await first, { seq: 0 });
  await group.close();
  t.strictSame(batches, [['a']]);
});

test('it tells how much waits, how long the oldest has, and how many were refused', async (t) => {
  const { group, add, commit, begun } = gated({ maxQueueEvents: 2, maxBatchEvents: 1 });
  t.equal(group.oldestWaitMs, 0);
  const first = add('a', 10);
  const second = add('b', 20);
  t.strictSame([group.queued, group.queuedBytes], [2, 30]);
  t.equal(await codeOf(add('c')), 'overloaded');
  t.equal(group.refused, 1);
  await begun(1);
  t.strictSame([group.queued, group.queuedBytes], [1, 20]);
  await commit(0);
  await first;
  await begun(2);
  t.equal(group.queued, 0);
  const waited = group.oldestWaitMs;
  await until('time passes', () => group.oldestWaitMs > waited + 20);
  t.ok(group.oldestWaitMs >= 20, 'that of the batch under way');
  await commit(1);
  await second;
  await group.close();
  t.strictSame([group.queued, group.queuedBytes, group.oldestWaitMs, group.refused], [0, 0, 0, 1]);
});

test('the next batch is sent before the results of the one before are handed out, which then come in order', async (t) => {
  const said: string[] = [];
  const gates: (() => void)[] = [];
  const group = new GroupCommit({
    maxBatchEvents: 1,
    maxBatchBytes: 1_000,
    maxQueueEvents: 100,
    maxQueueBytes: 10_000,
    deadlineMs: 60_000,
    minLeftMs: 0,
    commit: async (entries) => {
      const name = entries[0]?.pending.event.message;
      said.push(`send ${name}`);
      // The last one is answered as soon as it is sent.
      if (name !== 'c') await new Promise<void>((resolve) => gates.push(resolve));
      return () => {
        said.push(`hand out ${name}`);
        for (const entry of entries) entry.resolve({ seq: 0, timestamp: TIMESTAMP });
      };
    },
  });
  const answers = Promise.all(['a', 'b', 'c'].map((name) => group.add(pendingMessage(name))));
  await until('a is sent', () => gates.length === 1);
  gates[0]?.();
  await until('b is sent', () => gates.length === 2);
  t.strictSame(said.slice(0, 2), ['send a', 'send b']);
  await until('a is handed out, while b is under way', () => said.length === 3);
  gates[1]?.();
  await answers;
  await group.close();
  t.strictSame(said, ['send a', 'send b', 'hand out a', 'send c', 'hand out b', 'hand out c']);
});

test('what has too little time left is refused, and does not take the time of those behind it', async (t) => {
  const { group, add, batches, begun, commit } = gated({ deadlineMs: 400, minLeftMs: 300 });
  const first = add('a');
  await begun(1);
  const old = add('old');
  const queuedAt = performance.now();
  await until('it is old', () => performance.now() - queuedAt > 150);
  const young = add('young');
  await commit(0);
  t.equal(await codeOf(old), 'audit_unavailable');
  await commit(1);
  await Promise.all([first, young]);
  await group.close();
  t.strictSame(batches, [['a'], ['young']]);
});
