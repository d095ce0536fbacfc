import { setTimeout as delay } from 'node:timers/promises';
import { type Test, test } from 'tap';
import {
  AppendError,
  type AppendFailure,
  type Attempt,
  BatchCommitter,
  type BatchReceipt,
  type CommitOptions,
  type Entry,
  type LogStore,
} from '../../src/core/commit-batch.ts';
import { type CodedError, OutcomeUnknownError, type Receipt } from '../../src/core/errors.ts';
import type { PendingEvent } from '../../src/core/events.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { until } from '../support/client.ts';
import { pendingMessage, rejectionOf } from '../support/log.ts';

/** What becomes of one attempt; `apply` is what the database does, the result is what the server hears of it. */
type Fault = (apply: () => BatchReceipt) => Promise<BatchReceipt>;

const fail = (kind: AppendFailure): Promise<never> =>
  Promise.reject(new AppendError(kind, `it failed: ${kind}`, new Error('cause')));
const never = (): Promise<never> => new Promise(() => {});

const works: Fault = async (apply) => apply();
const notApplied: Fault = () => fail('not_applied');
const fenced: Fault = () => fail('fenced');
const lost: Fault = () => fail('unknown');
const lostAfterEffect: Fault = (apply) => {
  apply();
  return fail('unknown');
};
/** The second event of the batch is one of a session that was ended. */
const expelled: Fault = () =>
  Promise.reject(new AppendError('expelled', 'it failed: expelled', new Error('cause'), [1]));
const silent: Fault = () => never();
const silentAfterEffect: Fault = (apply) => {
  apply();
  return never();
};

/** A log in memory that keeps what a database promises, and fails as it is told to. */
class MemoryStore implements LogStore {
  /** What becomes of the attempts to come; after them, `otherwise`. */
  faults: Fault[] = [];
  otherwise: Fault = works;
  /** The same for `resolve` and `rejoin`: each is called before the work is done. */
  beforeResolve: (() => Promise<unknown>)[] = [];
  beforeRejoin: (() => Promise<unknown>)[] = [];
  readonly messages: (string | null)[] = [];
  /** The numbers of the batches, in the order of the attempts. */
  readonly attempts: number[] = [];
  /** The sizes of the batches of the attempts. */
  readonly sizes: number[] = [];
  resolves = 0;
  rejoins = 0;
  readonly #batches = new Map<number, BatchReceipt>();

  append(number: number, batch: readonly PendingEvent[]): Promise<BatchReceipt> {
    this.attempts.push(number);
    this.sizes.push(batch.length);
    const fault = this.faults.shift() ?? this.otherwise;
    if (fault !== fenced && batch.some(({ event }) => event.message?.includes('guilty'))) return fail('item');
    return fault(() => this.#apply(number, batch));
  }

  async resolve(number: number): Promise<BatchReceipt | null> {
    this.resolves += 1;
    await this.beforeResolve.shift()?.();
    return this.#batches.get(number) ?? null;
  }

  /** Whether this writer was given up for lost. */
  lost = false;

  async rejoin(): Promise<boolean> {
    this.rejoins += 1;
    await this.beforeRejoin.shift()?.();
    return !this.lost;
  }

  #apply(number: number, batch: readonly PendingEvent[]): BatchReceipt {
    const known = this.#batches.get(number);
    if (known !== undefined) return known;
    const receipt = { first_seq: this.messages.length, timestamp: `time of batch ${number}` };
    this.messages.push(...batch.map(({ event }) => event.message));
    this.#batches.set(number, receipt);
    return receipt;
  }
}

/** A caller who waits, and all the answers that it gets; more than one is a fault. */
class Caller {
  readonly entry: Entry;
  readonly answers: (Receipt | CodedError)[] = [];

  constructor(message: string, queuedAt = performance.now()) {
    this.entry = {
      pending: pendingMessage(message),
      queuedAt,
      resolve: (receipt) => this.answers.push(receipt),
      reject: (error) => this.answers.push(error),
    };
  }

