import fc from 'fast-check';
import { test } from 'tap';
import { CodedError, OutcomeUnknownError, type Receipt } from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/events.ts';
import { type RefusalOptions, Refusals, type Where } from '../../src/core/refusals.ts';
import { until } from '../support/client.ts';
import { TIMESTAMP } from '../support/log.ts';

/** Windows end at the sweep after this time on the test's clock; sweeps come every few real milliseconds. */
const WINDOW_MS = 20;

type Answer = { resolve: () => void; reject: (error: CodedError) => void };

const unavailable = (): CodedError => new CodedError('audit_unavailable', 'Not now.');

function setup(options: Partial<RefusalOptions> = {}) {
  /** What is on record, as `who ×count @since`. */
  const log: string[] = [];
  const clock = { now: 1_000 };
  const state: { mode: 'works' | 'fails' | 'asks' } = { mode: 'works' };
  /** The attempts that wait for the test to answer, oldest first; only in mode `asks`. */
  const answers: Answer[] = [];
  let attempts = 0;
  const refusals = new Refusals({
    record: async (draft: Draft) => {
      attempts += 1;
      if (state.mode === 'fails') throw unavailable();
      if (state.mode === 'asks') {
        await new Promise<void>((resolve, reject) => answers.push({ resolve, reject }));
      }
      log.push(draft.message ?? '');
    },
    windowMs: WINDOW_MS,
    maxSources: 100,
    maxKinds: 100,
    maxCounted: 100,
    mayName: () => true,
    now: () => clock.now,
    ...options,
  });
  return {
    refusals,
    log,
    clock,
    state,
    answers,
    attempts: () => attempts,
    note: (source: string, kind = 'MESSAGE_REFUSED bad_frame', where?: Where) => {
      const [action = '', name = ''] = kind.split(' ');
      refusals.note({
        action,
        code: name,
        source,
        ...(where && { where }),
        draft: ({ code, count, since, sources, where: place }) => {
          const who = sources === undefined ? source : `${sources} others`;
          const at = where && ` at ${place?.method} ${place?.route}`;
          return { action: 'LEFT', message: `${code} ${who} ×${count} @${since}${at ?? ''}` };
        },
      });
    },
    /** Waits until the log holds so many events; there are never more. */
    logged: async (count: number): Promise<string[]> => {
      await until(`${count} events are on record`, () => log.length >= count);
      return log;
    },
    /** Lets sweeps of real time pass. */
    sweeps: async (): Promise<void> => {
      const startedAt = performance.now();
      await until('sweeps have passed', () => performance.now() > startedAt + 2 * WINDOW_MS);
    },
  };
}

test('the first refusal is recorded at once, its repeats as one event when the window ends', async (t) => {
  const { note, logged, log, clock, refusals, sweeps } = setup();
  note('alice');
  t.strictSame(await logged(1), ['bad_frame alice ×1 @1000']);
  for (clock.now = 1_005; clock.now < 1_010; clock.now += 1) note('alice');
  await sweeps();
  t.equal(log.length, 1, 'not before the window ends');
  clock.now = 1_000 + WINDOW_MS;
  t.strictSame(await logged(2), ['bad_frame alice ×1 @1000', 'bad_frame alice ×5 @1005']);
  clock.now += 1;
  note('alice');
  await sweeps();
  t.equal(log.length, 2, 'a new window began with that event');
  clock.now += WINDOW_MS;
  t.strictSame((await logged(3)).at(-1), `bad_frame alice ×1 @${1_001 + WINDOW_MS}`);
  await refusals.close();
});

test('after a quiet window, the next refusal is the first again', async (t) => {
  const { note, logged, clock, refusals, sweeps } = setup();
  note('alice');
  await logged(1);
  clock.now += WINDOW_MS;
  await sweeps();
  note('alice');
  t.strictSame(await logged(2), ['bad_frame alice ×1 @1000', `bad_frame alice ×1 @${1_000 + WINDOW_MS}`]);
  await refusals.close();
});

test('sources and codes are told apart', async (t) => {
  const { note, logged, refusals } = setup();
  note('alice');
  note('bob');
  note('alice', 'MESSAGE_REFUSED forbidden');
  note('alice');
  t.strictSame(await logged(3), [
    'bad_frame alice ×1 @1000',
    'bad_frame bob ×1 @1000',
    'forbidden alice ×1 @1000',
  ]);
  await refusals.close();
});

