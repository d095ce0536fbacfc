import { IncomingMessage, ServerResponse } from 'node:http';
import { Socket } from 'node:net';
import { type Test, test } from 'tap';
import type { SeqRange } from '../../../db/events.ts';
import { Feed } from '../../../plugins/streams/feed.ts';
import { Output } from '../../../plugins/streams/output.ts';
import { Reader } from '../../../plugins/streams/reader.ts';
import { CodedError } from '../../../src/core/errors.ts';
import { compileFilter } from '../../../src/core/search/matcher.ts';
import { until } from '../../support/client.ts';

const HEAD = 1_000_000;

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
      return { events: [], hasMore: false };
    },
    onFault: (error) => faults.push(error),
  });
  const response = new ServerResponse(new IncomingMessage(new Socket()));
  const output = new Output(response, { onClosed: () => {}, onStuck: () => {} });
  t.teardown(() => response.destroy());
  const course = { next: 0, epoch: 'e', firstSeq: 0, from: undefined, to: undefined, toSeq: undefined };
  reader.follow(output, course);
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