  /** The only answer. */
  get answer(): Receipt | CodedError {
    const [answer] = this.answers;
    if (answer === undefined || this.answers.length > 1) throw new Error(`${this.answers.length} answers`);
    return answer;
  }

  /** What came with the refusal or, for a receipt, `ok`. */
  get code(): string {
    return 'code' in this.answer ? this.answer.code : 'ok';
  }
}

const DEADLINE_MS = 60;
/** For tests in which the deadline must not matter. */
const LONG_MS = 60_000;

function setup(t: Test, options: Partial<CommitOptions> = {}) {
  const store = new MemoryStore();
  const ended = new AbortController();
  // Whatever a test leaves in doubt is given up when it ends.
  t.teardown(() => ended.abort());
  /** The events that were known to be durable, batch by batch, as text `seq message`. */
  const committed: string[][] = [];
  const committer = new BatchCommitter({
    store,
    onCommit: (events: AuditEvent[]) => {
      committed.push(events.map(({ seq, message, timestamp }) => `${seq} ${message} ${timestamp}`));
    },
    deadlineMs: DEADLINE_MS,
    attemptMs: 0,
    signal: ended.signal,
    ...options,
  });
  const callers = (...messages: string[]): Caller[] => messages.map((message) => new Caller(message));
  const commit = async (waiting: readonly Caller[]): Promise<void> => {
    const handOut = await committer.commit(waiting.map(({ entry }) => entry));
    handOut();
  };
  return { store, ended, committed, committer, callers, commit };
}

const settledOf = ({ answer }: Caller): Promise<Receipt> => {
  if (answer instanceof OutcomeUnknownError) return answer.settled;
  throw new Error('the outcome is known');
};

test('a batch takes one statement, and each caller gets its place', async (t) => {
  const { store, committed, committer, callers, commit } = setup(t);
  const first = callers('a', 'b', 'c');
  await commit(first);
  const second = callers('d');
  await commit(second);
  t.strictSame(
    [...first, ...second].map(({ answer }) => answer),
    [
      { seq: 0, timestamp: 'time of batch 1' },
      { seq: 1, timestamp: 'time of batch 1' },
      { seq: 2, timestamp: 'time of batch 1' },
      { seq: 3, timestamp: 'time of batch 2' },
    ],
  );
  t.strictSame(store.attempts, [1, 2], 'a number names one batch');
  t.strictSame(committed, [
    ['0 a time of batch 1', '1 b time of batch 1', '2 c time of batch 1'],
    ['3 d time of batch 2'],
  ]);
  t.equal(committer.trouble, null);
});

test('nothing is shown or answered before it is durable, and it is shown before it is answered', async (t) => {
  const order: string[] = [];
  const { store, commit } = setup(t, { onCommit: () => order.push('shown') });
  store.otherwise = async (apply) => {
    const receipt = apply();
    order.push('durable');
    return receipt;
  };
  const caller = new Caller('a');
  const { resolve } = caller.entry;
  caller.entry.resolve = (receipt) => {
    order.push('answered');
    resolve(receipt);
  };
  await commit([caller]);
  t.strictSame(order, ['durable', 'shown', 'answered']);
});

test('a batch of nothing is no statement', async (t) => {
  const { store, committed, commit } = setup(t);
  await commit([]);
  t.strictSame(store.attempts, []);
  t.strictSame(committed, []);
});