test('beyond the bound, sources share one event for each code, with their number', async (t) => {
  const { note, logged, clock, refusals, sweeps } = setup({ maxSources: 2, maxCounted: 3 });
  for (const source of ['alice', 'bob', 'carol', 'dave', 'alice', 'dave', 'erin']) note(source);
  note('erin', 'MESSAGE_REFUSED forbidden');
  t.strictSame(await logged(4), [
    'bad_frame alice ×1 @1000',
    'bad_frame bob ×1 @1000',
    'bad_frame 1 others ×1 @1000',
    'forbidden 1 others ×1 @1000',
  ]);
  clock.now += WINDOW_MS;
  t.strictSame((await logged(6)).slice(4).toSorted(), [
    'bad_frame 2 others ×3 @1000',
    'bad_frame alice ×1 @1000',
  ]);
  for (let number = 0; number < 5; number += 1) note(`nobody-${number}`);
  clock.now += WINDOW_MS;
  t.strictSame(
    (await logged(8)).slice(6).toSorted(),
    [`bad_frame 3 others ×4 @${1_000 + WINDOW_MS}`, `bad_frame nobody-0 ×1 @${1_000 + WINDOW_MS}`],
    'bob’s place was free; beyond three, others are not counted one by one',
  );
  for (let turn = 0; turn < 2; turn += 1) {
    clock.now += WINDOW_MS;
    await sweeps();
  }
  note('frank');
  t.match((await logged(9))[8], /^bad_frame frank ×1/, 'quiet windows make room');
  await refusals.close();
});

test('a source with many kinds has an event more for each action, and takes no place of another', async (t) => {
  const { note, logged, log, clock, refusals, sweeps } = setup({ maxSources: 2, maxKinds: 3 });
  for (const code of ['a', 'b', 'c', 'd', 'e', 'a']) note('mallory', `MESSAGE_REFUSED ${code}`);
  for (const code of ['f', 'g', 'h']) note('mallory', `REQUEST_REFUSED ${code}`);
  note('alice', 'MESSAGE_REFUSED a');
  t.strictSame(
    await logged(6),
    ['a mallory', 'b mallory', 'c mallory', '* mallory', '* mallory', 'a alice'].map(
      (who) => `${who} ×1 @1000`,
    ),
  );
  clock.now += WINDOW_MS;
  t.strictSame(
    (await logged(9)).slice(6),
    ['a mallory ×1', '* mallory ×1', '* mallory ×2'].map((who) => `${who} @1000`),
    'the counts add up',
  );
  for (let turn = 0; turn < 2; turn += 1) {
    clock.now += WINDOW_MS;
    await sweeps();
  }
  for (const code of ['x', 'y', 'z']) note('mallory', `MESSAGE_REFUSED ${code}`);
  await logged(12);
  t.match(log.slice(9), [/^x mallory ×1/, /^y mallory ×1/, /^z mallory ×1/], 'quiet windows make room');
  await refusals.close();
});

test('where it was is told of each refusal, and of several as long as it is one place', async (t) => {
  const { note, logged, clock, state, refusals } = setup();
  const place = (route: string): Where => ({ method: 'GET', route });
  note('alice', 'ACCESS_DENIED a', place('/one'));
  t.strictSame(await logged(1), ['a alice ×1 @1000 at GET /one']);
  for (const routes of [
    ['/two', '/two'],
    ['/two', '/three', '/two'],
  ]) {
    for (const route of routes) note('alice', 'ACCESS_DENIED a', place(route));
    // What goes back after it was tried keeps its place as well.
    state.mode = 'fails';
    clock.now += WINDOW_MS;
    await refusals.close();
    state.mode = 'works';
    await refusals.close();
  }
  t.strictSame((await logged(3)).slice(1), [
    'a alice ×2 @1000 at GET /two',
    `a alice ×3 @${1_000 + WINDOW_MS} at undefined undefined`,
  ]);
});

test('however many sources there are, a window brings no more events than the bound, and one for each code', async (t) => {
  const { note, log, clock, refusals, sweeps } = setup({ maxSources: 5 });
  let turns = 0;
  for (; turns < 4; turns += 1) {
    for (let number = 0; number < 200; number += 1) {
      note(
        `source-${turns}-${number % 50}`,
        `MESSAGE_REFUSED ${number % 2 === 0 ? 'bad_frame' : 'forbidden'}`,
      );
    }
    clock.now += WINDOW_MS;
    await sweeps();
  }
  t.ok(log.length <= (turns + 1) * (5 + 2), `${log.length} events`);
  await refusals.close();
});

