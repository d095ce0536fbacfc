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
const client = ({ raw, server }: FastifyRequest): Client =>
  clientOf(raw.socket.remoteAddress, raw.headers['x-forwarded-for'], server.isProxy);

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