test('what fails is tried again under the same number, whether it took effect or not', async (t) => {
  for (const [name, faults] of Object.entries({
    'nothing was written': [notApplied],
    'nothing was written, twice': [notApplied, notApplied],
    'no answer, nothing written': [lost],
    'no answer, but written': [lostAfterEffect],
    'no answer twice, written at first': [lostAfterEffect, lost],
    'written, then a refusal': [lostAfterEffect, notApplied],
    'written at the second attempt': [lost, lostAfterEffect],
    'a term ended': [fenced],
    'a term ended after it was written': [lostAfterEffect, fenced],
  })) {
    const { store, committed, committer, callers, commit } = setup(t, { deadlineMs: LONG_MS });
    store.faults = [...faults];
    const waiting = callers('a', 'b');
    await commit(waiting);
    t.strictSame(
      waiting.map(({ answer }) => answer),
      [
        { seq: 0, timestamp: 'time of batch 1' },
        { seq: 1, timestamp: 'time of batch 1' },
      ],
      `${name}: answered once, with the first receipt`,
    );
    t.strictSame(store.messages, ['a', 'b'], `${name}: on record once`);
    t.strictSame(store.attempts, Array(faults.length + 1).fill(1), `${name}: one number`);
    t.equal(committed.length, 1, `${name}: shown once`);
    t.equal(committer.trouble, null, `${name}: no trouble is left`);
    t.equal(store.rejoins, faults.includes(fenced) ? 1 : 0, `${name}: a new term only when needed`);
    t.equal(store.resolves, 0, `${name}: nothing to find out`);
  }
});

test('what an administrator has put an end to is refused, and the rest goes on without it', async (t) => {
  for (const [name, faults, resolves] of [
    ['at once', [expelled], 0],
    ['after a refusal', [notApplied, expelled], 0],
    ['while an attempt without effect is in doubt', [lost, expelled], 1],
  ] as const) {
    const { store, committed, committer, callers, commit } = setup(t, { deadlineMs: LONG_MS });
    store.faults = [...faults];
    const waiting = callers('a', 'b', 'c');
    await commit(waiting);
    t.strictSame(
      waiting.map(({ code }) => code),
      ['ok', 'forbidden', 'ok'],
      name,
    );
    t.strictSame(store.messages, ['a', 'c'], name);
    t.equal(committed.length, 1, name);
    t.equal(store.attempts.at(-1), 2, `${name}: the rest is another batch`);
    t.equal(store.resolves, resolves, `${name}: what is in doubt is looked up first`);
    t.equal(committer.trouble, null, name);
  }
});

test('an attempt in doubt that was written after all is not written again without the refused', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  store.faults = [lostAfterEffect, expelled];
  const waiting = callers('a', 'b', 'c');
  await commit(waiting);
  t.strictSame(
    waiting.map(({ code }) => code),
    ['ok', 'ok', 'ok'],
  );
  t.strictSame(store.messages, ['a', 'b', 'c']);
});

test('while nobody knows what became of an attempt in doubt, the rest does not go on', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: 200 });
  store.faults = [lostAfterEffect];
  store.otherwise = expelled;
  store.beforeResolve = Array(8).fill(() => fail('unknown'));
  const waiting = callers('a', 'b');
  await commit(waiting);
  t.strictSame(
    waiting.map(({ code }) => code),
    ['outcome_unknown', 'outcome_unknown'],
  );
  t.strictSame(store.messages, ['a', 'b']);
});

test('a batch of nothing but what is refused takes no further statement', async (t) => {
  const { store, callers, commit } = setup(t);
  store.faults = [() => Promise.reject(new AppendError('expelled', 'it failed', new Error('cause'), [0, 1]))];
  const waiting = callers('a', 'b');
  await commit(waiting);
  t.strictSame(
    waiting.map(({ code }) => code),
    ['forbidden', 'forbidden'],
  );
  t.strictSame(store.attempts, [1]);
});

test('a slow answer is waited for, up to the deadline', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  store.otherwise = (apply) => delay(50).then(apply);
  const waiting = callers('a');
  await commit(waiting);
  t.match(waiting[0]?.answer, { seq: 0 });
  t.strictSame(store.attempts, [1]);
});

test('trouble is told while it lasts', async (t) => {
  const { store, committer, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  store.faults = [notApplied];
  t.equal(committer.trouble, null);
  const done = commit(callers('a'));
  await until('an attempt has failed', () => committer.trouble !== null);
  t.equal(committer.trouble, 'it failed: not_applied');
  await done;
  t.equal(committer.trouble, null);
});

test('attempts are spaced out', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: 400 });
  store.otherwise = notApplied;
  await commit(callers('a'));
  // At 0, 25, 75, 175 and 375 ms, or later and fewer.
  t.ok(store.attempts.length >= 3 && store.attempts.length <= 5, `${store.attempts.length} attempts`);
});

