import { test } from 'tap';
import { Inbox } from '../../../plugins/chat/inbox.ts';
import type { ClientFrame } from '../../../src/core/frame-schemas.ts';
import { until } from '../../support/client.ts';

/** An inbox whose frames are handled as the test says, and what became of them. */
function setup() {
  const handled: { frame: ClientFrame; at: number }[] = [];
  const refused: { code: string; ref: string | undefined; at: number }[] = [];
  const gate = Promise.withResolvers<void>();
  const owner = {
    // The first one takes as long as the test likes.
    onFrame: (frame: ClientFrame, at: number) => {
      handled.push({ frame, at });
      return handled.length === 1 ? gate.promise : undefined;
    },
    tellError: (error: unknown, ref: string | undefined) => {
      refused.push({ code: (error as { code: string }).code, ref, at: performance.now() });
    },
    onFault: (error: unknown) => {
      throw error;
    },
    onInboxDone: () => {},
    takeFrame: () => true,
  };
  const inbox = new Inbox(owner, { pause: () => {}, resume: () => {} }, 0);
  return { inbox, handled, refused, gate };
}

const saying = (ref: string): string => JSON.stringify({ type: 'message', text: 'hi', ref });

test('who waits behind a command that takes its time is refused within 5 s, and what comes later is not', async (t) => {
  const { inbox, handled, refused, gate } = setup();
  inbox.start();
  const startedAt = performance.now();
  for (const ref of ['slow', 'a', 'b']) inbox.add(saying(ref));
  await until('both are refused', () => refused.length === 2, 6_000);
  inbox.add(saying('c'));
  t.match(refused, [
    { code: 'audit_unavailable', ref: 'a' },
    { code: 'audit_unavailable', ref: 'b' },
  ]);
  // Promise 2.
  t.ok(refused.every(({ at }) => at - startedAt < 5_000));
  gate.resolve();
  await until('the last one is handled', () => inbox.isDone);
  t.strictSame(
    handled.map(({ frame }) => frame.ref),
    ['slow', 'c'],
  );
});

test('a frame comes with the time of its arrival, however long it waited', async (t) => {
  const { inbox, handled, gate } = setup();
  const before = performance.now();
  inbox.add(saying('slow'));
  inbox.add(saying('a'));
  const after = performance.now();
  inbox.start();
  await until('time has passed', () => performance.now() > after + 20);
  gate.resolve();
  await until('both are handled', () => inbox.isDone);
  t.equal(handled.length, 2);
  for (const { at } of handled) t.ok(at >= before && at <= after);
});
