import { BlockList, isIPv4 } from 'node:net';
import { canonicalAddress } from './address.ts';

/**
 * Whether an address is one of these addresses or in one of these networks, of its own family alone: a range of IPv6
 * must not let IPv4 in, however one of the two is written (CVE-2026-92395).
 */
export function trustedProxies(networks: readonly string[]): (address: string) => boolean {
  const families = { ipv4: new BlockList(), ipv6: new BlockList() };
  const familyOf = (address: string) => (isIPv4(address) ? 'ipv4' : 'ipv6');
  for (const network of networks) {
    const [text = '', bits] = network.split('/');
    const address = canonicalAddress(text) ?? text;
    const family = familyOf(address);
    if (bits === undefined) families[family].addAddress(address, family);
    else families[family].addSubnet(address, Number(bits), family);
  }
  return (text) => {
    const address = canonicalAddress(text);
    if (address === undefined) return false;
    const family = familyOf(address);
    return families[family].check(address, family);
  };
}
