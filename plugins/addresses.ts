import type { IncomingMessage } from 'node:http';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { networkOf } from '../src/core/address.ts';
import { type Client, clientOf } from '../src/core/proxies.ts';

export type AddressesOptions = {
  /** Whether an address is a trusted proxy’s, who is believed where a request comes from. */
  isProxy: (address: string) => boolean;
};

declare module 'fastify' {
  interface FastifyInstance {
    isProxy: (address: string) => boolean;
  }
}

// Not Fastify’s own `ip`: it takes what a proxy tells as it is, and knows no proxy where a path cannot be read.
/** Where a request comes from that Fastify has not seen. */
export const clientOfRaw = (
  { socket, headers }: IncomingMessage,
  { isProxy }: Pick<FastifyInstance, 'isProxy'>,
): Client => clientOf(socket.remoteAddress, headers['x-forwarded-for'], isProxy);

const client = ({ raw, server }: FastifyRequest): Client => clientOfRaw(raw, server);

/** The address of a request in its one spelling; null when a proxy does not tell it, or the peer is gone. */
export const addressOf = (request: FastifyRequest): string | null => client(request).address;

/** The network by which a request is counted: its address’s, or that of the proxy that does not tell it. */
export const countedNetworkOf = (request: FastifyRequest): string => networkOf(client(request).nearest);

/** Where requests come from. */
export default fp(
  async function addresses(fastify: FastifyInstance, { isProxy }: AddressesOptions) {
    fastify.decorate('isProxy', isProxy);
  },
  { name: 'addresses' },
);
