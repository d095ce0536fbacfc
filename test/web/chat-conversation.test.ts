import { type Test, test } from 'tap';
import type { ClientFrame, ServerFrame } from '../../src/core/frame-schemas.ts';
import type { Welcome } from '../../web/chat/connection.ts';
import { Conversation } from '../../web/chat/conversation.ts';
import { type Line, MAX_LINES, type Room } from '../../web/chat/room.ts';
import { troubleOfClose } from '../../web/chat/trouble.ts';

const TIME = '2026-11-22T10:18:28.010093Z';
const EPOCH = 'e-1';

/** A conversation of ann’s whose server is the test. */
function scene(since?: { epoch: string; seq: number }) {
  const sent: (ClientFrame | string)[] = [];
  let timers: { ms: number; callback: () => void }[] = [];
  const givenUp: string[] = [];
  const conversation = new Conversation('ann', {
    send: (frame) => sent.push(frame),
    giveUp: (what) => givenUp.push(what),
    after: (ms, callback) => {
      const timer = { ms, callback };
      timers.push(timer);
      return () => {
        timers = timers.filter((other) => other !== timer);
      };
    },
    onChange: () => {},
  });
  const get = (frame: ServerFrame): void => conversation.frame(frame);
  const latest = (): ClientFrame => sent.at(-1) as ClientFrame;
  conversation.join('lobby', since);
  const room = conversation.rooms.get('lobby') as Room;
  return {
    conversation,
    room,
    sent,
    givenUp,
    get,
    latest,
    timers: () => timers.map(({ ms }) => ms),
    /** Fires the timers that were set for so long. */
    fire: (ms: number) => {
      const due = timers.filter((timer) => timer.ms === ms);
      timers = timers.filter((timer) => timer.ms !== ms);
      for (const { callback } of due) callback();
    },
    open: (epoch = EPOCH) =>
      conversation.opened({
        type: 'welcome',
        session_id: '',
        user_id: 'ann',
        epoch,
        seq: 0,
        timestamp: TIME,
        rooms: [],
      } satisfies Welcome),
    lose: (closeCode = 1006) => conversation.lost(troubleOfClose(closeCode)),
    joined: (seq: number, more: { replayed?: number; truncated?: boolean } = {}) => {
      const { ref = '' } = latest();
      get({ type: 'joined', room: 'lobby', user_id: 'ann', seq, timestamp: TIME, ...more });
      get({ type: 'ack', ref, seq, timestamp: TIME });
    },
    hear: (seq: number, text: string, user_id = 'bob', ref?: string) =>
      get({
        type: 'message',
        room: 'lobby',
        user_id,
        text,
        seq,
        timestamp: TIME,
        ...(ref === undefined ? {} : { ref }),
      }),
    ack: (ref: string, seq: number) => get({ type: 'ack', ref, seq, timestamp: TIME }),
    refuse: (ref: string, code: Extract<ServerFrame, { type: 'error' }>['code']) =>
      get({ type: 'error', code, message: 'Why.', ref }),
  };
}

type Scene = ReturnType<typeof scene>;

/** In the lobby since #10. */
function inLobby(): Scene {
  const s = scene();
  s.open();
  s.joined(10);
  return s;
}

/** Says something. @returns its label */
function say(s: Scene, text: string): string {
  s.conversation.say('lobby', text);
  return s.room.outgoing.at(-1)?.ref ?? '';
}

const show = (line: Line): string =>
  line.kind === 'message'
    ? `#${line.seq} ${line.text}`
    : line.kind === 'gap'
      ? 'gap'
      : `#${line.seq} ${line.kind}`;
const shows = (t: Test, { room }: Scene, ...expected: string[]): void => {
  t.strictSame(room.lines.map(show), expected);
};
const fates = ({ room }: Scene): string[] => room.outgoing.map(({ text, state }) => `${text} ${state}`);

test('a message is under way until it is on record, once', async (t) => {
  const s = inLobby();
  const ref = say(s, 'hi');
  t.strictSame(s.latest(), { type: 'message', room: 'lobby', text: 'hi', ref });
  t.strictSame(fates(s), ['hi sent']);
  s.hear(11, 'hi', 'ann', ref);
  s.ack(ref, 11);
  s.hear(12, 'hello');
  t.strictSame(fates(s), []);
  shows(t, s, '#10 joined', '#11 hi', '#12 hello');
  t.match(s.room.lines[1], { own: true, key: ref }, 'it stays the same line');
  t.match(s.room.lines[2], { own: false });
  const other = say(s, 'more');
  s.ack(other, 13);
  shows(t, s, '#10 joined', '#11 hi', '#12 hello', '#13 more');
});

test('what is said without a connection waits, and goes out once, in order', async (t) => {
  const s = scene();
  say(s, 'a');
  s.open();
  say(s, 'b');
  t.strictSame(fates(s), ['a queued', 'b queued'], 'not in the room yet');
  s.joined(10);
  t.strictSame(
    s.sent.slice(1).map((frame) => (frame as { text: string }).text),
    ['a', 'b'],
  );
});

