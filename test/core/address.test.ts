import { test } from 'tap';
import { canonicalAddress, networkOf } from '../../src/core/address.ts';

test('every address has one spelling', async (t) => {
  for (const [text, canonical] of [
    ['127.0.0.1', '127.0.0.1'],
    ['0.0.0.0', '0.0.0.0'],
    ['255.255.255.255', '255.255.255.255'],
    // IPv4-mapped (RFC 4291 2.5.5.2), in every spelling
    ['::ffff:1.2.3.4', '1.2.3.4'],
    ['::FFFF:1.2.3.4', '1.2.3.4'],
    ['::ffff:102:304', '1.2.3.4'],
    ['0:0:0:0:0:ffff:0102:0304', '1.2.3.4'],
    ['0:0:0:0:0:ffff:255.0.1.254', '255.0.1.254'],
    ['::ffff:0:0', '0.0.0.0'],
    ['::ffff:ffff:ffff', '255.255.255.255'],
    ['::ffff:1.2.3.4%eth0', '1.2.3.4'],
    // and what only looks like it
    ['::1.2.3.4', '::102:304'],
    ['::ffff:0:1.2.3.4', '::ffff:0:102:304'],
    ['1::ffff:1.2.3.4', '1::ffff:102:304'],
    // RFC 5952 4: no leading zeros, the longest run of zeros as ::, lower case
    ['::', '::'],
    ['::1', '::1'],
    ['0:0:0:0:0:0:0:1', '::1'],
    ['2001:DB8::0:1', '2001:db8::1'],
    ['2001:0db8:0000:0000:0001:0000:0000:0001', '2001:db8::1:0:0:1'],
    ['2001:db8:0:1:1:1:1:1', '2001:db8:0:1:1:1:1:1'],
    ['fe80:0:0:1:0:0:0:1', 'fe80:0:0:1::1'],
    // a zone means something on one host only
    ['fe80::1%eth0', 'fe80::1'],
    ['::1%lo', '::1'],
  ] as const) {
    t.equal(canonicalAddress(text), canonical, text);
  }
});

test('what is no address has no spelling', async (t) => {
  for (const text of [
    '',
    ' ',
    'localhost',
    '1.2.3',
    '1.2.3.256',
    '127.0.0.01',
    '0x7f.0.0.1',
    '2130706433',
    '1.2.3.4 ',
    ' 1.2.3.4',
    '1.2.3.4:80',
    '1.2.3.4/32',
    '[::1]',
    ':::',
    '1::2::3',
    'g::1',
    '12345::',
    '::1/128',
    // only IPv6 has zones (RFC 4007 11), and a zone has a name
    '1.2.3.4%eth0',
    '::1%',
    '%',
    '%eth0',
  ]) {
    t.equal(canonicalAddress(text), undefined, JSON.stringify(text));
  }
});

test('an IPv4 address stands for itself, an IPv6 address for its /64', async (t) => {
  for (const [address, network] of [
    ['203.0.113.7', '203.0.113.7'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['2001:db8:1:2::1', '2001:db8:1:2::/64'],
    ['2001:db8::1', '2001:db8:0:0::/64'],
    ['2001:db8:0:1::', '2001:db8:0:1::/64'],
    ['::1', '0:0:0:0::/64'],
    ['::', '0:0:0:0::/64'],
    ['fe80::1:2:3:4', 'fe80:0:0:0::/64'],
    ['', ''],
  ] as const) {
    t.equal(networkOf(address), network, address);
  }
});
