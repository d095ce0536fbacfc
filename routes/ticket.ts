import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { problems } from '../plugins/errors.ts';
import { CodedError } from '../src/core/errors.ts';
import { Timestamp } from '../src/core/schemas.ts';

/** There is nothing to say but who asks. */
const Nothing = Type.Object({}, { additionalProperties: false });

/** Tickets for browsers, which cannot send a token with the handshake of a WebSocket. */
export default fp(
  async function ticketRoutes(fastify: FastifyInstance) {
    const { audit, auth, limits } = fastify;

    fastify.post(
      '/ws/ticket',
      {
        // As the handshake would say, which is counted when it comes.
        onRequest: [
          auth.requireOrigin,
          auth.requireScope('chat'),
          async (request: FastifyRequest) => limits.checkSocket(request),
        ],
        // A request needs no body.
        preValidation: async (request) => {
          request.body ??= {};
        },
        schema: {
          operationId: 'issueTicket',
          summary: 'Get a ticket for one WebSocket',
          description:
            'For browsers, whose WebSocket can send no token: offer the subprotocols `minutebook.v1` and ' +
            '`ticket.<ticket>` at `/ws`. A ticket is good once, for 30 s, on every instance, and stands for the ' +
            'token that bought it; the session ends with that token. Whatever would refuse the handshake refuses ' +
            'the ticket, and here a page can read why. It takes no parameters: the body is empty, or `{}`.',
          tags: ['chat'],
          security: [{ token: [] }],
          querystring: Nothing,
          body: Nothing,
          response: {
            201: Type.Object(
              {
                ticket: Type.String({
                  description: '256 random bits in base64url.',
                  examples: ['mQ1x0S9vJ8C3rXgk2s5b7tYFh4uZpLwNaDEoVqWiRcM'],
                }),
                expires_at: Timestamp,
              },
              { description: 'A ticket' },
            ),
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      issue,
    );

    async function issue({ principal }: FastifyRequest, reply: FastifyReply) {
      if (principal === null) throw new Error('a ticket was asked for without a principal');
      // As the handshake would say.
      if (audit.isTroubled() && (await audit.check()) !== null) {
        throw new CodedError('audit_unavailable', 'The audit log cannot be written now; try again later.');
      }
      reply.code(201).header('cache-control', 'no-store');
      return auth.issueTicket(principal);
    }
  },
  { name: 'ticket-routes', dependencies: ['auth', 'audit', 'limits', 'validation'], encapsulate: true },
);
