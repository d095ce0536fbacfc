import { test } from 'tap';
import { CodedError } from '../../src/core/errors.ts';
import { Turns } from '../../src/core/turns.ts';
import { until } from '../support/client.ts';

const refuse = () => new CodedError('rate_limited', 'Not now.');
const refused = { code: 'rate_limited' };

/** Work that lasts until it is told to end. */
function work() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  let begun = false;
  return {
    run: () => {
      begun = true;
      return promise;
    },
    end: resolve,
    fail: reject,
    get begun() {
      return begun;
    },
  };
}

const turn = () => new Promise((resolve) => setImmediate(resolve));

test('a key has so many turns at a time; what is more begins in its order, when one is over', async (t) => {
  const turns = new Turns({ most: 2, maxWaiting: 10, waitMs: 60_000, refuse });
  const works = Array.from({ length: 5 }, work);
  const done = works.map(({ run }) => turns.run('alice', run));
  const begun = () => works.map((each) => each.begun);
  await turn();
  t.strictSame(begun(), [true, true, false, false, false]);
  works[1]?.end('second');
  t.equal(await done[1], 'second');
  await turn();
  t.strictSame(begun(), [true, true, true, false, false]);
  works[0]?.fail(new Error('broken'));
  await t.rejects(done[0] as Promise<string>, { message: 'broken' });
  await turn();
  t.strictSame(begun(), [true, true, true, true, false], 'a failure makes room as well');
  for (const { end } of works) end('');
  await Promise.all(done.slice(1));
  t.strictSame(begun(), [true, true, true, true, true]);
  t.equal(turns.size, 0, 'nothing is kept of who has none');
});

test('a key waits for none of the others', async (t) => {
  const turns = new Turns({ most: 1, maxWaiting: 0, waitMs: 60_000, refuse });
  const [one, two] = [work(), work()];
  const first = turns.run('alice', one.run);
  const second = turns.run('bob', two.run);
  await turn();
  t.ok(one.begun && two.begun);
  for (const { end } of [one, two]) end('');
  await Promise.all([first, second]);
});

test('only so many wait, and no longer than they may; who was refused is never begun', async (t) => {
  const turns = new Turns({ most: 1, maxWaiting: 2, waitMs: 50, refuse });
  const works = Array.from({ length: 4 }, work);
  const since = performance.now();
  const done = works.map(({ run }) => turns.run('alice', run));
  await t.rejects(done[3] as Promise<string>, refused);
  t.ok(performance.now() - since < 50, 'one beyond is refused at once');
  await t.rejects(done[1] as Promise<string>, refused);
  await t.rejects(done[2] as Promise<string>, refused);
  t.ok(performance.now() - since >= 49, 'the others when their time is over');
  works[0]?.end('first');
  t.equal(await done[0], 'first');
  await turn();
  t.strictSame(
    works.map(({ begun }) => begun),
    [true, false, false, false],
  );
  t.equal(await turns.run('alice', async () => 'again'), 'again');
  t.equal(turns.size, 0);
});

test('a turn rests for as long as is told when its work is over, and its own answer does not wait for that', async (t) => {
  let restMs = 40;
  /** When the first one’s rest began. */
  let restsAt: number | undefined;
  const told: string[] = [];
  const rest = () => {
    told.push('begun');
    return () => {
      told.push('over');
      restsAt ??= performance.now();
      return restMs;
    };
  };
  const turns = new Turns({ most: 1, maxWaiting: 10, waitMs: 60_000, refuse, rest });
  t.equal(await turns.run('alice', async () => 'first'), 'first');
  t.strictSame(told, ['begun', 'over']);
  t.equal(await turns.run('bob', async () => 'bob'), 'bob', 'nobody else waits for it');
  restMs = 0;
  await t.rejects(
    turns.run('alice', () => Promise.reject(new Error('broken'))),
    { message: 'broken' },
  );
  t.ok(performance.now() - (restsAt ?? 0) >= 39, 'the next one did');
  t.strictSame(told.length, 6, 'after a failure as well');
  await until('nothing is kept of who has none', () => turns.size === 0);
});

test('what work waits for at its beginning, others to end, is no reason to rest', async (t) => {
  let worked = 0;
  const rest = () => {
    const begun = worked;
    return () => 100 * (worked - begun);
  };
  const ofAll = new Turns({ most: 1, maxWaiting: 10, waitMs: 60_000, refuse });
  const ofUser = new Turns({ most: 1, maxWaiting: 10, waitMs: 60_000, refuse, rest });
  const read = (user: string, run: () => Promise<string>) =>
    ofUser.run(user, (begin) =>
      ofAll.run('all', () => {
        begin();
        return run();
      }),
    );
  const long = work();
  const first = read('alice', long.run);
  const second = read('bob', async () => 'second');
  await turn();
  worked += 600;
  long.end('first');
  t.strictSame(await Promise.all([first, second]), ['first', 'second']);
  t.equal(ofUser.size, 1, 'alice’s turn rests, and bob’s does not');
  t.equal(await read('bob', async () => 'third'), 'third');
});
