import { test } from 'tap';
import { StreamParser } from '../../src/core/stream-parser.ts';

const parse = (text: string, pieceBytes = 10_000) => {
  const parser = new StreamParser();
  const bytes = Buffer.from(text);
  const blocks = [];
  for (let at = 0; at < bytes.length; at += pieceBytes) {
    blocks.push(...parser.add(bytes.subarray(at, at + pieceBytes)));
  }
  return blocks;
};

const STREAM =
  'event: open\nid: e:4\n\n: a comment\n\nevent: audit\nid: e:5\ndata: {"message":"é 😀"}\n\nid: e:9\n\n' +
  'event: reset\ndata: a\ndata: b\n\ndata:no space\nretry: 5\nunknown: x\n\n';
const BLOCKS = [
  { event: 'open', id: 'e:4', data: '' },
  { event: 'audit', id: 'e:5', data: '{"message":"é 😀"}' },
  { event: 'message', id: 'e:9', data: '' },
  { event: 'reset', id: undefined, data: 'a\nb' },
  { event: 'message', id: undefined, data: 'no space' },
];

test('blocks come out whole, whatever the pieces and the ends of lines', async (t) => {
  for (const end of ['\n', '\r\n', '\r']) {
    for (const size of [1, 2, 3, 7, 10_000]) {
      // After a CR something must follow, for it may be half of a CRLF.
      const text = `${STREAM.replaceAll('\n', end)}: more`;
      t.strictSame(parse(text, size), BLOCKS, `${JSON.stringify(end)} by ${size}`);
    }
  }
});

test('a block that has not ended is not told', async (t) => {
  t.strictSame(parse('event: audit\nid: e:5\ndata: half'), []);
  t.strictSame(parse('event: audit\nid: e:5\ndata: half\n'), []);
});

test('no other character ends a line', async (t) => {
  t.strictSame(parse('data: a\u2028\u2029\u0085b\n\n'), [
    { event: 'message', id: undefined, data: 'a\u2028\u2029\u0085b' },
  ]);
});
