import { test } from 'tap';
import { bytesOver } from '../../web/chat/text.ts';
import { beginningOf } from '../../web/common/beginning.ts';

test('a message is too long when its frame would be', async (t) => {
  t.ok(bytesOver('lobby', 'x') <= 0);
  let longest = 0;
  for (let length = 65_000; bytesOver('lobby', 'x'.repeat(length)) <= 0; length += 1) longest = length;
  const frame = { type: 'message', room: 'lobby', text: 'x'.repeat(longest), ref: `page-${2 ** 53 - 1}` };
  t.equal(JSON.stringify(frame).length, 65_536);
  t.equal(bytesOver('lobby', 'x'.repeat(longest + 7)), 7);
  t.ok(bytesOver('lobby', '\n'.repeat(33_000)) > 0, 'as JSON');
  t.ok(bytesOver('lobby', '€'.repeat(22_000)) > 0, 'in UTF-8');
});

test('of a long text the beginning is shown, and no half characters', async (t) => {
  t.equal(beginningOf('short\nand so on'), undefined);
  t.equal(beginningOf('x'.repeat(1_200)), undefined);
  t.equal(beginningOf('x'.repeat(1_201)), 'x'.repeat(1_200));
  t.equal(beginningOf(`x${'😀'.repeat(1_000)}`), `x${'😀'.repeat(599)}`);
  t.equal(beginningOf('line\n'.repeat(16)), 'line\n'.repeat(16).slice(0, -1));
  t.equal(beginningOf('line\n'.repeat(15)), undefined);
});
