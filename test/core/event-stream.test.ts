import t from 'tap';
import { auditBlock, parsePosition, startOf } from '../../src/core/event-stream.ts';
import { pendingEvent } from '../support/log-store.ts';
import { anyText, holds } from '../support/property.ts';

/** Every character that some language takes for the end of a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: control characters are what it looks for
const LINE_END = /\r\n|[\n\v\f\r\x1c-\x1e\u0085\u2028\u2029]/;

t.test('whatever a text holds, its event is one line of data in one block', () =>
  holds(anyText(), (message) => {
    const { event } = pendingEvent({
      action: 'MESSAGE_SENT',
      message: message.toWellFormed().replaceAll('\0', ''),
    });
    const text = auditBlock('epoch', { ...event, seq: 7 }).toString();
    const lines = text.split(LINE_END);
    if (lines.length !== 5) throw new Error(`${lines.length} lines`);
    const [type, id, data = '', ...rest] = lines;
    if (type !== 'event: audit' || id !== 'id: epoch:7' || rest.join() !== ',') throw new Error(text);
    const said = (JSON.parse(data.slice('data: '.length)) as { message: string }).message;
    if (said !== event.message) throw new Error('another text');
  }),
);

t.test('an id names an epoch and a number, to the letter', async (t) => {
  t.strictSame(parsePosition('3f0e-a:17', 'after'), { epoch: '3f0e-a', seq: 17 });
  t.strictSame(parsePosition('e:-1', 'after'), { epoch: 'e', seq: -1 });
  for (const wrong of [
    '',
    ':1',
    'e',
    'e:',
    'e:01',
    'e:-2',
    'e:1.5',
    'e:1 ',
    'E:1',
    'e:1e3',
    `${'e'.repeat(37)}:1`,
  ]) {
    t.throws(() => parsePosition(wrong, 'after'), { code: 'invalid_parameter', parameter: 'after' }, wrong);
  }
  t.throws(() => parsePosition('e:9007199254740993', 'after'), { code: 'invalid_parameter' });
});

t.test('a stream goes on after what was seen, or says why it does not', async (t) => {
  const state = { epoch: 'e', firstSeq: 100, nextSeq: 200, fromSeq: undefined };
  const from = { ...state, fromSeq: 150 };
  t.strictSame(startOf(state, undefined), { next: 200 });
  t.strictSame(startOf(from, undefined), { next: 150 });
  t.strictSame(startOf({ ...state, fromSeq: 40 }, undefined), { next: 100 }, 'as much as is kept');
  for (const [seq, next] of [
    [99, 100],
    [120, 121],
    [199, 200],
  ] as const) {
    t.strictSame(startOf(state, { epoch: 'e', seq }), { next });
    t.strictSame(startOf(from, { epoch: 'e', seq }), { next }, 'the id wins');
  }
  t.strictSame(startOf(state, { epoch: 'e', seq: 98 }), { next: 100, reset: 'expired' });
  t.strictSame(startOf(from, { epoch: 'e', seq: 98 }), { next: 150, reset: 'expired' });
  t.strictSame(startOf(state, { epoch: 'e', seq: 200 }), { next: 200, reset: 'beyond_head' });
  t.strictSame(startOf(state, { epoch: 'other', seq: 150 }), { next: 200, reset: 'wrong_epoch' });
  t.strictSame(startOf(from, { epoch: 'other', seq: 150 }), { next: 150, reset: 'wrong_epoch' });
});
