import { isIP } from 'node:net';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import { isLoopback } from '../../src/config.ts';
import { CodedError } from '../../src/core/errors.ts';
import { headerValues } from '../../src/core/header-values.ts';
import { schemeOf } from '../../src/tls.ts';

/** The part of a Host header that names the host. */
function hostName(header: string | undefined): string {
  if (header === undefined || !URL.canParse(`http://${header}`)) return '';
  return new URL(`http://${header}`).hostname.replace(/^\[|\]$/g, '');
}

/**
 * Refuses a request that names another host than this machine: a web page can make a name of its own resolve to
 * 127.0.0.1 (DNS rebinding), and the Host header tells.
 */
export async function requireLoopbackName({ headers }: FastifyRequest): Promise<void> {
  if (!isLoopback(hostName(headers.host))) {
    throw new CodedError('host_not_allowed', 'In development mode only loopback names are served.');
  }
}

/**
 * The origins of an address, as browsers write them: without the port where it is the scheme’s own (RFC 6454 6.1), and
 * for loopback under every name that it has.
 */
export function originsOf(scheme: 'http' | 'https', address: string, port: number): string[] {
  const names = isLoopback(address) ? ['127.0.0.1', 'localhost', '[::1]'] : [address];
  return names.map((name) => new URL(`${scheme}://${isIP(name) === 6 ? `[${name}]` : name}:${port}`).origin);
}

/** Origins of the server’s own addresses. */
const ownOrigins = (fastify: FastifyInstance): string[] =>
  fastify
    .addresses()
    .flatMap((bound) =>
      typeof bound === 'string' ? [] : originsOf(schemeOf(fastify.server), bound.address, bound.port),
    );

/**
 * Makes the check of a request’s Origin. Browsers send one and other clients need not; one that is sent must be on
 * the list, to the letter. It is never compared with the Host or the target, which the sender chooses as well.
 *
 * @param allowed undefined: the server’s own address
 */
export function originCheck(fastify: FastifyInstance, allowed: readonly string[] | undefined) {
  /** @throws CodedError `origin_not_allowed` */
  return (request: FastifyRequest): void => {
    const [origin, ...others] = headerValues(request.raw.rawHeaders, 'origin');
    if (origin === undefined) return;
    if (others.length > 0 || !(allowed ?? ownOrigins(fastify)).includes(origin)) {
      throw new CodedError('origin_not_allowed', 'Pages of this origin may not connect (ALLOWED_ORIGINS).');
    }
  };
}