test('what was not written by the deadline is audit_unavailable, never unknown', async (t) => {
  for (const fault of [notApplied, fenced]) {
    const { store, committed, committer, callers, commit } = setup(t);
    store.otherwise = fault;
    const waiting = callers('a', 'b');
    const startedAt = performance.now();
    await commit(waiting);
    t.strictSame(
      waiting.map(({ code }) => code),
      ['audit_unavailable', 'audit_unavailable'],
    );
    t.match(waiting[0]?.answer, { status: 503, cause: { name: 'AppendError', cause: { message: 'cause' } } });
    t.ok(performance.now() - startedAt < 5_000, 'in time');
    t.ok(store.attempts.length > 1, 'not at the first failure');
    t.strictSame(store.messages, []);
    t.strictSame(committed, []);
    t.equal(store.resolves, 0);
    t.match(committer.trouble, /it failed/);
    // and the next batch, under the next number, is none the worse
    store.otherwise = works;
    const next = callers('c');
    await commit(next);
    t.match(next[0]?.answer, { seq: 0, timestamp: 'time of batch 2' });
    t.equal(committer.trouble, null);
  }
});

test('what got no answer by the deadline is unknown, and the truth follows', async (t) => {
  for (const [name, fault, written] of [
    ['the answer was lost', lost, false],
    ['the answer was lost, the batch was not', lostAfterEffect, true],
    ['the database is silent', silent, false],
    ['the database is silent, but did it', silentAfterEffect, true],
  ] as const) {
    const { store, committed, callers, commit } = setup(t);
    store.otherwise = fault;
    const waiting = callers('a', 'b');
    await commit(waiting);
    t.strictSame(
      waiting.map(({ code }) => code),
      ['outcome_unknown', 'outcome_unknown'],
      name,
    );
    t.equal(store.resolves, 1, `${name}: asked once`);
    if (written) {
      t.strictSame(
        await Promise.all(waiting.map(settledOf)),
        [
          { seq: 0, timestamp: 'time of batch 1' },
          { seq: 1, timestamp: 'time of batch 1' },
        ],
        `${name}: on record after all`,
      );
      t.strictSame(committed, [['0 a time of batch 1', '1 b time of batch 1']], `${name}: shown once`);
    } else {
      for (const caller of waiting) {
        t.match(
          await rejectionOf(settledOf(caller)),
          { code: 'audit_unavailable' },
          `${name}: not on record`,
        );
      }
      t.strictSame(committed, [], `${name}: never shown`);
    }
    t.strictSame(store.messages, written ? ['a', 'b'] : [], name);
  }
});

test('one attempt in doubt leaves the batch in doubt, whatever the others were', async (t) => {
  for (const faults of [
    [lostAfterEffect, notApplied],
    [notApplied, lostAfterEffect],
    [lostAfterEffect, fenced],
  ]) {
    const { store, commit } = setup(t);
    store.faults = [...faults];
    store.otherwise = notApplied;
    const caller = new Caller('a');
    await commit([caller]);
    t.equal(caller.code, 'outcome_unknown');
    t.match(await settledOf(caller), { seq: 0 });
  }
});

test('the truth is looked for until it is found, and nothing else is begun before', async (t) => {
  const { store, committed, committer, commit } = setup(t);
  const found = Promise.withResolvers<void>();
  store.otherwise = lostAfterEffect;
  store.beforeResolve = [() => fail('unknown'), () => Promise.reject(new Error('away')), () => found.promise];
  const caller = new Caller('a');
  let isOver = false;
  const done = commit([caller]).then(() => {
    isOver = true;
  });
  await until('it was asked a third time', () => store.resolves === 3);
  t.equal(caller.code, 'outcome_unknown');
  t.equal(committer.trouble, 'away');
  t.notOk(isOver);
  t.strictSame(committed, []);
  found.resolve();
  await done;
  t.match(await settledOf(caller), { seq: 0 });
  t.equal(committed.length, 1);
  t.equal(committer.trouble, null);
  t.equal(caller.answers.length, 1);
});

