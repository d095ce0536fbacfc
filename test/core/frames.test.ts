import type { Writable } from 'node:stream';
import { test } from 'tap';
import * as ws from 'ws';
import { FrameError, frameBytes, parseFrame } from '../../src/core/frames.ts';
import { thrownBy } from '../support/log.ts';

const KIB = 1024;
const json = (frame: unknown): string => JSON.stringify(frame);
const nested = (open: string, close: string): string => open.repeat(100_000) + close.repeat(100_000);

test('a frame of a known type comes back as it was sent', async (t) => {
  for (const frame of [
    { type: 'join', room: 'trading' },
    { type: 'join', room: 'é'.repeat(64), ref: '1', since: { epoch: 'e-1', seq: 0 } },
    { type: 'join', room: 'r', since: { epoch: '', seq: Number.MAX_SAFE_INTEGER } },
    { type: 'leave', room: ' trading ', ref: '' },
    { type: 'message', text: 'hi' },
    { type: 'message', room: 'trading', text: ' hi\n', ref: 'x'.repeat(64) },
    { type: 'message', text: '{"type":"join","room":"r"}', ref: '\ud800' },
  ]) {
    t.strictSame(parseFrame(json(frame)), frame, json(frame).slice(0, 80));
  }
  t.strictSame(
    parseFrame('\r\n\t {"type":"leave","room":"r"} \n'),
    { type: 'leave', room: 'r' },
    'blanks around',
  );
});

test('text that does not begin with { is a message with that very text', async (t) => {
  for (const text of [
    'hi',
    '  hi  ',
    ' ',
    '\n',
    'hi {"type":"join","room":"r"}',
    '[1]',
    '"hi"',
    'null',
    '/join r',
    '\u2028',
    '\u0001',
    '😀',
  ]) {
    t.strictSame(parseFrame(text), { type: 'message', text });
  }
});

test('a long text in any script passes unchanged', async (t) => {
  const text = '漢字 😀 e\u0301 \u202eعربى\u202c \u2028\ufeff\uffff\u0001\u007f "\\ \r\n'.repeat(2 * KIB);
  t.ok(Buffer.byteLength(text) > 64 * KIB);
  const parsed = [parseFrame(text), parseFrame(json({ type: 'message', text }))];
  for (const frame of parsed) t.ok(frame.type === 'message' && frame.text === text);
});

test('what is not a frame is refused as bad_frame', async (t) => {
  for (const [name, text] of Object.entries({
    'a lone brace': '{',
    'a lone brace after blanks': ' \n{hi}',
    'a brace after a no-break space': '\u00a0{"type":"message","text":"x"}',
    'half of a frame': '{"type":"message","text":"x"',
    'two frames': '{"type":"leave","room":"r"}{"type":"leave","room":"r"}',
    'no type': '{}',
    'an unknown type': json({ type: 'shout', text: 'x' }),
    'a type in another case': json({ type: 'Message', text: 'x' }),
    'a type that every object has': json({ type: 'constructor', text: 'x' }),
    'the type __proto__': json({ type: '__proto__', text: 'x' }),
    'a type that is no text': json({ type: ['message'], text: 'x' }),
    'an unknown key': json({ type: 'message', text: 'x', rooms: 'r' }),
    'a key of another type': json({ type: 'leave', room: 'r', since: { epoch: 'e', seq: 1 } }),
    'a text with a join': json({ type: 'join', room: 'r', text: 'x' }),
    'a key in another case': json({ type: 'message', Text: 'x' }),
    'a __proto__ key': '{"type":"message","text":"x","__proto__":{"room":"r"}}',
    'a __proto__ key for a missing one': '{"type":"message","__proto__":{"text":"x"}}',
    'a __proto__ key that is null': '{"type":"leave","room":"r","__proto__":null}',
    'a __proto__ key inside': '{"type":"join","room":"r","since":{"epoch":"e","seq":1,"__proto__":{}}}',
    'a constructor key': '{"type":"leave","room":"r","constructor":{}}',
    'no room to join': json({ type: 'join' }),
    'no room to leave': json({ type: 'leave' }),
    'no text': json({ type: 'message', room: 'r' }),
    'a number as text': json({ type: 'message', text: 1 }),
    'null as text': json({ type: 'message', text: null }),
    'an array as text': json({ type: 'message', text: ['x'] }),
    'a number as room': json({ type: 'join', room: 1 }),
    'null as room': json({ type: 'message', text: 'x', room: null }),
    'an empty room': json({ type: 'message', text: 'x', room: '' }),
    'a room with NUL': '{"type":"join","room":"a\\u0000"}',
    'a room with a line break': json({ type: 'leave', room: 'a\n' }),
    'a room with a lone surrogate': json({ type: 'join', room: '\ud800' }),
    'a room of 129 bytes': json({ type: 'join', room: `${'é'.repeat(64)}x` }),
    'a number as ref': json({ type: 'leave', room: 'r', ref: 1 }),
    'null as ref': json({ type: 'leave', room: 'r', ref: null }),
    'a ref of 65 characters': json({ type: 'leave', room: 'r', ref: 'x'.repeat(65) }),
    'a text of 100,000 arrays': `{"type":"message","text":${nested('[', ']')}}`,
    'an unknown key with 100,000 arrays': `{"type":"message","text":"x","x":${nested('[', ']')}}`,
    'a since of 100,000 arrays': `{"type":"join","room":"r","since":${nested('[', ']')}}`,
    '100,000 objects': nested('{"type":', '}').replace(':}', ':1}'),
  })) {
    const error = thrownBy(() => parseFrame(text));
    t.type(error, FrameError, name);
    t.match(error, { name: 'FrameError', code: 'bad_frame', status: 400 }, name);
  }
});

