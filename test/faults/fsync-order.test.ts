import { test } from 'tap';
import { HOLD_MS, heardAfter, MESSAGES, prove, worldOf } from './fsync-order.ts';
import { missing } from './tools.ts';

test('no byte of a message reaches anybody before the fsync of its batch', async (t) => {
  const lacking = await missing(['strace']);
  if (lacking.length > 0) {
    t.plan(0, `needs ${lacking.join()}`);
    return;
  }

  await t.test('under load, on two servers, by the system calls of all of them', async (tt) => {
    const { delivered, early } = await prove(tt, await worldOf(tt, 2));
    tt.ok(delivered >= MESSAGES, `${delivered} messages were watched`);
    tt.strictSame(early, [], 'each left after the fdatasync that covers its commit');
  });

  await t.test('while an fdatasync is held up, nobody hears anything', async (tt) => {
    const heard = await heardAfter(tt, await worldOf(tt, 1));
    tt.ok(heard >= HOLD_MS, `it was heard after ${Math.round(heard)} ms`);
    tt.ok(heard < 3 * HOLD_MS, 'and right after it');
  });
});
