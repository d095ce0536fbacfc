import { test } from 'tap';
import { clientOf, trustedProxies } from '../../src/core/proxies.ts';

test('an address is trusted when it is named, or in a network that is, in whatever spelling', async (t) => {
  const trusts = trustedProxies([
    '10.0.0.0/8',
    '192.0.2.7',
    '2001:DB8:0::/32',
    'fe80::1%eth0',
    '::ffff:198.51.100.1',
  ]);
  for (const address of [
    '10.0.0.0',
    '10.255.255.255',
    '::ffff:10.1.2.3',
    '::FFFF:a01:203',
    '192.0.2.7',
    '2001:db8::1',
    '2001:0db8:ffff::',
    'fe80::1%lo',
    '198.51.100.1',
  ]) {
    t.ok(trusts(address), address);
  }
  for (const address of [
    '9.255.255.255',
    '11.0.0.0',
    '::ffff:11.0.0.0',
    '192.0.2.6',
    '2001:db9::',
    // IPv4-compatible (RFC 4291 2.5.5.1) and NAT64 (RFC 6052) addresses are IPv6.
    '::10.1.2.3',
    '64:ff9b::10.1.2.3',
    '::ffff:0:10.1.2.3',
    '',
    'unknown',
    '10.1.2.3:80',
    '10.1.2.3 ',
    '010.1.2.3',
    '0x0a010203',
    '10.1.2',
  ]) {
    t.notOk(trusts(address), address);
  }
});

test('no range of IPv6 holds an address of IPv4', async (t) => {
  for (const range of ['::/1', '::/64', '::/96', '8000::/1', '::']) {
    for (const address of ['0.0.0.0', '10.0.0.1', '192.0.2.7', '::ffff:192.0.2.7']) {
      t.notOk(trustedProxies([range])(address), `${range}: ${address}`);
    }
  }
  t.notOk(trustedProxies([])('127.0.0.1'), 'and nobody is trusted by default');
});

test('the client is the last address of X-Forwarded-For that is no proxy’s, with its port or without', async (t) => {
  const isProxy = trustedProxies(['10.0.0.0/8', '2001:db8::/32']);
  for (const [forwardedFor, address, nearest] of [
    ['192.0.2.7:4711', '192.0.2.7', '192.0.2.7'],
    ['[2001:DB9:0::1]:4711', '2001:db9::1', '2001:db9::1'],
    ['[2001:db9::1]', '2001:db9::1', '2001:db9::1'],
    ['2001:db9::1:4711', '2001:db9::1:4711', '2001:db9::1:4711'],
    ['[::ffff:192.0.2.7]:1', '192.0.2.7', '192.0.2.7'],
    ['6.6.6.6, 192.0.2.7:1, 10.9.9.9:65535, [2001:db8::1]:2', '192.0.2.7', '192.0.2.7'],
    ['10.9.9.9:1', '10.9.9.9', '10.9.9.9'],
    // Who is a proxy and does not tell whose request it is stands for whoever that is.
    ['unknown', null, '10.1.2.3'],
    ['192.0.2.7, unknown, 10.9.9.9:1', null, '10.9.9.9'],
    ['192.0.2.7:', null, '10.1.2.3'],
    ['192.0.2.7:123456', null, '10.1.2.3'],
    ['192.0.2.7:80:80', null, '10.1.2.3'],
    ['192.0.2:80', null, '10.1.2.3'],
    ['[2001:db9::1', null, '10.1.2.3'],
    ['[2001:db9::1]80', null, '10.1.2.3'],
    ['[]:80', null, '10.1.2.3'],
    ['', '10.1.2.3', '10.1.2.3'],
    [' , ', '10.1.2.3', '10.1.2.3'],
    [undefined, '10.1.2.3', '10.1.2.3'],
  ] as const) {
    t.strictSame(
      clientOf('::ffff:10.1.2.3', forwardedFor, isProxy),
      { address, nearest },
      forwardedFor ?? 'none',
    );
  }
  t.strictSame(
    clientOf('11.1.2.3', '192.0.2.7:1', isProxy),
    { address: '11.1.2.3', nearest: '11.1.2.3' },
    'a stranger is not believed',
  );
  t.strictSame(clientOf(undefined, '192.0.2.7', isProxy), { address: null, nearest: '' }, 'the peer is gone');
});
