import { type Test, test } from 'tap';
import type { ServerFrame } from '../../src/core/frame-schemas.ts';
import {
  Connection,
  type ConnectionState,
  type SocketEvents,
  TroubleError,
} from '../../web/chat/connection.ts';
import { type Trouble, troubleOfClose, troubleOfRefusal } from '../../web/chat/trouble.ts';

const WELCOME: ServerFrame = {
  type: 'welcome',
  session_id: '81fe23b3-abf4-4247-ae2c-de1c1fbf4299',
  user_id: 'ann',
  epoch: 'e-1',
  seq: 2,
  timestamp: '2026-11-22T10:18:28.010093Z',
  rooms: [],
};

/** A socket that the connection asked for, and what the test lets become of it. */
type Attempt = {
  events: SocketEvents;
  sent: string[];
  isClosed: boolean;
  open: () => void;
  refuse: (trouble: Trouble) => void;
};

/** A connection in a world whose clock stands until the test moves it. */
function world() {
  let now = 0;
  let timers: { at: number; callback: () => void }[] = [];
  const attempts: Attempt[] = [];
  const states: ConnectionState[] = [];
  const frames: ServerFrame[] = [];
  const losses: Trouble[] = [];
  const connection = new Connection(
    {
      connect: (events) =>
        new Promise((resolve, reject) => {
          const attempt: Attempt = {
            events,
            sent: [],
            isClosed: false,
            open: () =>
              resolve({
                send: (text) => attempt.sent.push(text),
                close: () => {
                  attempt.isClosed = true;
                },
              }),
            refuse: (trouble) => reject(new TroubleError(trouble)),
          };
          attempts.push(attempt);
        }),
      now: () => now,
      random: () => 1,
      after: (ms, callback) => {
        const timer = { at: now + ms, callback };
        timers.push(timer);
        return () => {
          timers = timers.filter((other) => other !== timer);
        };
      },
    },
    {
      onState: (state) => states.push(state),
      onFrame: (frame) => frames.push(frame),
      onLost: (trouble) => losses.push(trouble),
    },
  );
  /** Lets promises be kept. */
  const settle = () => new Promise((resolve) => setImmediate(resolve));
  return {
    connection,
    attempts,
    states,
    frames,
    losses,
    settle,
    latest: () => attempts.at(-1) as Attempt,
    pass: async (ms: number) => {
      now += ms;
      for (const timer of timers.filter(({ at }) => at <= now)) {
        timers = timers.filter((other) => other !== timer);
        timer.callback();
      }
      await settle();
    },
    /** Lets the latest attempt succeed. */
    succeed: async () => {
      (attempts.at(-1) as Attempt).open();
      await settle();
      (attempts.at(-1) as Attempt).events.onText(JSON.stringify(WELCOME));
    },
  };
}

const at = (w: ReturnType<typeof world>, t: Test, expected: ConnectionState['at']): void => {
  t.equal(w.connection.state.at, expected);
};

test('it is open with welcome, and not with the socket', async (t) => {
  const w = world();
  w.connection.start();
  at(w, t, 'opening');
  w.latest().open();
  await w.settle();
  at(w, t, 'opening');
  w.latest().events.onText(JSON.stringify(WELCOME));
  at(w, t, 'open');
  w.latest().events.onText('{"type":"left","room":"r","user_id":"bob","seq":3,"timestamp":""}');
  t.equal(w.frames.length, 1, 'welcome is not handed on');
  w.connection.send({ type: 'join', room: 'r' });
  t.strictSame(w.latest().sent, ['{"type":"join","room":"r"}']);
  w.connection.start();
  t.equal(w.attempts.length, 1, 'it does not connect twice');
});

test('a connection that broke comes back by itself, later and later, and at once when told', async (t) => {
  const w = world();
  w.connection.start();
  await w.succeed();
  w.latest().events.onClosed(1006);
  t.strictSame(w.connection.state, { at: 'waiting', trouble: troubleOfClose(1006), until: 500 });
  t.strictSame(w.losses, [troubleOfClose(1006)]);
  const delays: number[] = [];
  for (let n = 0; n < 8; n += 1) {
    const { state } = w.connection;
    const before = w.attempts.length;
    const ms =
      state.at === 'waiting' ? state.until - delays.reduce((sum, delay) => sum + delay, 0) : Number.NaN;
    delays.push(ms);
    await w.pass(ms);
    t.equal(w.attempts.length, before + 1);
    w.latest().refuse({ what: 'no', cure: 'wait' });
    await w.settle();
  }
  t.strictSame(delays, [500, 1_000, 2_000, 4_000, 8_000, 16_000, 30_000, 30_000]);
  t.equal(w.losses.length, 1, 'what was not open cannot be lost');
  w.connection.retryNow();
  at(w, t, 'opening');
});

