import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { type Test, test } from 'tap';
import type { SeqRange } from '../../../db/events.ts';
import { Feed } from '../../../plugins/streams/feed.ts';
import { Output } from '../../../plugins/streams/output.ts';
import { Reader } from '../../../plugins/streams/reader.ts';
import { Joiner, Rounds } from '../../../plugins/streams/rounds.ts';
import { CodedError } from '../../../src/core/errors.ts';
import { auditBlock } from '../../../src/core/event-stream.ts';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import { compileFilter } from '../../../src/core/search/matcher.ts';
import { until } from '../../support/client.ts';
import { pendingEvent } from '../../support/log-store.ts';

const HEAD = 1_000_000;

const unlimited = { owner: 'alice', isLeft: () => true, spend: () => {} };

/** A response that goes nowhere. */
function outputOf(t: Test) {
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  t.teardown(() => response.destroy());
  return {
    response,
    output: new Output(response, {
      rounds: new Rounds(),
      joiner: new Joiner(),
      budget: unlimited,
      onClosed: () => {},
      onStuck: () => {},
    }),
  };
}

/** The course of a stream of everything. */
const course = { next: 0, epoch: 'e', firstSeq: 0, from: undefined, to: undefined, toSeq: undefined };

/** A reader of a log whose search takes too long beyond so many events. */
function readerOf(t: Test, { searchable }: { searchable: number }) {
  const searched: SeqRange[] = [];
  const faults: unknown[] = [];
  const feed = new Feed({ next: HEAD, epoch: () => 'e', onFault: (error) => faults.push(error) });
  const reader = new Reader({
    matcher: compileFilter({ q: 'rare' }),
    feed,
    readPage: async (range) => {
      if (range.to - range.from > searchable) throw new CodedError('too_slow', 'It takes too long.');
      searched.push(range);
      return { shown: [], hasMore: false };
    },
    onFault: (error) => faults.push(error),
  });
  reader.follow(outputOf(t).output, course);
  return { reader, searched, faults };
}

test('a range that takes too long to search is searched in parts, all of it', async (t) => {
  const { reader, searched, faults } = readerOf(t, { searchable: 50_000 });
  await until('it has come to the head', () => searched.at(-1)?.to === HEAD);
  let next = 0;
  for (const { from, to } of searched) {
    if (from !== next) t.fail(`${from} after ${next}`);
    next = to;
  }
  t.ok(searched.length < 300, `${searched.length} parts`);
  t.strictSame(faults, []);
  t.notOk(reader.isOver);
  reader.end('client_gone');
  t.equal(await reader.over, 'client_gone');
});

test('a log that cannot be searched at all ends the stream', async (t) => {
  const { reader, faults } = readerOf(t, { searchable: 10 });
  t.equal(await reader.over, 'failed');
  t.match(faults, [{ code: 'too_slow' }]);
});

test('a log that something is written to at every moment is caught up with all the same', async (t) => {
  const log: AuditEvent[] = [];
  const feed = new Feed({ next: 0, epoch: () => 'e', onFault: (error) => t.fail(String(error)) });
  const write = (): void => {
    const { event } = pendingEvent({ action: 'LEFT', user_id: 'alice', room: 'a' });
    log.push({ ...event, seq: log.length });
    feed.take(log.slice(-1));
  };
  write();
  let reads = 0;
  const reader = new Reader({
    matcher: compileFilter({}),
    feed,
    readPage: async ({ from, to }) => {
      reads += 1;
      write();
      await null;
      write();
      const shown = log.slice(from, to).map((event) => ({ event, block: auditBlock('e', event) }));
      return { shown, hasMore: false };
    },
    onFault: (error) => t.fail(String(error)),
  });
  reader.follow(outputOf(t).output, course);
  await until('it reads', () => reads > 0);
  for (let n = 0; n < 5; n += 1) await new Promise((resolve) => setImmediate(resolve));
  write();
  t.ok(reads <= 3, `${reads} reads`);
  t.equal(reader.rows, log.length, 'each once');
});

test('an interval that is over in the log, but not in the feed yet, is shown whole', async (t) => {
  const log = Array.from({ length: 12 }, (_, seq): AuditEvent => {
    const { event } = pendingEvent({ action: 'LEFT', user_id: 'alice', room: 'a' });
    return { ...event, seq, timestamp: `2026-01-01T00:00:00.0000${10 + seq}Z` };
  });
  const feed = new Feed({ next: 4, epoch: () => 'e', onFault: (error) => t.fail(String(error)) });
  const shown: number[] = [];
  const reader = new Reader({
    matcher: compileFilter({}),
    feed,
    readPage: async ({ from, to }) => {
      // What was missing comes while it is read.
      feed.take(log.slice(feed.next, feed.next + 1));
      shown.push(...log.slice(from, to).map(({ seq }) => seq));
      return {
        shown: log.slice(from, to).map((event) => ({ event, block: auditBlock('e', event) })),
        hasMore: false,
      };
    },
    onFault: (error) => t.fail(String(error)),
  });
  const to = log[10]?.timestamp;
  reader.follow(outputOf(t).output, { ...course, to, toSeq: 10 });
  t.equal(await reader.over, 'to');
  t.equal(reader.rows, 10);
  t.strictSame(shown, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], 'each once');
});