test('after a lost connection the room is asked for what was missed, and shows nothing twice', async (t) => {
  const s = inLobby();
  s.hear(11, 'one');
  s.lose();
  s.open();
  t.match(s.latest(), { type: 'join', room: 'lobby', since: { epoch: EPOCH, seq: 11 } });
  s.hear(11, 'one');
  s.hear(13, 'two');
  s.joined(15, { replayed: 2, truncated: false });
  s.hear(13, 'two');
  s.hear(16, 'three');
  shows(t, s, '#10 joined', '#11 one', '#13 two', '#15 joined', '#16 three');
  s.lose();
  s.open();
  t.match(s.latest(), { since: { seq: 16 } });
});

test('a replay that was cut off is asked for until it is whole, with a gap meanwhile', async (t) => {
  const s = inLobby();
  s.lose();
  s.open();
  s.hear(11, 'one');
  s.hear(12, 'two');
  s.joined(100, { replayed: 2, truncated: true });
  t.match(s.latest(), { type: 'join', since: { seq: 12 } }, 'from the last that was replayed');
  s.hear(101, 'live');
  shows(t, s, '#10 joined', '#11 one', '#12 two', 'gap', '#100 joined', '#101 live');
  s.lose();
  s.open();
  t.match(s.latest(), { since: { seq: 12 } }, 'also when the connection is lost between');
  s.hear(13, 'three');
  s.hear(101, 'live');
  s.joined(110, { replayed: 2, truncated: false });
  shows(t, s, '#10 joined', '#11 one', '#12 two', '#13 three', '#100 joined', '#101 live', '#110 joined');
  s.lose();
  s.open();
  t.match(s.latest(), { since: { seq: 110 } });
});

test('a replay that failed is asked for again, later and later', async (t) => {
  const s = inLobby();
  s.lose();
  s.open();
  for (const ms of [5_000, 10_000, 20_000]) {
    s.refuse(s.latest().ref ?? '', 'rate_limited');
    s.joined(100, { replayed: 0, truncated: true });
    t.equal(s.room.standing, 'in');
    t.strictSame(
      s.timers().filter((timer) => timer !== 12_000),
      [ms],
    );
    s.fire(ms);
    t.match(s.latest(), { type: 'join', since: { seq: 10 } });
  }
  s.joined(100, { replayed: 0, truncated: false });
  t.equal(s.room.whole, true);
  t.equal(s.room.trouble, undefined);
  shows(t, s, '#10 joined', '#100 joined');
});

test('where there can be no replay, a line says so', async (t) => {
  const s = inLobby();
  s.hear(11, 'one');
  s.lose();
  s.open('e-2');
  s.get({ type: 'reset', room: 'lobby', epoch: 'e-2', first_seq: 0, seq: 3 });
  s.joined(3);
  s.hear(4, 'anew');
  s.hear(10, 'again');
  shows(t, s, '#10 joined', '#11 one', 'gap', '#3 joined', '#4 anew', '#10 again');
  t.match(s.room.lines[2], { words: /begun anew/ });
  s.lose();
  s.open('e-2');
  t.match(s.latest(), { since: { epoch: 'e-2', seq: 10 } });
  s.get({ type: 'reset', room: 'lobby', epoch: 'e-2', first_seq: 50, seq: 60 });
  s.joined(60);
  t.match(s.room.lines.at(-2), { words: /no longer kept/ });
});

test('a message whose answer was lost is looked for, and never sent again by itself', async (t) => {
  const s = inLobby();
  for (const text of ['a', 'b', 'a']) say(s, text);
  s.lose();
  t.strictSame(fates(s), ['a lost', 'b lost', 'a lost']);
  const sent = s.sent.length;
  s.open();
  s.hear(11, 'a', 'ann');
  s.hear(12, 'b', 'bob');
  s.joined(13, { replayed: 2, truncated: false });
  t.strictSame(
    fates(s),
    ['b undecided', 'a undecided'],
    'one was found, and that of another is not one’s own',
  );
  t.match(s.room.lines[1], { seq: 11, own: true });
  t.equal(s.sent.length, sent + 1, 'nothing but the join');
  s.hear(14, 'b', 'ann');
  t.strictSame(fates(s), ['a undecided'], 'it came late');
  s.conversation.sayAgain('lobby', s.room.outgoing[0]?.ref ?? '');
  t.match(s.latest(), { type: 'message', text: 'a' });
  t.strictSame(fates(s), ['a sent']);
});

test('as long as the replay is not whole, nothing is undecided', async (t) => {
  const s = inLobby();
  say(s, 'a');
  s.lose();
  s.open();
  s.joined(50, { replayed: 0, truncated: true });
  t.strictSame(fates(s), ['a lost']);
  s.lose();
  s.open('e-2');
  s.get({ type: 'reset', room: 'lobby', epoch: 'e-2', first_seq: 0, seq: 3 });
  t.strictSame(fates(s), ['a undecided'], 'it cannot be found any more');
});

test('after a kick, what had no answer is known not to be on record', async (t) => {
  const s = inLobby();
  say(s, 'a');
  s.lose(4403);
  t.match(s.room.outgoing, [{ state: 'refused', why: { code: 'forbidden' } }]);
});