test('an answer that comes after the deadline changes nothing', async (t) => {
  for (const late of ['success', 'failure'] as const) {
    const { store, committed, commit } = setup(t);
    const answer = Promise.withResolvers<BatchReceipt>();
    store.otherwise = (apply) => {
      apply();
      return answer.promise;
    };
    const caller = new Caller('a');
    await commit([caller]);
    if (late === 'success') answer.resolve({ first_seq: 0, timestamp: 'late' });
    else answer.reject(new AppendError('unknown', 'late', undefined));
    t.match(await settledOf(caller), { seq: 0, timestamp: 'time of batch 1' });
    await new Promise((resolve) => setImmediate(resolve));
    t.equal(caller.answers.length, 1);
    t.equal(committed.length, 1);
  }
});

test('the deadline counts from the time of queueing, of the one who waits longest', async (t) => {
  const { store, commit } = setup(t, { deadlineMs: 10_000 });
  store.otherwise = silent;
  const young = new Caller('young');
  const startedAt = performance.now();
  await commit([new Caller('old', startedAt - 9_950), young]);
  t.ok(performance.now() - startedAt < 5_000);
  t.equal(young.code, 'outcome_unknown');
});

test('what is too late from the start is not sent, and so not unknown', async (t) => {
  const { store, committer, commit } = setup(t, { deadlineMs: 50 });
  store.otherwise = silentAfterEffect;
  const late = new Caller('late', performance.now() - 51);
  await commit([late]);
  t.equal(late.code, 'audit_unavailable');
  t.strictSame(store.attempts, []);
  t.equal(committer.trouble, null, 'which says nothing about the log');
});

test('a new term that cannot be had is asked for again', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  store.faults = [fenced, fenced];
  store.beforeRejoin = [() => Promise.reject(new Error('away'))];
  const waiting = callers('a');
  await commit(waiting);
  t.match(waiting[0]?.answer, { seq: 0 });
  t.equal(store.rejoins, 2);
  t.strictSame(store.attempts, [1, 1, 1]);
});

test('where no new term is to be had, the reason is the cause of the refusal', async (t) => {
  const { store, commit } = setup(t);
  const away = new Error('away');
  store.otherwise = fenced;
  store.beforeRejoin = Array(10).fill(() => Promise.reject(away));
  const caller = new Caller('a');
  await commit([caller]);
  t.equal(caller.code, 'audit_unavailable');
  t.equal((caller.answer as CodedError).cause, away);
});

test('a writer that was given up for lost tries no more: what was not in doubt is refused at once', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  store.lost = true;
  store.faults.push(fenced);
  const [caller] = callers('a');
  await commit([caller as Caller]);
  t.equal(caller?.code, 'audit_unavailable');
  t.equal(store.attempts.length, 1);
  t.equal(store.resolves, 0);
});

test('a writer that was given up for lost finds out what became of a batch in doubt', async (t) => {
  for (const outcome of ['ok', 'audit_unavailable']) {
    const { store, callers, commit, committed } = setup(t, { deadlineMs: LONG_MS });
    store.lost = true;
    // The answer to the first attempt was lost, and the second is fenced.
    store.faults.push(outcome === 'ok' ? lostAfterEffect : lost, fenced);
    const [caller] = callers('a');
    await commit([caller as Caller]);
    t.equal(caller?.code, 'outcome_unknown');
    const settled = await settledOf(caller as Caller).then(
      () => 'ok',
      (error: CodedError) => error.code,
    );
    t.equal(settled, outcome);
    t.equal(committed.length, outcome === 'ok' ? 1 : 0);
  }
});

test('a new term that is never given does not keep the callers waiting', async (t) => {
  for (const [fault, code] of [
    [notApplied, 'audit_unavailable'],
    [lost, 'outcome_unknown'],
  ] as const) {
    const { store, callers, commit } = setup(t, { deadlineMs: 200 });
    store.faults = [fault, fenced];
    store.otherwise = fenced;
    store.beforeRejoin = Array(10).fill(never);
    const waiting = callers('a');
    t.not(await Promise.race([commit(waiting), delay(5_000, 'stuck', { ref: false })]), 'stuck');
    t.equal(waiting[0]?.code, code);
  }
});

