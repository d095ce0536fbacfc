import { test } from 'tap';
import { Clock, relativeWords } from '../../web/common/time.ts';

const paris = new Clock('Europe/Paris');
const utc = new Clock('UTC');

test('a time of the log keeps its microseconds in every zone', async (t) => {
  const text = '2026-11-22T23:30:00.123456Z';
  t.equal(utc.full(text), '2026-11-22 23:30:00.123456 UTC');
  t.equal(utc.iso(text), text);
  t.equal(paris.full(text), '2026-11-23 00:30:00.123456 +01:00');
  t.equal(paris.iso(text), '2026-11-23T00:30:00.123456+01:00');
  t.equal(paris.minute(text), '2026-11-23 00:30 +01:00');
  t.equal(new Clock('Asia/Kathmandu').iso(text), '2026-11-23T05:15:00.123456+05:45');
  t.equal(new Clock('America/St_Johns').iso(text), '2026-11-22T20:00:00.123456-03:30');
  t.throws(() => paris.read('2026-11-22T23:30:00+01:00'), RangeError);
});

test('where clocks are put back, the offset tells the two hours apart', async (t) => {
  t.equal(paris.full('2026-10-25T00:30:00.000001Z'), '2026-10-25 02:30:00.000001 +02:00');
  t.equal(paris.full('2026-10-25T01:30:00.000001Z'), '2026-10-25 02:30:00.000001 +01:00');
});

test('what a clock shows is the point in time that it was made from', async (t) => {
  const iso = (clock: Clock, wall: string) => new Date(clock.parse(wall)).toISOString();
  t.equal(iso(utc, '2026-11-22T10:30'), '2026-11-22T10:30:00.000Z');
  t.equal(iso(paris, '2026-11-22T10:30'), '2026-11-22T09:30:00.000Z');
  t.equal(iso(paris, '2026-11-22'), '2026-11-21T23:00:00.000Z', 'a date is its start');
  t.equal(iso(paris, '2026-10-25T02:30'), '2026-10-25T00:30:00.000Z', 'of two, the first');
  t.equal(iso(paris, '2026-10-25T03:30'), '2026-10-25T02:30:00.000Z');
  t.equal(iso(paris, '2026-03-29T02:30'), '2026-03-29T01:30:00.000Z', 'of none, as long after the change');
  t.ok(Number.isNaN(paris.parse('soon')));

  const zones = ['UTC', 'Europe/Paris', 'America/New_York', 'Australia/Lord_Howe', 'Pacific/Apia'];
  for (const clock of zones.map((zone) => new Clock(zone))) {
    for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 37 * 60_000 * 60) {
      const shown = clock.input(at);
      t.equal(clock.input(clock.parse(shown)), shown, `${clock.timeZone} ${shown}`);
    }
  }
});

test('days are named by the calendar of the zone, also when they have 23 or 25 hours', async (t) => {
  const now = Date.parse('2026-10-26T22:30:00Z'); // 23:30 in Paris, the day after clocks were put back
  t.equal(paris.day('2026-10-26T10:00:00.000000Z', now), 'Today');
  t.equal(paris.day('2026-10-24T22:00:00.000000Z', now), 'Yesterday', 'its first moment, 49.5 hours ago');
  t.equal(paris.day('2026-10-24T21:59:59.999999Z', now), 'Saturday 24 October 2026');
  t.equal(utc.day('2026-10-24T22:00:00.000000Z', now), 'Saturday 24 October 2026');
});

test('how long ago is said in words', async (t) => {
  const now = Date.parse('2026-11-22T12:00:00Z');
  t.equal(relativeWords('2026-11-22T11:59:59.500000Z', now), 'just now');
  t.equal(relativeWords('2026-11-22T11:59:30.000000Z', now), '30 seconds ago');
  t.equal(relativeWords('2026-11-22T11:00:00.000000Z', now), '1 hour ago');
  t.equal(relativeWords('2026-11-22T10:00:01.000000Z', now), '1 hour ago');
  t.equal(relativeWords('2026-11-19T11:00:00.000000Z', now), '3 days ago');
  t.equal(relativeWords('2026-11-22T12:05:00.000000Z', now), 'in 5 minutes');
});