test('a refusal stands at its message; an unknown outcome is told late', async (t) => {
  const s = inLobby();
  const [a, b, c] = ['a', 'b', 'c'].map((text) => say(s, text)) as [string, string, string];
  s.refuse(a, 'audit_unavailable');
  s.refuse(b, 'outcome_unknown');
  s.refuse(c, 'outcome_unknown');
  t.match(s.room.outgoing, [
    { state: 'refused', why: { code: 'audit_unavailable', words: 'Why.' } },
    { state: 'doubtful' },
    { state: 'doubtful' },
  ]);
  s.hear(11, 'b', 'ann', b);
  s.ack(b, 11);
  s.refuse(c, 'audit_unavailable');
  t.strictSame(fates(s), ['a refused', 'c refused']);
  s.conversation.discard('lobby', c);
  s.conversation.sayAgain('lobby', a);
  t.strictSame(fates(s), ['a sent']);
});

test('a join that was refused says why, and is tried again where that helps', async (t) => {
  const s = scene();
  s.open();
  s.refuse(s.latest().ref ?? '', 'audit_unavailable');
  t.match(s.room, { standing: 'out', trouble: 'Why.' });
  s.fire(5_000);
  s.joined(10);
  t.match(s.room, { standing: 'in', trouble: undefined });
  s.conversation.join('secret');
  s.refuse(s.latest().ref ?? '', 'forbidden');
  t.match(s.conversation.rooms.get('secret'), { standing: 'out', trouble: 'Why.' });
  t.strictSame(
    s.timers().filter((ms) => ms !== 12_000),
    [],
    'not this one',
  );
  s.conversation.leave('secret');
  t.equal(s.conversation.rooms.has('secret'), false);
  t.equal(s.conversation.current, 'lobby');
});

test('a room is left when the log says so', async (t) => {
  const s = inLobby();
  s.conversation.leave('lobby');
  t.match(s.latest(), { type: 'leave', room: 'lobby' });
  s.get({ type: 'left', room: 'lobby', user_id: 'ann', seq: 11, timestamp: TIME });
  t.equal(s.conversation.rooms.size, 1, 'that may have been another session of the same user');
  s.ack(s.latest().ref ?? '', 11);
  t.equal(s.conversation.rooms.size, 0);
});

test('what others say elsewhere is unread until one looks', async (t) => {
  const s = inLobby();
  s.hear(11, 'seen');
  t.equal(s.room.unread, 0);
  s.conversation.setSeen(false);
  s.hear(12, 'behind one’s back');
  t.equal(s.room.unread, 1);
  s.conversation.setSeen(true);
  t.equal(s.room.unread, 0);
  s.conversation.join('other');
  s.hear(13, 'elsewhere');
  s.hear(13, 'elsewhere');
  s.hear(14, 'one’s own', 'ann');
  t.equal(s.room.unread, 1);
  s.conversation.view('lobby');
  t.equal(s.room.unread, 0);
});

test('a server that has fallen silent is given up, one that speaks is not', async (t) => {
  const s = inLobby();
  s.fire(12_000);
  t.strictSame(s.givenUp, [], 'everything was answered');
  s.conversation.probe();
  t.match(s.latest(), { type: 'join', room: 'lobby' });
  t.notOk('since' in s.latest(), 'it leaves no trace');
  s.joined(10);
  s.fire(12_000);
  say(s, 'a');
  s.hear(11, 'still here');
  s.fire(12_000);
  t.strictSame(s.givenUp, []);
  s.fire(12_000);
  t.equal(s.givenUp.length, 1);
  shows(t, s, '#10 joined', '#11 still here');
});

test('a room keeps a bounded number of lines, and does not take up again what it dropped', async (t) => {
  const s = inLobby();
  for (let seq = 11; seq < 11 + MAX_LINES; seq += 1) s.hear(seq, `${seq}`);
  t.equal(s.room.lines.length, MAX_LINES);
  t.equal(s.room.trimmed, true);
  t.equal(s.room.lines[0]?.seq, 11);
  s.hear(10, 'old');
  t.equal(s.room.lines[0]?.seq, 11);
  t.equal(s.room.oldest, 10, 'a page that is loaded again asks from there');
});

test('a page that is loaded again goes on where the one before began', async (t) => {
  const s = scene({ epoch: EPOCH, seq: 9 });
  s.open();
  t.match(s.latest(), { type: 'join', since: { epoch: EPOCH, seq: 9 } });
  s.hear(11, 'one');
  s.joined(20, { replayed: 1, truncated: false });
  shows(t, s, '#11 one', '#20 joined');
});

test('a trial shows how it was answered', async (t) => {
  const s = inLobby();
  s.conversation.try((ref) => `{"type":"shout","ref":"${ref}"}`);
  t.match(s.sent.at(-1), /shout/);
  const ref = /"ref":"([^"]+)"/.exec(s.sent.at(-1) as string)?.[1] ?? '';
  s.refuse(ref, 'bad_frame');
  t.equal(s.conversation.trial, 'bad_frame: Why.');
});
