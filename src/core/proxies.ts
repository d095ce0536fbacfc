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

/** 192.0.2.7:4711, [2001:db8::1]:4711 or [2001:db8::1]. IPv6 has a port only behind brackets (RFC 3986 3.2.2). */
const WITH_PORT = /^(?:\[([^\]]*)\]|([0-9.]+))(?::[0-9]{1,5})?$/;

function addressIn(text: string): string | undefined {
  const [, bracketed, dotted] = WITH_PORT.exec(text) ?? [];
  return canonicalAddress(bracketed ?? dotted ?? text);
}

/** Where a request comes from, in the one spelling of addresses. */
export type Client = {
  /** Null when a trusted proxy tells no address, or the peer is gone. */
  address: string | null;
  /** The nearest to the client that is known: its own, or else that of the proxy that does not tell it. */
  nearest: string;
};

/**
 * Whose request it is that came from a peer. X-Forwarded-For is read from its end, for as long as those who have added to
 * it are trusted.
 *
 * @param forwardedFor the header; several of them joined by commas
 */
export function clientOf(
  peer: string | undefined,
  forwardedFor: string | string[] | undefined,
  isProxy: (address: string) => boolean,
): Client {
  let nearest = canonicalAddress(peer ?? '');
  if (nearest === undefined) return { address: null, nearest: '' };
  const told = String(forwardedFor ?? '')
    .split(',')
    .map((text) => text.trim())
    .filter((text) => text !== '');
  for (const text of told.toReversed()) {
    if (!isProxy(nearest)) break;
    const address = addressIn(text);
    if (address === undefined) return { address: null, nearest };
    nearest = address;
  }
  return { address: nearest, nearest };
}