test('of a batch with a guilty event, only that one is refused, and the others keep their order', async (t) => {
  const names = ['a', 'b', 'c', 'd', 'e', 'f', 'g', 'h'];
  for (const guilty of names) {
    const { store, committed, committer, callers, commit } = setup(t, { deadlineMs: LONG_MS });
    const waiting = callers(...names.map((name) => (name === guilty ? `guilty ${name}` : name)));
    await commit(waiting);
    const others = names.filter((name) => name !== guilty);
    t.strictSame(
      waiting.map(({ code }) => code),
      names.map((name) => (name === guilty ? 'invalid_text' : 'ok')),
      guilty,
    );
    t.strictSame(store.messages, others);
    t.strictSame(
      waiting.filter(({ code }) => code === 'ok').map(({ answer }) => 'seq' in answer && answer.seq),
      others.map((_, index) => index),
    );
    t.strictSame(
      committed.flat().map((text) => text.split(' ').slice(0, 2).join(' ')),
      others.map((name, index) => `${index} ${name}`),
    );
    // 8 as one, then halves of the guilty half: 4 4, 2 2, 1 1.
    t.same(store.sizes.toSorted(), [1, 1, 2, 2, 4, 4, 8]);
    t.equal(new Set(store.attempts).size, store.attempts.length, 'each part has a number of its own');
    t.equal(committer.trouble, null, 'the log itself is well');
  }
});

test('a batch of guilty events is refused one by one', async (t) => {
  const { store, committer, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  const waiting = callers('guilty a', 'guilty b', 'guilty c');
  await commit(waiting);
  t.strictSame(
    waiting.map(({ code }) => code),
    ['invalid_text', 'invalid_text', 'invalid_text'],
  );
  t.match(waiting[0]?.answer, { cause: { name: 'AppendError', kind: 'item' } });
  t.strictSame(store.messages, []);
  t.equal(committer.trouble, null);
});

test('the innocent parts of a batch survive further faults', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  // The batch of four is refused, then its innocent half is written without an answer.
  store.faults = [works, lostAfterEffect];
  const waiting = callers('a', 'b', 'guilty c', 'd');
  await commit(waiting);
  t.strictSame(
    waiting.map(({ answer }) => ('seq' in answer ? answer.seq : answer.code)),
    [0, 1, 'invalid_text', 2],
  );
  t.strictSame(store.messages, ['a', 'b', 'd']);
});

test('while one half of a batch is in doubt, the other is refused in time, and not sent later', async (t) => {
  const { store, callers, commit } = setup(t);
  // The batch is refused for one event; its innocent half is then written, and the database says no more.
  store.faults = [works, silentAfterEffect];
  const { promise: back, resolve: comeBack } = Promise.withResolvers<void>();
  store.beforeResolve = [() => back];
  const waiting = callers('a', 'b', 'guilty c', 'd');
  const done = commit(waiting);
  await until('all have an answer', () => waiting.every(({ answers }) => answers.length > 0));
  t.strictSame(
    waiting.map(({ code }) => code),
    ['outcome_unknown', 'outcome_unknown', 'audit_unavailable', 'audit_unavailable'],
  );
  comeBack();
  await done;
  t.match(await Promise.all(waiting.slice(0, 2).map(settledOf)), [{ seq: 0 }, { seq: 1 }]);
  t.strictSame(store.messages, ['a', 'b'], 'what was refused is not on record');
  t.equal(store.attempts.length, 2);
});

test('a batch that is refused for its data after an attempt in doubt is looked up, not split', async (t) => {
  const { store, callers, commit } = setup(t, { deadlineMs: LONG_MS });
  // Written, and then refused, as by a check that somebody has added in between.
  store.faults = [lostAfterEffect, () => fail('item')];
  const waiting = callers('a', 'b');
  await commit(waiting);
  t.strictSame(
    waiting.map(({ code }) => code),
    ['outcome_unknown', 'outcome_unknown'],
  );
  t.match(await Promise.all(waiting.map(settledOf)), [{ seq: 0 }, { seq: 1 }]);
  t.strictSame(store.messages, ['a', 'b'], 'once');
});

