import { isIP } from 'node:net';

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i;

/**
 * An IP address in its one spelling: IPv4 dotted, IPv6 as RFC 5952 writes it, without zone; an IPv4-mapped
 * IPv6 address is the IPv4 address that it means. Undefined when the text is no address.
 */
export function canonicalAddress(text: string): string | undefined {
  const family = isIP(text);
  if (family === 4) return text;
  if (family !== 6) return undefined;
  const bare = text.split('%', 1)[0] ?? '';
  const mapped = MAPPED.exec(bare);
  if (mapped !== null) return mapped[1];
  // The URL parser serialises IPv6 hosts by RFC 5952 (WHATWG URL 3.5).
  const host = new URL(`http://[${bare}]`).hostname.slice(1, -1);
  const hex = /^::ffff:([0-9a-f]{1,4}):([0-9a-f]{1,4})$/.exec(host);
  if (hex === null) return host;
  const high = Number.parseInt(hex[1] ?? '', 16);
  const low = Number.parseInt(hex[2] ?? '', 16);
  return [high >> 8, high & 255, low >> 8, low & 255].join('.');
}

/**
 * Whom an address stands for when addresses are counted: an IPv4 address for itself, an IPv6 address for its /64, which
 * is the least that a single customer is given (RFC 6177 2), so that 2^64 addresses are nobody's to hide behind.
 *
 * @param address in its one spelling
 */
export function networkOf(address: string): string {
  if (!address.includes(':')) return address;
  const [head = '', tail] = address.split('::');
  const groups = (text: string | undefined): string[] => (text ? text.split(':') : []);
  const before = groups(head);
  const after = groups(tail);
  const zeros = Array.from({ length: tail === undefined ? 0 : 8 - before.length - after.length }, () => '0');
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`;
}
