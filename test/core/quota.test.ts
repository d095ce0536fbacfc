import { test } from 'tap';
import { Quota } from '../../src/core/quota.ts';

const MINUTE = 60_000;

test('so many pass in a window, and not one more', async (t) => {
  const quota = new Quota('queries', 3, MINUTE, 10);
  t.same(
    [0, 1_000, 2_000, 3_000, 59_999].map((now) => quota.take('alice', now)),
    [
      { allowed: true, left: 2, resetSeconds: 60 },
      { allowed: true, left: 1, resetSeconds: 59 },
      { allowed: true, left: 0, resetSeconds: 58 },
      { allowed: false, left: 0, resetSeconds: 57 },
      { allowed: false, left: 0, resetSeconds: 1 },
    ],
  );
  t.same(quota.take('alice', MINUTE), { allowed: true, left: 2, resetSeconds: 60 }, 'and then all again');
});

test('to look how a key would stand takes nothing', async (t) => {
  const quota = new Quota('handshakes', 2, MINUTE, 10);
  for (let n = 0; n < 5; n += 1) {
    t.same(quota.look('alice', 0), { allowed: true, left: 2, resetSeconds: 60 });
  }
  t.equal(quota.size, 0);
  quota.take('alice', 0);
  t.same(quota.look('alice', 1_000), { allowed: true, left: 1, resetSeconds: 59 });
  quota.take('alice', 1_000);
  t.same(quota.look('alice', 2_000), { allowed: false, left: 0, resetSeconds: 58 });
  t.same(quota.look('alice', MINUTE), { allowed: true, left: 2, resetSeconds: 60 });
});

test('whoever waits as long as told passes', async (t) => {
  const quota = new Quota('queries', 1, MINUTE, 10);
  quota.take('alice', 0.5);
  const { allowed, resetSeconds } = quota.take('alice', 12_345.6);
  t.notOk(allowed);
  t.ok(quota.take('alice', 12_345.6 + resetSeconds * 1_000).allowed);
});

test('keys do not know of each other', async (t) => {
  const quota = new Quota('queries', 1, MINUTE, 10);
  t.ok(quota.take('alice', 0).allowed);
  t.ok(quota.take('bob', 0).allowed);
  t.notOk(quota.take('alice', 1).allowed);
});

test('however many keys come, no more are remembered than the bound', async (t) => {
  const quota = new Quota('handshakes', 1, MINUTE, 100);
  for (let number = 0; number < 100_000; number += 1) quota.take(`address-${number}`, number / 10_000);
  t.equal(quota.size, 100);
  t.notOk(quota.take('address-99999', 10).allowed, 'the newest are remembered');
  t.ok(quota.take('address-0', 10).allowed, 'the oldest is forgotten');
});

test('what is over is forgotten when somebody new comes', async (t) => {
  const quota = new Quota('handshakes', 1, MINUTE, 100);
  for (let number = 0; number < 50; number += 1) quota.take(`address-${number}`, number);
  quota.take('address-new', MINUTE + 24);
  t.equal(quota.size, 26);
  quota.take('address-new', 3 * MINUTE);
  t.equal(quota.size, 1);
});

test('header fields say what holds, as the draft writes it', async (t) => {
  const quota = new Quota('queries', 300, MINUTE, 10);
  t.equal(quota.policyField, '"queries";q=300;w=60');
  t.equal(quota.limitField(quota.take('alice', 0)), '"queries";r=299;t=60');
});