test('beyond what may be named, further kinds of a source share an event for each code, and the first is named', async (t) => {
  const budget = { left: 2 };
  const mayName = (): boolean => budget.left-- > 0;
  const { note, logged, clock, refusals } = setup({ mayName, maxKinds: 3 });
  // At the limit: the first kind, and two more.
  for (const code of ['a', 'b', 'c']) note('mallory', `MESSAGE_REFUSED ${code}`);
  t.strictSame(await logged(3), ['a mallory ×1 @1000', 'b mallory ×1 @1000', 'c mallory ×1 @1000']);
  // One beyond, be it the rest of a source or a further kind of another one.
  note('mallory', 'MESSAGE_REFUSED d');
  for (const code of ['a', 'b', 'b']) note('alice', `MESSAGE_REFUSED ${code}`);
  t.strictSame((await logged(6)).slice(3), [
    '* 1 others ×1 @1000',
    'a alice ×1 @1000',
    'b 1 others ×1 @1000',
  ]);
  // So are repeats, but for those of the first kind.
  for (const code of ['a', 'b', 'b']) note('mallory', `MESSAGE_REFUSED ${code}`);
  clock.now += WINDOW_MS;
  t.strictSame((await logged(8)).slice(6), ['a mallory ×1 @1000', 'b 2 others ×3 @1000']);
  budget.left = 1;
  note('mallory', 'MESSAGE_REFUSED b');
  t.match((await logged(9))[8], /^b mallory ×1/, 'and named again when there is room');
  await refusals.close();
});

test('whatever happens, the counts of all events add up to what was refused', async (t) => {
  const source = fc.integer({ min: 0, max: 6 }).map((number) => `source-${number}`);
  const code = fc.constantFrom('MESSAGE a', 'MESSAGE b', 'MESSAGE c', 'REQUEST a', 'REQUEST d');
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.record({ note: source, code }) },
    { weight: 1, arbitrary: fc.record({ wait: fc.integer({ min: 1, max: 2 * WINDOW_MS }) }) },
    { weight: 1, arbitrary: fc.record({ log: fc.constantFrom('works', 'fails', 'doubts') }) },
    { weight: 1, arbitrary: fc.record({ settle: fc.boolean() }) },
  );
  await fc.assert(
    fc.asyncProperty(fc.array(step, { maxLength: 60 }), async (steps) => {
      const noted = new Map<string, number>();
      const onRecord = new Map<string, number>();
      const doubts: { settle: (onRecord: boolean) => void }[] = [];
      let state = 'works';
      let now = 0;
      let asked = 0;
      const record = async ({ message }: Draft): Promise<void> => {
        const [name = '', count] = message?.split(' ') ?? [];
        const put = (): void => void onRecord.set(name, (onRecord.get(name) ?? 0) + Number(count));
        if (state === 'works') return put();
        if (state === 'fails') throw unavailable();
        const settled = Promise.withResolvers<Receipt>();
        doubts.push({
          settle: (works) => {
            if (works) put();
            if (works) settled.resolve({ seq: 0, timestamp: TIMESTAMP });
            else settled.reject(unavailable());
          },
        });
        throw new OutcomeUnknownError(settled.promise, undefined);
      };
      const refusals = new Refusals({
        record,
        // Shorter than a timer can be, so that each turn of the event loop may bring a sweep.
        windowMs: 4,
        maxSources: 3,
        maxKinds: 2,
        maxCounted: 2,
        mayName: () => asked++ % 3 !== 0,
        now: () => now,
      });
      const tick = (): Promise<void> => new Promise((resolve) => setTimeout(resolve, 1));
      for (const one of steps) {
        if ('note' in one) {
          const { code, note: source } = one;
          const [action = ''] = code.split(' ');
          noted.set(action, (noted.get(action) ?? 0) + 1);
          refusals.note({
            action,
            code,
            source,
            draft: ({ count }) => ({ action: 'LEFT', message: `${action} ${count}` }),
          });
        } else if ('wait' in one) {
          now += one.wait;
          await tick();
        } else if ('log' in one) state = one.log;
        else doubts.shift()?.settle(one.settle);
      }
      state = 'works';
      for (const { settle } of doubts.splice(0)) settle(false);
      await tick();
      await refusals.close();
      return [...noted].every(([name, count]) => onRecord.get(name) === count);
    }),
    { numRuns: 100 },
  );
  t.pass('in 100 ways');
});

