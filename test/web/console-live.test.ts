import { test } from 'tap';
import { Clock } from '../../web/common/time.ts';
import { countFacets } from '../../web/console/facets/counts.ts';
import {
  countOn,
  endMs,
  histogramOf,
  intervalOf,
  MAX_BARS,
  shifted,
  ticksOf,
  totalOf,
} from '../../web/console/histogram/buckets.ts';
import {
  isBeforeAnybody,
  itemsOf,
  joined,
  kept,
  nothingWaiting,
  released,
  rowOf,
  waitingCount,
  withOlder,
  withWaiting,
} from '../../web/console/list/rows.ts';
import { backoffMs, type Connection, follow } from '../../web/console/live/follow.ts';
import { eventAt } from '../support/log.ts';

const seqs = (rows: readonly { is: string; event?: { seq: number } }[]) =>
  rows.map((row) => row.event?.seq ?? row.is);
const newestFirst = (from: number, to: number) =>
  Array.from({ length: from - to + 1 }, (_, index) => eventAt(from - index));

test('what came live and what was read meanwhile make one list, each event once', async (t) => {
  const live = newestFirst(12, 9).map(rowOf);
  t.strictSame(seqs(joined(live, newestFirst(10, 8))), [12, 11, 10, 9, 8]);
  t.strictSame(seqs(withOlder(newestFirst(5, 3).map(rowOf), newestFirst(4, 1))), [5, 4, 3, 2, 1]);
  t.strictSame(seqs(kept(newestFirst(5, 1).map(rowOf), 3).rows), [5, 4, 3]);
});

test('what waits is bounded, and what went is said', async (t) => {
  let waiting = nothingWaiting;
  for (let seq = 1; seq <= 5; seq++) waiting = withWaiting(waiting, [rowOf(eventAt(seq))], 3);
  t.equal(waitingCount(waiting), 5);
  t.strictSame(seqs(released(waiting, [rowOf(eventAt(0))])), [5, 4, 3, 'gap', 0]);
});

test('before anybody has come there are only the acts of the server and of who reads', async (t) => {
  const of = (session_id: string | null) => rowOf({ ...eventAt(1), session_id });
  t.ok(isBeforeAnybody([of(null), of(null)]));
  t.notOk(isBeforeAnybody([of(null), of('0198c2f4-0000-7000-8000-000000000000')]));
});

test('a line stands before each day', async (t) => {
  const rows = newestFirst(3, 1).map(rowOf);
  const days = ['b', 'b', 'a'];
  t.strictSame(seqs(itemsOf(rows, () => days.shift() ?? '')), ['day', 3, 2, 'day', 1]);
});

const stats = {
  data: Array.from({ length: 60 }, (_, minute) => ({ start: String(minute), count: minute % 2 })),
  complete: true,
  from: '2026-11-22T09:00:00.000000Z',
  to: '2026-11-22T10:00:00.000000Z',
};
const hour = histogramOf(stats) as NonNullable<ReturnType<typeof histogramOf>>;
const at = (timestamp: string, action = 'MESSAGE_SENT') => ({ timestamp, action });

test('events that come are counted where they belong, and the parts grow with the interval', async (t) => {
  t.equal(totalOf(hour), 30);
  const next = countOn(hour, [
    at('2026-11-22T09:59:30.5Z'),
    at('2026-11-22T10:05:00Z', 'MESSAGE_REFUSED'),
    at('2026-11-22T10:05:01Z', 'ACCESS_DENIED'),
  ]);
  t.equal(next.counts.length, 66);
  t.equal(next.counts[59], 2);
  t.equal(next.refused[65], 2);
  const later = countOn(hour, [at('2026-11-22T19:00:00Z')]);
  t.equal(totalOf(later), 31, 'nothing is lost');
  t.ok(later.counts.length <= MAX_BARS);
  t.ok(endMs(later) > Date.parse('2026-11-22T19:00:00Z'));
});

test('an interval is read off the bars, in either direction, and moved', async (t) => {
  const quarter = { from: '2026-11-22T09:15:00.000Z', to: '2026-11-22T09:30:00.000Z' };
  t.strictSame(intervalOf(hour, 15, 29), quarter);
  t.strictSame(intervalOf(hour, 29, 15), quarter);
  t.strictSame(shifted(hour.startMs, endMs(hour), -1), {
    from: '2026-11-22T08:00:00.000Z',
    to: '2026-11-22T09:00:00.000Z',
  });
});

test('the axis has round times of the zone', async (t) => {
  t.strictSame(
    ticksOf(hour, new Clock('Asia/Kolkata'), 4).map(({ label }) => label),
    ['14:30', '14:45', '15:00', '15:15', '15:30'],
  );
});

test('values that are known are counted on, and new ones while all are known', async (t) => {
  const facet = { counts: [{ value: 'ann', count: 1 }], isComplete: true };
  const event = (user_id: string) => ({ ...eventAt(1), user_id });
  t.strictSame(countFacets({ user_id: facet }, [event('bob'), event('bob'), event('ann')]).user_id?.counts, [
    { value: 'ann', count: 2 },
    { value: 'bob', count: 2 },
  ]);
});

test('waits grow, and the server’s own wish is kept', async (t) => {
  t.strictSame(
    [0, 1, 2, 10].map((failures) => backoffMs(failures)),
    [1_000, 2_000, 4_000, 30_000],
  );
  t.equal(backoffMs(0, 7), 7_000);
});

const bytes = (...texts: string[]) =>
  new ReadableStream<Uint8Array>({
    start(controller) {
      for (const text of texts) controller.enqueue(new TextEncoder().encode(text));
      controller.close();
    },
  });

test('a stream that ends is resumed after the last id, until it is over', async (t) => {
  const asked: (string | undefined)[] = [];
  const states: string[] = [];
  const bodies = [
    bytes(
      'event: open\nid: e:1\ndata: {}\n\n',
      'event: audit\nid: e:4\ndata: {}\n\n: heartbeat\nid: e:9\n\n',
    ),
    bytes('event: open\nid: e:9\ndata: {}\n\nevent: end\ndata: {}\n\n'),
  ];
  await follow({
    signal: new AbortController().signal,
    async open(lastId) {
      asked.push(lastId);
      if (asked.length === 2) throw new Error('no network');
      return bodies.shift() ?? bytes();
    },
    onBlock: () => {},
    onConnection: ({ is }: Connection) => states.push(is),
    retryOf: () => undefined,
    backoff: () => 1,
  });
  t.strictSame(asked, [undefined, 'e:9', 'e:9']);
  t.strictSame(states, [
    'connecting',
    'live',
    'waiting',
    'connecting',
    'waiting',
    'connecting',
    'live',
    'off',
  ]);
});

test('a silent connection is left, and what is of no use is not tried again', async (t) => {
  let opened = 0;
  const refused = new Error('no right');
  await t.rejects(
    follow({
      signal: new AbortController().signal,
      async open(_lastId, signal) {
        if (++opened === 2) throw refused;
        return new ReadableStream({
          start(controller) {
            signal.addEventListener('abort', () => controller.error(new Error('cut')));
          },
        });
      },
      onBlock: () => {},
      onConnection: () => {},
      retryOf: (error) => (error === refused ? 'never' : undefined),
      backoff: () => 1,
      quietMs: 20,
    }),
    refused,
  );
  t.equal(opened, 2);
});
