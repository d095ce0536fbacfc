import cors from '@fastify/cors';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { securityHeaders } from '../src/core/security-headers.ts';

export type HeadersOptions = {
  /** The origins whose pages may call the API; undefined: no page of another origin may. */
  allowedOrigins?: readonly string[] | undefined;
};

/** How long a browser may remember what it was told before a request, in seconds. */
const PREFLIGHT_S = 600;

/** Headers that say something of one answer, and so are not on every one. */
export const ownHeaders = [
  'Content-Disposition',
  'Link',
  'RateLimit',
  'RateLimit-Policy',
  'Retry-After',
  'WWW-Authenticate',
] as const;

/** Gives an answer what every answer has. Only needed where no hook runs. */
export function protect(request: FastifyRequest, reply: FastifyReply): void {
  // On the raw response, so that answers have them that are written past Fastify.
  for (const [name, value] of Object.entries(securityHeaders(request.protocol === 'https'))) {
    reply.raw.setHeader(name, value);
  }
}

/** Headers against what browsers would do with our answers, and CORS for the origins that are allowed. */
export default fp(
  async function headers(fastify: FastifyInstance, { allowedOrigins }: HeadersOptions) {
    fastify.addHook('onRequest', async (request, reply) => protect(request, reply));
    if (allowedOrigins === undefined) return;

    await fastify.register(cors, {
      // A function: for a list, the plugin tells strangers as well what would be allowed.
      origin: (origin, tell) =>
        tell(null, origin !== undefined && allowedOrigins.includes(origin) ? origin : false),
      methods: ['GET', 'HEAD', 'POST', 'PUT', 'DELETE'],
      allowedHeaders: ['Authorization', 'Content-Type', 'Last-Event-ID'],
      exposedHeaders: [...ownHeaders],
      // Tokens stand in a header that pages set themselves; there are no cookies to send along.
      credentials: false,
      maxAge: PREFLIGHT_S,
      // Else the plugin answers by itself, in plain text, what asks for no method.
      strictPreflight: false,
    });
  },
  { name: 'headers' },
);