test('while the log cannot be written the counts are kept, and recorded when it can', async (t) => {
  const { note, logged, log, clock, state, refusals, attempts } = setup();
  state.mode = 'fails';
  for (let number = 0; number < 3; number += 1) {
    note('alice');
    clock.now += 1;
  }
  for (let failed = 1; failed <= 3; failed += 1) {
    await until('an attempt has failed', () => attempts() === failed);
    clock.now += WINDOW_MS;
  }
  t.strictSame(log, []);
  state.mode = 'works';
  note('alice');
  clock.now += WINDOW_MS;
  t.strictSame(await logged(1), ['bad_frame alice ×4 @1000'], 'all of them, since the first');
  await refusals.close();
});

test('a refusal whose outcome is unknown is counted once the truth is known', async (t) => {
  for (const onRecord of [true, false]) {
    const settled = Promise.withResolvers<Receipt>();
    let attempts = 0;
    const { note, clock, refusals, sweeps } = setup({
      record: async () => {
        attempts += 1;
        if (attempts === 1) throw new OutcomeUnknownError(settled.promise, undefined);
      },
    });
    note('alice');
    clock.now += WINDOW_MS - 1;
    await sweeps();
    t.equal(attempts, 1, 'not tried again while nobody knows');
    if (onRecord) settled.resolve({ seq: 0, timestamp: TIMESTAMP });
    else settled.reject(unavailable());
    clock.now += 1;
    await sweeps();
    t.equal(attempts, onRecord ? 1 : 2);
    await refusals.close();
  }
});

test('whichever attempt fails last, the count is full and since is the time of the first', async (t) => {
  for (const order of [
    [0, 1],
    [1, 0],
  ]) {
    const { note, logged, clock, state, answers, refusals } = setup();
    state.mode = 'asks';
    note('alice');
    clock.now += 1;
    note('alice');
    clock.now += WINDOW_MS;
    await until('a second attempt is under way', () => answers.length === 2);
    for (const number of order) {
      answers[number]?.reject(unavailable());
      await new Promise((resolve) => setImmediate(resolve));
    }
    state.mode = 'works';
    clock.now += WINDOW_MS;
    t.strictSame(await logged(1), ['bad_frame alice ×2 @1000']);
    await refusals.close();
  }
});

test('a refusal that fails after its window is forgotten is added to the new one', async (t) => {
  const { note, logged, clock, state, answers, refusals, sweeps } = setup();
  state.mode = 'asks';
  note('alice');
  await until('it is under way', () => answers.length === 1);
  clock.now += WINDOW_MS;
  await sweeps();
  state.mode = 'works';
  // The first of a new window, and a repeat that must not be lost.
  note('alice');
  t.strictSame(await logged(1), [`bad_frame alice ×1 @${clock.now}`]);
  note('alice');
  answers[0]?.reject(unavailable());
  await new Promise((resolve) => setImmediate(resolve));
  clock.now += WINDOW_MS;
  t.strictSame((await logged(2))[1], 'bad_frame alice ×2 @1000');
  await refusals.close();
});

test('a refusal that fails after its window is forgotten is tried again', async (t) => {
  const { note, logged, clock, state, answers, refusals, sweeps } = setup();
  state.mode = 'asks';
  note('alice');
  await until('it is under way', () => answers.length === 1);
  clock.now += WINDOW_MS;
  await sweeps();
  state.mode = 'works';
  answers[0]?.reject(unavailable());
  t.strictSame(await logged(1), ['bad_frame alice ×1 @1000']);
  await refusals.close();
});

test('closing records what is pending and waits for what is under way', async (t) => {
  const { note, log, state, answers, refusals } = setup();
  note('alice');
  note('alice');
  note('bob');
  state.mode = 'asks';
  note('carol');
  let isClosed = false;
  const closed = refusals.close().then(() => {
    isClosed = true;
  });
  await until('the attempts are under way', () => answers.length === 2);
  t.strictSame(log, ['bad_frame alice ×1 @1000', 'bad_frame bob ×1 @1000']);
  t.notOk(isClosed);
  answers[0]?.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  t.notOk(isClosed);
  answers[1]?.reject(unavailable());
  await closed;
  t.strictSame(log.slice(2), ['bad_frame carol ×1 @1000']);
});

test('closing while the log cannot be written ends after one attempt for each', async (t) => {
  const { note, log, state, refusals, attempts } = setup();
  state.mode = 'fails';
  note('alice');
  note('bob');
  await until('both have failed', () => attempts() === 2);
  await refusals.close();
  t.equal(attempts(), 4);
  t.strictSame(log, []);
});

test('after closing no sweep records any more', async (t) => {
  const { note, log, clock, refusals, sweeps } = setup();
  await refusals.close();
  note('alice');
  note('alice');
  clock.now += 10 * WINDOW_MS;
  await sweeps();
  t.strictSame(log, ['bad_frame alice ×1 @1000']);
});
