import fc from 'fast-check';
import { test } from 'tap';
import type { CodedError } from '../../src/core/errors.ts';
import type { ClientFrame } from '../../src/core/frame-schemas.ts';
import { FrameError, frameBytes, parseFrame } from '../../src/core/frames.ts';
import { isName, isStorable } from '../../src/core/text.ts';
import { build } from '../support/app.ts';
import { connect, type Frame } from '../support/client.ts';
import { takeFrame } from '../support/frame-bytes.ts';
import { noLimits } from '../support/limits.ts';
import { anyText, holds, mutated } from '../support/property.ts';

const ref = fc.option(anyText(70), { nil: undefined });
const room = fc.oneof(fc.constantFrom('lobby', 'a', 'b', '__proto__'), anyText(140));
const since = fc.option(
  fc.oneof(fc.record({ epoch: anyText(40), seq: fc.oneof(fc.integer(), fc.double()) }), fc.jsonValue()),
  { nil: undefined },
);

/** Frames that are good, or nearly. */
const frame = fc
  .oneof(
    fc.record({
      type: fc.constant('message'),
      room: fc.option(room, { nil: undefined }),
      text: anyText(300),
      ref,
    }),
    fc.record({ type: fc.constant('join'), room, ref, since }),
    fc.record({ type: fc.constant('leave'), room, ref }),
    fc.dictionary(
      fc.oneof(fc.constantFrom('type', 'room', 'text', 'ref', 'since', '__proto__'), anyText(8)),
      fc.jsonValue(),
    ),
  )
  .map((value) => JSON.stringify(value));

/** What a client might send: text, JSON of any kind, good frames, and those with a change. */
const sent = fc.oneof(
  { weight: 3, arbitrary: anyText(300) },
  { weight: 1, arbitrary: fc.json() },
  { weight: 4, arbitrary: frame },
  { weight: 4, arbitrary: frame.chain(mutated) },
  {
    weight: 1,
    arbitrary: fc
      .tuple(fc.constantFrom(' ', '\n', '\u00a0', '\ufeff', '\t{'), frame)
      .map((parts) => parts.join('')),
  },
);

/** What parsing a text gives, or how it is refused. @throws whatever is no FrameError */
function parsed(text: string): { frame: ClientFrame } | { error: CodedError } {
  try {
    return { frame: parseFrame(text) };
  } catch (error) {
    if (error instanceof FrameError) return { error };
    throw error;
  }
}

test('any text is a frame or refused by code; a frame can be kept, and comes back to the byte', async () => {
  await holds(sent, (text) => {
    const result = parsed(text);
    if ('error' in result) {
      if (!['bad_frame', 'invalid_text'].includes(result.error.code)) throw new Error(result.error.code);
      return;
    }
    const { frame } = result;
    if (frame.room !== undefined && !isName(frame.room)) throw new Error('a room that is no name');
    if (frame.type !== 'message') return;
    if (frame.text === '' || !isStorable(frame.text)) throw new Error('a text that cannot be kept');
    if (Buffer.from(frame.text).toString() !== frame.text) throw new Error('a text that UTF-8 changes');
    const said = text.trimStart().startsWith('{') ? (JSON.parse(text) as { text: string }).text : text;
    if (frame.text !== said) throw new Error('another text than was sent');
    const message = {
      type: 'message' as const,
      room: 'r',
      user_id: 'u',
      text: frame.text,
      seq: 1,
      timestamp: '',
    };
    const { payload } = takeFrame(frameBytes(message))?.frame ?? {};
    const received = JSON.parse(payload?.toString() ?? '') as { text: string };
    if (received.text !== frame.text) throw new Error('another text than was taken is sent');
  });
});

const withRef = ({ ref: label }: ClientFrame): string[] => (label === undefined ? [] : ['ack']);

/** The types and codes that must come back for a frame; rooms is what the session is in, and is changed by it. */
function expected(text: string, rooms: Set<string>): string[] {
  const result = parsed(text);
  if ('error' in result) return [result.error.code];
  const { frame } = result;
  if (frame.type === 'message') {
    const to = frame.room ?? [...rooms].at(-1);
    return to !== undefined && rooms.has(to) ? ['message', ...withRef(frame)] : ['not_in_room'];
  }
  const isIn = rooms.has(frame.room);
  if (frame.type === 'leave') {
    rooms.delete(frame.room);
    return isIn ? ['left', ...withRef(frame)] : withRef(frame);
  }
  if (!isIn && rooms.size >= 100) return ['forbidden'];
  rooms.add(frame.room);
  // No epoch that is made up is this log's.
  if (frame.since !== undefined) return ['reset', 'joined', ...withRef(frame)];
  return isIn ? withRef(frame) : ['joined', ...withRef(frame)];
}

const nameOf = (answer: Frame): string => (answer.type === 'error' ? answer.code : answer.type);

test('over a socket, any text is answered exactly as it must be, and the next one is, too', async (t) => {
  const server = await build(t, noLimits);
  const alice = await connect(t, server, 'alice');
  const witness = await connect(t, server, 'witness');
  await alice.next('welcome');
  await alice.next('joined');
  await witness.next('welcome');
  const rooms = new Set(['lobby']);
  let number = 0;
  await holds(sent, async (text) => {
    const before = alice.frames.length;
    // As it arrives: a client cannot send half of a pair in UTF-8.
    const wanted = expected(Buffer.from(text).toString(), rooms);
    alice.send(text);
    // Leaving a room that one is not in is answered at once, and after it comes what was asked after it.
    number += 1;
    const label = `probe-${number}`;
    alice.send(JSON.stringify({ type: 'leave', room: 'nowhere', ref: label }));
    await alice.next('ack', (ack) => ack.ref === label);
    const giveUp = performance.now() + 5_000;
    while (alice.frames.length - before < wanted.length + 1) {
      if (performance.now() > giveUp) throw new Error(`not answered: ${wanted}`);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const answers = alice.frames.slice(before).filter((answer) => !('ref' in answer && answer.ref === label));
    const got = answers
      .filter(({ type, ...rest }) => !('user_id' in rest) || rest.user_id === 'alice')
      .map(nameOf);
    if (JSON.stringify(got.toSorted()) !== JSON.stringify(wanted.toSorted())) {
      throw new Error(`answered ${got} instead of ${wanted}`);
    }
  });
  await witness.ask({ type: 'message', text: 'served' });
  const open = (await server.events('action=DISCONNECTED')).length === 0;
  t.ok(open, 'the session lived through it all');
  const said = alice.all('message').filter(({ user_id }) => user_id === 'alice');
  const logged = await server.events('action=MESSAGE_SENT&user_id=alice');
  t.strictSame(
    logged.map(({ seq, room, message }) => [seq, room, message]),
    said.map(({ seq, room, text }) => [seq, room, text]),
    'what was delivered is what is on record',
  );
});
