import t from 'tap';
import { foldCase, patternOf } from '../../../src/core/search/case-folding.ts';

t.test('texts fold by code point, whatever the language and the place in the word', async (t) => {
  for (const [text, folded] of [
    ['Hello WORLD', 'hello world'],
    ['ΟΔΟΣ ὁδός', 'οδοσ ὁδόσ'],
    ['ÄÖÜ Straße STRAẞE', 'äöü straße straße'],
    ['ПРИВЕТ', 'привет'],
    ['สวัสดี 你好 😀', 'สวัสดี 你好 😀'],
    ['\u212Aelvin \u017Fee', 'kelvin see'],
    ['\u{10400}\u{1E900}', '\u{10428}\u{1E922}'],
    ['İstanbul Iı', 'İstanbul iı'],
  ] as const) {
    t.equal(foldCase(text), folded);
    t.equal(foldCase(folded), folded, 'folding again changes nothing');
  }
});

t.test('every code point folds as regular expressions with the flags iu compare', async (t) => {
  const wrong: string[] = [];
  for (let code = 0; code < 0x20000; code += 1) {
    if (code >= 0xd800 && code < 0xe000) continue;
    const char = String.fromCodePoint(code);
    const folded = foldCase(char);
    const others = new Set([folded, char.toLowerCase(), char.toUpperCase()]);
    for (const other of others) {
      if ([...other].length !== 1) continue;
      const same = new RegExp(`^\\u{${code.toString(16)}}$`, 'iu').test(other);
      if (same !== (foldCase(other) === folded)) wrong.push(`${code.toString(16)} and ${other}`);
    }
  }
  t.same(wrong, []);
});

t.test('a pattern names each character by its number', async (t) => {
  t.equal(patternOf('a.%'), '***:(?c)[\\U00000061\\U00000041]\\U0000002e\\U00000025');
});