test('numbers that named other events before the batch was sent are not shown: the log was put back', async (t) => {
  let known = 0;
  let rewound = 0;
  const { store, committed, callers, commit } = setup(t, {
    deadlineMs: LONG_MS,
    known: () => known,
    onRewound: () => {
      rewound += 1;
    },
  });
  await commit(callers('a', 'b'));
  known = 2;
  // Others may commit, and be seen, between an attempt and its retry; they come after it.
  store.faults = [
    (apply) => {
      apply();
      known = 9;
      return fail('unknown');
    },
  ];
  await commit(callers('c'));
  t.equal(rewound, 0);
  t.equal(committed.length, 2);
  const [late] = callers('d') as [Caller];
  await commit([late]);
  t.equal(rewound, 1, 'the 9 that are known are not there');
  t.equal(committed.length, 2, 'nobody is shown it');
  t.match(late.answer, { seq: 3 }, 'but it is on record, and who recorded it is told the truth');
});

test('a process that gives up answers at once, with what it knows', async (t) => {
  for (const [fault, code] of [
    [notApplied, 'audit_unavailable'],
    [lostAfterEffect, 'outcome_unknown'],
  ] as const) {
    const { store, ended, callers, commit } = setup(t, { deadlineMs: LONG_MS });
    store.otherwise = fault;
    const waiting = callers('a');
    const done = commit(waiting);
    await until('an attempt has failed', () => store.attempts.length > 0);
    ended.abort();
    await done;
    t.equal(waiting[0]?.code, code);
    t.equal(store.resolves, 0, 'nothing more is asked');
  }
});

test('a process that gives up stops looking for the truth', async (t) => {
  const { store, ended, callers, commit, committed } = setup(t);
  store.otherwise = lostAfterEffect;
  store.beforeResolve = Array(1_000).fill(() => fail('unknown'));
  const waiting = callers('a');
  const done = commit(waiting);
  await until('it was asked', () => store.resolves > 0);
  ended.abort();
  await done;
  t.equal(waiting[0]?.code, 'outcome_unknown');
  t.strictSame(committed, []);
});

test('a guilty event leaves no trouble behind, even if there is no time for the others', async (t) => {
  const { store, committer, callers, commit } = setup(t);
  const waiting = callers('a', 'b');
  store.otherwise = () => {
    const { queuedAt } = (waiting[0] as Caller).entry;
    // A turn of the event loop that takes all the time there is.
    while (performance.now() < queuedAt + DEADLINE_MS);
    return fail('item');
  };
  await commit(waiting);
  t.strictSame(store.sizes, [2]);
  t.strictSame(
    waiting.map(({ code }) => code),
    ['audit_unavailable', 'audit_unavailable'],
  );
  t.equal(committer.trouble, null);
});

test('an append error says what to do next, and why', async (t) => {
  const cause = new Error('cause');
  const error = new AppendError('fenced', 'words', cause);
  t.type(error, Error);
  t.match(error, { name: 'AppendError', kind: 'fenced', message: 'words' });
  t.equal(error.cause, cause);
});

test('every attempt is told of once, with how it ended and how long it took', async (t) => {
  const attempts: Attempt[] = [];
  const { store, callers, commit } = setup(t, {
    deadlineMs: LONG_MS,
    observe: (attempt) => attempts.push(attempt),
  });
  store.faults = [
    notApplied,
    fenced,
    async (apply) => {
      await delay(30);
      return apply();
    },
  ];
  await commit(callers('a', 'b'));
  await commit(callers('guilty'));
  t.strictSame(
    attempts.map(({ failure }) => failure),
    ['not_applied', 'fenced', null, 'item'],
  );
  const took = attempts[2]?.ms ?? 0;
  t.ok(took >= 25 && took < LONG_MS, `${took} ms, without the attempts before`);
});