test('only a connection that held begins the delays anew', async (t) => {
  const w = world();
  w.connection.start();
  for (const [held, expected] of [
    [0, 500],
    [1_000, 1_000],
    [10_000, 500],
  ] as const) {
    await w.succeed();
    await w.pass(held);
    w.latest().events.onClosed(1013);
    const { state } = w.connection;
    t.equal(state.at, 'waiting');
    await w.pass(expected - 1);
    t.equal(w.connection.state.at, 'waiting', `${held} ms: not before`);
    await w.pass(1);
    t.equal(w.connection.state.at, 'opening', `${held} ms: after ${expected} ms`);
  }
});

test('the server’s Retry-After is the least that is waited', async (t) => {
  const w = world();
  w.connection.start();
  w.latest().refuse({ what: 'too many', cure: 'wait', retryAfter: 7 });
  await w.settle();
  t.match(w.connection.state, { at: 'waiting', until: 7_000 });
});

test('what does not pass by itself ends it, until somebody starts it again', async (t) => {
  for (const [closeCode, cure] of [
    [1008, 'ask'],
    [4401, 'sign-in'],
    [4403, 'ask'],
  ] as const) {
    const w = world();
    w.connection.start();
    await w.succeed();
    w.latest().events.onClosed(closeCode);
    t.match(w.connection.state, { at: 'ended', trouble: { closeCode, cure } });
    await w.pass(600_000);
    w.connection.retryNow();
    t.equal(w.attempts.length, 1);
    w.connection.start();
    at(w, t, 'opening');
  }
  for (const closeCode of [1000, 1001, 1005, 1006, 1009, 1011, 1013]) {
    t.equal(troubleOfClose(closeCode).cure, 'wait', `${closeCode}`);
  }
});

test('what the server says before it closes is the reason', async (t) => {
  const w = world();
  w.connection.start();
  w.latest().open();
  await w.settle();
  w.latest().events.onText(
    '{"type":"error","code":"audit_unavailable","message":"The log cannot be written."}',
  );
  w.latest().events.onClosed(1013);
  t.match(w.connection.state, { at: 'waiting', trouble: { what: 'The log cannot be written.' } });
});

test('what an older attempt still brings is not heard', async (t) => {
  const w = world();
  w.connection.start();
  const old = w.latest();
  await w.pass(15_000);
  t.match(w.connection.state, { at: 'waiting' }, 'a handshake without an answer is given up');
  w.connection.retryNow();
  old.open();
  await w.settle();
  t.equal(old.isClosed, true, 'it came too late');
  old.events.onText(JSON.stringify(WELCOME));
  old.events.onClosed(4403);
  at(w, t, 'opening');
  await w.succeed();
  w.connection.giveUp('It is silent.');
  t.match(w.connection.state, { at: 'waiting', trouble: { what: 'It is silent.' } });
  t.equal(w.latest().isClosed, true);
  w.connection.stop();
  await w.pass(600_000);
  at(w, t, 'closed');
});

test('a refused ticket is sorted by what can be done', async (t) => {
  const cure = (status: number, code: Parameters<typeof troubleOfRefusal>[0]['code'], retryAfter?: number) =>
    troubleOfRefusal({ status, code, detail: 'Why.', retryAfter });
  t.match(cure(401, 'unauthenticated'), { cure: 'sign-in', what: 'Why.' });
  t.match(cure(403, 'forbidden'), { cure: 'sign-in', what: /Why\. .*chat/ });
  t.match(cure(403, 'banned'), { cure: 'ask', what: 'Why.' });
  t.match(cure(403, 'origin_not_allowed'), { cure: 'ask' });
  t.match(cure(429, 'rate_limited', 12), { cure: 'wait', retryAfter: 12 });
  t.match(cure(503, 'audit_unavailable', 5), { cure: 'wait', retryAfter: 5 });
});
