import { test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { Tail, type TailOptions, type TailPage } from '../../src/core/tail.ts';
import { until } from '../support/client.ts';
import { eventAt, eventsBetween } from '../support/log.ts';

/** The page of the tail’s reads. */
const PAGE = 500;

/** What a database would answer, where no page is cut for its weight. */
const pageOf = (log: AuditEvent[], from: number, limit: number): TailPage => {
  const events = log.slice(from, from + limit);
  return { events, isEnd: events.length < limit };
};

/** A tail over a log in memory. */
function setup(options: Partial<TailOptions> = {}) {
  /** What is committed. */
  const log: AuditEvent[] = [];
  /** The reads, as `from+limit`. */
  const reads: string[] = [];
  const errors: unknown[] = [];
  /** Called before each read; what it throws is what the read fails with. */
  const fault: { before: (from: number) => void | Promise<void> } = { before: () => {} };
  const tail = new Tail({
    next: 0,
    read: async (from, limit) => {
      reads.push(`${from}+${limit}`);
      await fault.before(from);
      return pageOf(log, from, limit);
    },
    mayShow: () => undefined,
    maxRecentEvents: 1_000,
    maxRecentBytes: 1_000_000,
    onError: (error) => errors.push(error),
    ...options,
  });
  /** Commits events up to, but without, a seq, and does not tell of them. */
  const commitTo = (end: number): AuditEvent[] => {
    const events = eventsBetween(log.length, end);
    log.push(...events);
    return events;
  };
  /** A subscriber that notes what it gets. */
  const follow = (from?: number): number[] => {
    const seen: number[] = [];
    tail.subscribe((events) => void seen.push(...events.map(({ seq }) => seq)), from);
    return seen;
  };
  return { tail, log, reads, errors, fault, commitTo, follow };
}

const range = (from: number, to: number): number[] => eventsBetween(from, to).map(({ seq }) => seq);

/** A handler that takes its time: each call ends when the test says so. */
function slowHandler() {
  const seen: number[] = [];
  let finish: (() => void) | undefined;
  return {
    seen,
    handler: (events: readonly AuditEvent[]): Promise<void> => {
      seen.push(...events.map(({ seq }) => seq));
      return new Promise((resolve) => {
        finish = resolve;
      });
    },
    /** Ends the present call and all that follow, until everything up to a seq was seen. */
    catchUp: (end: number): Promise<void> =>
      until(`everything below ${end} was seen`, () => {
        finish?.();
        return seen.at(-1) === end - 1;
      }),
  };
}

test('what this instance commits is handed on within the offer, in order, without a read', async (t) => {
  const { tail, reads, commitTo, follow } = setup({ next: 0 });
  const [alice, bob] = [follow(), follow()];
  tail.offer(commitTo(3));
  t.strictSame(alice, [0, 1, 2]);
  tail.offer(commitTo(4));
  tail.offer([]);
  t.strictSame([alice, bob], [range(0, 4), range(0, 4)]);
  t.equal(tail.next, 4);
  t.strictSame(reads, []);
});

test('events are handed on as they are, and those before the start are not', async (t) => {
  const { tail } = setup({ next: 7 });
  const seen: AuditEvent[] = [];
  tail.subscribe((events) => void seen.push(...events));
  const events = [eventAt(7, 'hello'), eventAt(8)];
  tail.offer([eventAt(5), eventAt(6)]);
  t.strictSame(seen, []);
  t.equal(tail.next, 7);
  tail.offer(events);
  t.equal(seen.length, 2);
  t.equal(seen[0], events[0], 'the very event, not a copy');
});

test('an offer beyond the next event waits for the read of what is between', async (t) => {
  const { tail, reads, commitTo, follow } = setup();
  const seen = follow();
  commitTo(2);
  tail.offer(commitTo(5));
  t.strictSame(seen, [], 'nothing is handed on out of order');
  await until('the gap was read', () => tail.next === 5);
  t.strictSame(seen, range(0, 5));
  t.strictSame(reads, ['0+2'], 'what was offered is not read as well');
  tail.offer(commitTo(6));
  t.strictSame(seen, range(0, 6), 'and then offers are next again');
});

test('own batches between those of others are kept until their turn comes', async (t) => {
  const { tail, reads, fault, commitTo, follow } = setup();
  const seen = follow();
  const gate = Promise.withResolvers<void>();
  fault.before = () => gate.promise;
  commitTo(2);
  tail.offer(commitTo(4));
  tail.offer(commitTo(5));
  commitTo(7);
  tail.offer(commitTo(9));
  gate.resolve();
  await until('all is known', () => tail.next === 9);
  t.strictSame(seen, range(0, 9));
  t.strictSame(reads, ['0+2', '5+2']);
});

test('more own batches than are kept are read', async (t) => {
  const { tail, fault, commitTo, follow } = setup();
  const seen = follow();
  const gate = Promise.withResolvers<void>();
  fault.before = () => gate.promise;
  commitTo(1);
  for (let end = 2; end <= 200; end += 1) tail.offer(commitTo(end));
  gate.resolve();
  await until('all is known', () => tail.next === 200);
  t.strictSame(seen, range(0, 200));
});

test('a hint that says how far the log goes is followed that far, and no further', async (t) => {
  const { tail, reads, commitTo, follow } = setup();
  const seen = follow();
  commitTo(3);
  await tail.wake(3);
  t.strictSame(seen, range(0, 3));
  t.strictSame(reads, [`0+${PAGE}`]);
  await tail.wake(2);
  await tail.wake(3);
  t.equal(reads.length, 1, 'what is known is not read again');
  await tail.wake(1_000_000);
  t.equal(reads.length, 2, 'what is not there is not asked for twice');
  commitTo(4);
  await tail.wake();
  t.strictSame(seen, range(0, 4));
});

test('while nothing may be shown, nobody is handed anything, and nothing is lost', async (t) => {
  for (const kind of ['from memory', 'from the database'] as const) {
    let wait: PromiseWithResolvers<void> | undefined = Promise.withResolvers();
    const { tail, commitTo, follow } = setup({
      mayShow: () => wait?.promise,
      maxRecentEvents: kind === 'from memory' ? 1_000 : 1,
    });
    const seen = follow();
    for (let end = 10; end <= 100; end += 10) tail.offer(commitTo(end));
    await new Promise((resolve) => setImmediate(resolve));
    t.strictSame(seen, [], kind);
    const again = wait;
    wait = Promise.withResolvers();
    again.resolve();
    await new Promise((resolve) => setImmediate(resolve));
    t.strictSame(seen, [], 'it is asked again after the waiting');
    const last = wait;
    wait = undefined;
    last.resolve();
    await until('all came', () => seen.length === 100);
    t.strictSame(seen, range(0, 100), kind);
  }
});

test('what was read before it became clear that nothing may be shown is not handed on', async (t) => {
  let wait: PromiseWithResolvers<void> | undefined;
  const { tail, fault, commitTo, follow } = setup({ mayShow: () => wait?.promise, maxRecentEvents: 1 });
  for (let end = 10; end <= 100; end += 10) tail.offer(commitTo(end));
  const gate = Promise.withResolvers<void>();
  fault.before = () => gate.promise;
  const seen = follow(0);
  wait = Promise.withResolvers();
  gate.resolve();
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(seen, []);
  const last = wait;
  wait = undefined;
  last.resolve();
  await until('all came', () => seen.length === 100);
  t.strictSame(seen, range(0, 100));
});

test('a tail that is restarted goes on from there, and forgets what it knew', async (t) => {
  const { tail, log, fault, commitTo, follow } = setup();
  const seen = follow();
  tail.offer(commitTo(10));
  const gate = Promise.withResolvers<void>();
  fault.before = () => gate.promise;
  commitTo(12);
  const woken = tail.wake();
  // The log is put back to 5 events, and goes on otherwise.
  log.length = 5;
  tail.restart(5);
  gate.resolve();
  await woken;
  tail.offer(commitTo(8));
  await tail.wake();
  t.strictSame(seen, [...range(0, 10), ...range(5, 8)]);
  t.equal(tail.next, 8);
});

test('a read and an offer of the same events give each once', async (t) => {
  for (const [name, offers] of Object.entries({
    'the same': [[0, 10]],
    'the first': [[0, 1]],
    'the beginning': [[0, 4]],
    'more than was read': [[0, 12]],
    'one by one': Array.from({ length: 12 }, (_, seq) => [seq, seq + 1]),
    'twice the same': [
      [0, 6],
      [0, 6],
    ],
    'overlapping ones': [
      [0, 6],
      [3, 12],
    ],
  })) {
    const { tail, fault, commitTo, follow } = setup();
    const gate = Promise.withResolvers<void>();
    const seen = follow();
    commitTo(10);
    fault.before = () => gate.promise;
    const woken = tail.wake();
    for (const [from = 0, to = 0] of offers) tail.offer(eventsBetween(from, to));
    gate.resolve();
    await woken;
    const end = Math.max(10, ...offers.map(([, to = 0]) => to));
    t.strictSame(seen, range(0, end), name);
    t.equal(tail.next, end, name);
  }
});

test('an offer of what was read before is not taken again', async (t) => {
  const { tail, commitTo, follow } = setup();
  const seen = follow();
  const events = commitTo(5);
  await tail.wake();
  tail.offer(events);
  tail.offer(events.slice(3));
  t.strictSame(seen, range(0, 5));
  t.equal(tail.next, 5);
});

test('a hint reads all that there is, page by page', async (t) => {
  const { tail, reads, commitTo, follow } = setup();
  const seen = follow();
  await tail.wake();
  t.strictSame(seen, [], 'which may be nothing');
  commitTo(2 * PAGE + 1);
  await tail.wake();
  t.strictSame(seen, range(0, 2 * PAGE + 1));
  t.strictSame(
    reads,
    [0, 0, PAGE, 2 * PAGE].map((from) => `${from}+${PAGE}`),
    'to the page that is short',
  );
});

test('a page that is short for its weight is not the end', async (t) => {
  const { tail, log, commitTo, follow } = setup({
    read: async (from) => ({ events: log.slice(from, from + 1), isEnd: from >= log.length }),
  });
  const seen = follow();
  commitTo(3);
  await tail.wake();
  t.strictSame(seen, range(0, 3));
});

test('while others write all the time, what is known here is not old', async (t) => {
  const { tail, log, reads, fault, commitTo, follow } = setup();
  const seen = follow();
  commitTo(1);
  await until('time passes', () => tail.behindMs > 20);
  // Whenever it asks, there is something more; a writer that goes on for longer than this test would.
  fault.before = () => void (log.length < 1_000 && commitTo(log.length + 1));
  await tail.wake();
  t.ok(tail.behindMs < 20);
  t.strictSame(seen, range(0, 2));
  t.equal(reads.length, 1, 'and it is not read for ever');
});

test('what is known is as new as the read only once it is handed on, and not by a reader of old events', async (t) => {
  const { tail, fault, commitTo } = setup({ maxRecentEvents: 1 });
  await until('time passes', () => tail.behindMs > 20);
  const ages: number[] = [];
  tail.subscribe(() => void ages.push(tail.behindMs));
  commitTo(2);
  await tail.wake();
  t.ok(ages.length > 0 && ages.every((age) => age > 20));
  tail.offer(commitTo(10));
  fault.before = () => void commitTo(11);
  const before = performance.now() - tail.behindMs;
  const late: number[] = [];
  tail.subscribe((events) => void late.push(...events.map(({ seq }) => seq)), 0);
  await until('it has caught up', () => late.at(-1) === 9 || late.at(-1) === 10);
  t.ok(Math.abs(performance.now() - tail.behindMs - before) < 1, 'the tail itself has not looked');
});

test('hints that come during a read make one more, and what they told of is found', async (t) => {
  const { tail, reads, fault, commitTo, follow } = setup();
  const seen = follow();
  const gate = Promise.withResolvers<void>();
  const log = commitTo(3);
  fault.before = async () => {
    // The database answers as of the start of the read: what comes later is not in it.
    if (reads.length === 1) await gate.promise.then(() => commitTo(5));
  };
  const hints = [tail.wake(), tail.wake(), tail.wake()];
  tail.offer([eventAt(4)]);
  gate.resolve();
  await Promise.all(hints);
  t.strictSame(seen, range(0, 5));
  t.equal(log.length, 3);
  t.strictSame(
    reads,
    [0, 5].map((from) => `${from}+${PAGE}`),
    'what was missed, and one more for all hints',
  );
});

test('a hint that tells how far the log goes is not lost in a read that began before it', async (t) => {
  const log: AuditEvent[] = [];
  const gates: PromiseWithResolvers<void>[] = [];
  const { tail, follow } = setup({
    // As a database answers: with what was there when it was asked.
    read: async (from, limit) => {
      const page = pageOf(log, from, limit);
      const gate = Promise.withResolvers<void>();
      gates.push(gate);
      await gate.promise;
      return page;
    },
  });
  const seen = follow();
  const looking = tail.wake();
  log.push(...eventsBetween(0, 3));
  void tail.wake(3);
  gates[0]?.resolve();
  await until('it has read again', () => gates.length === 2);
  gates[1]?.resolve();
  await looking;
  t.strictSame(seen, [0, 1, 2]);
});

test('a failed read is told, and the next hint reads again, with nothing skipped', async (t) => {
  const { tail, fault, errors, commitTo, follow } = setup();
  const seen = follow();
  const error = new Error('the database is away');
  commitTo(PAGE + 10);
  for (const failing of [0, PAGE]) {
    fault.before = (from) => {
      if (from === failing) throw error;
    };
    await tail.wake();
    t.equal(errors.pop(), error);
    t.strictSame(seen, range(0, failing));
    t.equal(tail.next, failing);
  }
  fault.before = () => {};
  tail.offer([eventAt(PAGE + 9)]);
  await until('all was read', () => tail.next === PAGE + 10);
  t.strictSame(seen, range(0, PAGE + 10));
  t.strictSame(errors, []);
});

test('offers go on while the database cannot be read', async (t) => {
  const { tail, fault, errors, commitTo, follow } = setup();
  const seen = follow();
  fault.before = () => Promise.reject(new Error('away'));
  await tail.wake();
  tail.offer(commitTo(2));
  t.strictSame(seen, [0, 1]);
  t.equal(errors.length, 1);
});

test('a subscriber may begin anywhere: in memory, in the database, in what is to come', async (t) => {
  const { tail, reads, commitTo, follow } = setup({ maxRecentEvents: 10 });
  for (let end = 10; end <= 60; end += 10) tail.offer(commitTo(end));
  const [now, past, recent, later] = [follow(), follow(0), follow(55), follow(62)];
  t.strictSame(recent, range(55, 60), 'at once from memory');
  await until('the past was read', () => past.length === 60);
  tail.offer(commitTo(61));
  t.strictSame(later, []);
  tail.offer(commitTo(64));
  t.strictSame(now, range(60, 64));
  t.strictSame(past, range(0, 64));
  t.strictSame(recent, range(55, 64));
  t.strictSame(later, [62, 63]);
  t.strictSame(reads, [`0+${PAGE}`], 'one read, for the one that needed it');
});

test('a slow subscriber gets the next events when it is done with these', async (t) => {
  const { tail, reads, commitTo, follow } = setup();
  const { seen, handler, catchUp } = slowHandler();
  tail.subscribe(handler);
  const fast = follow();
  tail.offer(commitTo(2));
  tail.offer(commitTo(5));
  tail.offer(commitTo(6));
  t.strictSame(seen, [0, 1]);
  t.strictSame(fast, range(0, 6), 'nobody waits for it');
  await catchUp(6);
  t.strictSame(seen, range(0, 6));
  t.strictSame(reads, [], 'what is in memory is not read');
});

test('a subscriber that fell out of memory is fed from the database, in order, each event once', async (t) => {
  const end = 3 * PAGE;
  const { tail, reads, errors, commitTo, follow } = setup({ maxRecentEvents: 20 });
  const { seen, handler, catchUp } = slowHandler();
  tail.subscribe(handler);
  const fast = follow();
  for (let next = 10; next <= end; next += 10) tail.offer(commitTo(next));
  t.strictSame(seen, range(0, 10));
  t.strictSame(reads, [], 'not before it asks');
  const more = catchUp(end + 15);
  await until('it reads', () => reads.length > 0);
  // Meanwhile the log goes on.
  for (let next = end + 5; next <= end + 15; next += 5) tail.offer(commitTo(next));
  await more;
  t.strictSame(seen, range(0, end + 15));
  t.strictSame(fast, range(0, end + 15));
  t.equal(reads[0], `10+${PAGE}`);
  tail.offer(commitTo(end + 16));
  await catchUp(end + 16);
  t.strictSame(seen, range(0, end + 16), 'and then from memory again');
  t.strictSame(errors, []);
});

test('memory holds the newest events, up to twice its bound, then half of that', async (t) => {
  for (const [name, bounds] of Object.entries({
    'by number': { maxRecentEvents: 10 },
    'by weight': { maxRecentBytes: 100 },
    'by both': { maxRecentEvents: 10, maxRecentBytes: 100 },
  })) {
    const { tail, reads, log, follow } = setup(bounds);
    const offerTo = (end: number): void => {
      while (log.length < end) {
        log.push(eventAt(log.length, 'x'.repeat(10)));
        tail.offer(log.slice(-1));
      }
    };
    offerTo(20);
    t.strictSame(follow(0), range(0, 20), `${name}: twice the bound`);
    offerTo(21);
    t.strictSame(follow(11), range(11, 21), `${name}: the bound is always kept`);
    // What was dropped must not weigh on for ever.
    offerTo(5_000);
    const newest = follow(4_990);
    t.strictSame(newest, range(4_990, 5_000), `${name}: and still is after a long time`);
    t.strictSame(reads, [], name);

    offerTo(5_009);
    const dropped = follow(4_980);
    t.strictSame(dropped, [], `${name}: the rest is in the database alone`);
    await until('it was read', () => dropped.length > 0);
    t.strictSame(dropped, range(4_980, 5_009), name);
    t.strictSame(reads, [`4980+${PAGE}`], name);
  }
});

test('events without a message weigh nothing', async (t) => {
  const { tail, reads, log, follow } = setup({ maxRecentBytes: 0 });
  for (const event of eventsBetween(0, 50)) log.push({ ...event, message: null });
  tail.offer(log);
  t.strictSame(follow(0), range(0, 50));
  t.strictSame(reads, []);
});

test('an event that alone is over the bound is handed on all the same', async (t) => {
  const { tail, log, reads, follow } = setup({ maxRecentEvents: 2, maxRecentBytes: 10 });
  const seen = follow();
  log.push(...eventsBetween(0, 3), eventAt(3, 'x'.repeat(100)), eventAt(4, 'y'.repeat(100)), eventAt(5));
  tail.offer(log.slice(0, 3));
  tail.offer(log.slice(3));
  t.strictSame(seen, range(0, 6), 'at once, for whoever keeps up');
  t.strictSame(reads, []);
  tail.offer([eventAt(6)]);
  t.strictSame(seen, range(0, 7));
});

test('a large page does not make those who keep up read it again', async (t) => {
  const { tail, reads, commitTo, follow } = setup({ maxRecentEvents: 10 });
  const seen = follow();
  commitTo(100);
  await tail.wake();
  t.strictSame(seen, range(0, 100));
  t.strictSame(reads, [`0+${PAGE}`]);
});

test('a subscriber whose read fails goes on at the next hint, and skips nothing', async (t) => {
  const { tail, fault, errors, reads, commitTo, follow } = setup({ maxRecentEvents: 10 });
  for (let end = 10; end <= 60; end += 10) tail.offer(commitTo(end));
  const error = new Error('the database is away');
  fault.before = () => Promise.reject(error);
  const behind = follow(5);
  await until('its read has failed', () => errors.length > 0);
  t.strictSame(errors, [error]);
  t.equal(reads.length, 1, 'it does not try on its own');
  fault.before = () => {};
  await tail.wake();
  await until('it has caught up', () => behind.length === 55);
  tail.offer(commitTo(61));
  t.strictSame(behind, range(5, 61));

  fault.before = () => Promise.reject(error);
  const another = follow(0);
  await until('its read has failed', () => errors.length === 2);
  fault.before = () => {};
  tail.offer(commitTo(62));
  await until('it has caught up', () => another.length === 62);
  t.strictSame(another, range(0, 62), 'an offer is as good as a hint');
  t.strictSame(behind, range(5, 62));
});

test('a subscriber whose read finds nothing waits for the next hint', async (t) => {
  const { tail, log, reads, commitTo, follow } = setup({ maxRecentEvents: 10 });
  for (let end = 10; end <= 60; end += 10) tail.offer(commitTo(end));
  // A copy of the database that lags behind.
  const copy = log.splice(0);
  const behind = follow(5);
  await until('it has read', () => reads.length > 0);
  for (let turn = 0; turn < 10; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  t.equal(reads.length, 1);
  log.push(...copy);
  await tail.wake();
  await until('it has caught up', () => behind.length === 55);
  t.strictSame(behind, range(5, 60));
});

test('a subscriber that throws is ended, and the others go on', async (t) => {
  for (const way of ['at once', 'later', 'after a read'] as const) {
    const { tail, errors, commitTo, follow } = setup({ maxRecentEvents: 10 });
    if (way === 'after a read') for (let end = 10; end <= 60; end += 10) tail.offer(commitTo(end));
    const before = follow(0);
    const error = new Error('a broken subscriber');
    let calls = 0;
    tail.subscribe((): void | Promise<void> => {
      calls += 1;
      if (way !== 'later') throw error;
      return Promise.reject(error);
    }, 0);
    const after = follow(0);
    const end = tail.next + 2;
    tail.offer(commitTo(end));
    await until('it was ended', () => errors.length > 0);
    tail.offer(commitTo(end + 1));
    await until('the others have seen all', () => before.length + after.length === 2 * end + 2);
    t.strictSame([before, after], [range(0, end + 1), range(0, end + 1)], way);
    t.equal(calls, 1, `${way}: it is not called again`);
    t.strictSame(errors, [error], `${way}: it is told once`);
  }
});

test('a subscriber that is closed gets nothing more', async (t) => {
  const { tail, errors, commitTo, follow } = setup();
  const seen: number[] = [];
  const other = follow();
  const subscription = tail.subscribe((events) => {
    seen.push(...events.map(({ seq }) => seq));
    if (seen.length === 2) subscription.close();
  });
  tail.offer(commitTo(2));
  tail.offer(commitTo(4));
  subscription.close();
  t.strictSame(seen, [0, 1]);
  t.strictSame(other, range(0, 4));
  t.strictSame(errors, []);
});

test('a subscriber that is closed while it reads gets nothing of it', async (t) => {
  const { tail, reads, fault, errors, commitTo } = setup({ maxRecentEvents: 10 });
  for (let end = 10; end <= 60; end += 10) tail.offer(commitTo(end));
  const gate = Promise.withResolvers<void>();
  fault.before = () => gate.promise;
  const seen: number[] = [];
  const subscription = tail.subscribe((events) => void seen.push(...events.map(({ seq }) => seq)), 0);
  await until('it reads', () => reads.length > 0);
  subscription.close();
  gate.resolve();
  await tail.close();
  await new Promise((resolve) => setImmediate(resolve));
  t.strictSame(seen, []);
  t.strictSame(errors, []);
});

test('a closed tail hands on nothing, and no read of it is under way any more', async (t) => {
  for (const reader of ['the tail', 'a subscriber'] as const) {
    const { tail, reads, fault, commitTo, follow } = setup({ maxRecentEvents: 10 });
    for (let end = 10; end <= 60; end += 10) tail.offer(commitTo(end));
    const gate = Promise.withResolvers<void>();
    fault.before = () => gate.promise;
    const seen = follow(reader === 'the tail' ? 60 : 0);
    const events = commitTo(60 + PAGE);
    if (reader === 'the tail') void tail.wake();
    await until('it reads', () => reads.length === 1);
    let isClosed = false;
    const closed = tail.close().then(() => {
      isClosed = true;
    });
    await new Promise((resolve) => setImmediate(resolve));
    t.notOk(isClosed, `${reader} is waited for`);
    gate.resolve();
    await closed;
    tail.offer(events);
    await tail.wake();
    t.strictSame(seen, [], reader);
    t.equal(reads.length, 1, `${reader}: no read after the end`);
  }
});

test('it tells how many follow, and how long ago the database last answered', async (t) => {
  const { tail, fault } = setup();
  const subscription = tail.subscribe(() => {});
  t.equal(tail.subscriptions, 1);
  subscription.close();
  t.equal(tail.subscriptions, 0);
  fault.before = () => {
    throw new Error('away');
  };
  await until('time passes', () => tail.readAgeMs > 20);
  await tail.wake();
  t.ok(tail.readAgeMs > 20, 'a read that fails is no answer');
  fault.before = () => {};
  const before = tail.readAgeMs;
  await tail.wake();
  t.ok(tail.readAgeMs < before, 'one that finds nothing is');
});

test('it tells how old what it knows may be: as of the read that came to the end', async (t) => {
  const { tail, fault, commitTo } = setup();
  await until('time passes', () => tail.behindMs > 20);
  fault.before = () => {
    throw new Error('away');
  };
  await tail.wake();
  t.ok(tail.behindMs > 20, 'a read that fails tells nothing');
  const gate = Promise.withResolvers<void>();
  fault.before = () => gate.promise;
  const looked = tail.wake();
  const before = tail.behindMs;
  await until('the database takes its time', () => tail.behindMs > before + 20);
  gate.resolve();
  await looked;
  t.ok(tail.behindMs >= 20, 'it is as old as the question, not as the answer');
  commitTo(PAGE + 1);
  let last = 0;
  fault.before = (from) => {
    last = from;
  };
  await tail.wake();
  t.equal(last, PAGE, 'it was read to the end');
  t.ok(tail.behindMs < 20);
  tail.restart(0);
  t.equal(tail.behindMs, Number.POSITIVE_INFINITY, 'of another log nothing is known yet');
});
