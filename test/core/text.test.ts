import { test } from 'tap';
import { byteLength, isName, isStorable, MAX_NAME_BYTES } from '../../src/core/text.ts';

test('length is counted in bytes of UTF-8', async (t) => {
  for (const [text, bytes] of [
    ['', 0],
    ['abc', 3],
    ['é', 2],
    ['漢', 3],
    ['😀', 4],
  ] as const) {
    t.equal(byteLength(text), bytes, JSON.stringify(text));
  }
});

test('text is storable unless it holds NUL or a lone surrogate', async (t) => {
  const good = ['', ' ', 'a\nb\t', '\u0001\u001f\u007f\u0080', '\u2028', '😀', '\ufeff\uffff', 'a\u0301'];
  const bad = ['\0', 'a\0b', '\ud800', '\udfff', 'a\ud83d', '\ude00\ud83d', '😀\ud83d'];
  t.strictSame([...good, ...bad].filter(isStorable), good);
});

test('a name has 1 to 128 bytes, however many characters those are', async (t) => {
  t.equal(MAX_NAME_BYTES, 128);
  const good = [
    'a',
    ' ',
    'x'.repeat(128),
    'é'.repeat(64),
    '😀'.repeat(32),
    '\u00a0',
    '~',
    '漢字 #1',
    '\u2028',
  ];
  const bad = ['', 'x'.repeat(129), `${'é'.repeat(64)}x`, `${'😀'.repeat(32)}x`, 'a\ud800', '\udc00'];
  t.strictSame([...good, ...bad].filter(isName), good);
});

test('a name holds no control character, wherever it stands', async (t) => {
  const accepted: string[] = [];
  for (let code = 0; code <= 0xa0; code += 1) {
    const char = String.fromCharCode(code);
    if ([char, `${char}a`, `a${char}`, `a${char}b`].some(isName)) accepted.push(char);
  }
  const printable = Array.from({ length: 0x7f - 0x20 }, (_, index) => String.fromCharCode(0x20 + index));
  t.strictSame(accepted, [...printable, '\u00a0']);
});
