import { test } from 'tap';
import { copyValue, eventLine } from '../../bench/seed/lines.ts';
import { SeedLog } from '../../bench/seed/log.ts';
import { Random } from '../../bench/seed/random.ts';
import { Skew } from '../../bench/seed/skew.ts';
import { Timeline } from '../../bench/seed/timeline.ts';
import { prepareEvent } from '../../src/core/events.ts';

const END = Date.UTC(2026, 10, 22) * 1_000;

/** The lines of a made-up log, and its batches. */
function make(events: number, seed: number, most = 700) {
  const log = new SeedLog({ events, firstSeq: 5, end: END, random: new Random(seed) });
  const made = { start: log.start, lines: [] as string[], counts: [] as number[], times: [] as string[] };
  for (let part = log.next(most); part !== undefined; part = log.next(most)) {
    for (const { count, timestamp } of part.batches) {
      made.counts.push(count);
      made.times.push(timestamp);
    }
    for (const event of part.events()) {
      made.lines.push(eventLine('seed', event));
      // What cannot be recorded is not in a log either.
      prepareEvent(event.draft, 'seed', 0);
    }
  }
  return made;
}

test('the same number makes the same log, another one another', async (t) => {
  const made = make(3_000, 1);
  t.strictSame(make(3_000, 1), made);
  t.not(make(3_000, 2).lines.join(''), made.lines.join(''));
});

test('there are as many events as asked, in batches of many sizes, and time does not go back', async (t) => {
  for (const events of [1_000, 1_001, 4_567]) {
    const { start, lines, counts, times } = make(events, events);
    t.equal(lines.length, events);
    t.equal(
      counts.reduce((sum, count) => sum + count, 0),
      events,
    );
    t.ok(new Set(counts).size > 10 && Math.max(...counts) <= 512);
    t.strictSame(times.toSorted(), times);
    t.ok((times[0] ?? '') >= start);
    t.ok((times.at(-1) ?? '') <= '2026-11-22T00:00:00.000000Z');
    t.match(lines.at(0), /\tSERVER_STARTED\t/);
    t.match(lines.at(-1), /\tSERVER_STOPPED\t/);
  }
});

test('the first of many is drawn in proportion, and so is the last', async (t) => {
  const random = new Random(3);
  const skew = new Skew(10, 1);
  const drawn = new Array<number>(10).fill(0);
  const draws = 100_000;
  for (let n = 0; n < draws; n += 1) {
    const place = skew.draw(random);
    drawn[place] = (drawn[place] ?? 0) + 1;
  }
  const sum = drawn.reduce((all, _, n) => all + 1 / (n + 1), 0);
  for (const [n, count] of drawn.entries()) {
    const expected = draws / (n + 1) / sum;
    t.ok(Math.abs(count - expected) < 6 * Math.sqrt(expected), `${n}: ${count} of ${Math.round(expected)}`);
  }
  t.equal(new Skew(1, 1).draw(random), 0);
});

test('ninety days pass, busier at some times than at others', async (t) => {
  const timeline = new Timeline(END, new Random(1));
  const steps = Array.from({ length: 10_001 }, (_, n) => timeline.at(n / 10_000));
  const times = steps.map(({ at }) => at);
  t.equal(times[0], timeline.start);
  t.ok(Math.abs((times.at(-1) ?? 0) - END) < 1_000_000);
  t.strictSame(
    times.toSorted((a, b) => a - b),
    times,
  );
  const busy = steps.map((step) => step.busy);
  t.ok(Math.max(...busy) > 5 && Math.min(...busy) < 0.5, 'bursts, and quiet nights');
});

test('values are escaped as COPY reads them', async (t) => {
  t.equal(copyValue('a\\b\tc\nd\re'), 'a\\\\b\\tc\\nd\\re');
  t.equal(copyValue(null), '\\N');
  t.equal(copyValue(undefined), '\\N');
  t.equal(copyValue(''), '');
  t.equal(copyValue('\\N'), '\\\\N', 'who says so means no null');
});