test('a place to go on from is an epoch and a number from 0', async (t) => {
  for (const since of [
    { epoch: 'e', seq: -1 },
    { epoch: 'e', seq: 0.5 },
    { epoch: 'e', seq: '1' },
    { epoch: 'e', seq: null },
    { epoch: 'e', seq: Number.MAX_SAFE_INTEGER + 1 },
    { epoch: 'e' },
    { seq: 1 },
    { epoch: 1, seq: 1 },
    { epoch: 'x'.repeat(37), seq: 1 },
    { epoch: 'e', seq: 1, room: 'r' },
    {},
    [],
    null,
    'e:1',
    1,
  ]) {
    t.match(
      thrownBy(() => parseFrame(json({ type: 'join', room: 'r', since }))),
      { code: 'bad_frame' },
      json(since),
    );
  }
  const huge = '{"type":"join","room":"r","since":{"epoch":"e","seq":1e400}}';
  t.match(
    thrownBy(() => parseFrame(huge)),
    { code: 'bad_frame' },
    'an infinite number',
  );
});

test('a text that is empty or cannot be kept is refused as invalid_text, and nothing else is', async (t) => {
  for (const text of ['', '\0', '\ud800', 'a\0b', '\udc00 a', '😀\ud83d']) {
    t.match(
      thrownBy(() => parseFrame(json({ type: 'message', text, ref: '7' }))),
      { code: 'invalid_text', ref: '7', status: 400 },
      `escaped: ${json(text)}`,
    );
    t.match(
      thrownBy(() => parseFrame(text)),
      { code: 'invalid_text', ref: undefined },
      `bare: ${json(text)}`,
    );
  }
  const escapes = '{"type":"message","text":"\\ud83d\\ude00"}';
  t.strictSame(parseFrame(escapes), { type: 'message', text: '😀' }, 'a pair of escapes is one character');
});

test('a refusal carries the label wherever it can be read', async (t) => {
  for (const [text, ref] of [
    [json({ ref: '7' }), '7'],
    [json({ type: 'shout', ref: '7' }), '7'],
    [json({ type: 'message', ref: '7' }), '7'],
    [json({ type: 'join', room: '', ref: '' }), ''],
    [json({ type: 'leave', room: 'r', text: 'x', ref: 'x'.repeat(64) }), 'x'.repeat(64)],
    [json({ type: 'leave', ref: '😀'.repeat(64) }), '😀'.repeat(64)],
    [json({ type: 'leave', ref: 'x'.repeat(65) }), undefined],
    [json({ type: 'leave', ref: '😀'.repeat(65) }), undefined],
    [json({ type: 'leave', ref: 7 }), undefined],
    [json({ type: 'leave', ref: { ref: '7' } }), undefined],
    ['{"ref":"7"', undefined],
  ] as const) {
    t.equal((thrownBy(() => parseFrame(text)) as FrameError).ref, ref, text.slice(0, 80));
  }
});

test('a refusal says what is wrong, not what was said', async (t) => {
  for (const [text, message] of [
    ['{secret', /not valid JSON/],
    [json({ type: 'secret' }), /join, leave or message/],
    [json({ type: 'join', room: 1, ref: 'secret' }), /join frame.*\/room/],
    [json({ type: 'join', room: 'secret\n' }), /room’s name/],
    [json({ type: 'message', text: 'secret\0' }), /NUL/],
  ] as const) {
    const error = thrownBy(() => parseFrame(text)) as FrameError;
    t.match(error.message, message);
    t.notMatch(error.message, /secret/);
  }
});

// Exported by ws, and missing from its types.
const { Receiver } = ws as unknown as { Receiver: new (options: object) => Writable };

/** What a client reads of one frame (RFC 6455 5.2), by ws’s own receiver. */
function received(bytes: Buffer): { text: string; isBinary: boolean }[] {
  const messages: { text: string; isBinary: boolean }[] = [];
  const receiver = new Receiver({ isServer: false });
  receiver.on('message', (data: Buffer, isBinary: boolean) =>
    messages.push({ text: data.toString(), isBinary }),
  );
  receiver.write(bytes);
  return messages;
}

test('the bytes of a frame are one text frame of RFC 6455 with its JSON in UTF-8', async (t) => {
  const frame = { type: 'ack', ref: '😀 \u2028 ä', seq: null, timestamp: null } as const;
  t.strictSame(received(frameBytes(frame)), [{ text: JSON.stringify(frame), isBinary: false }]);
  const around = JSON.stringify({ type: 'ack', ref: '', seq: null, timestamp: null }).length;
  for (const length of [around, 125, 126, 127, 65_535, 65_536, 65_537, 200_000]) {
    const bytes = frameBytes({ type: 'ack', ref: 'x'.repeat(length - around), seq: null, timestamp: null });
    t.equal(bytes.length, length + (length < 126 ? 2 : length < 65_536 ? 4 : 10), 'the shortest header');
    const [message, ...rest] = received(bytes);
    t.equal(message?.text.length, length);
    t.strictSame(rest, []);
  }
});
