import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { problems } from '../plugins/errors.ts';
import { CodedError } from '../src/core/errors.ts';
import { NoQuery } from '../src/core/schemas.ts';

const tags = ['health'];

/** Whether the process lives, and whether the log can be written now. */
export default fp(
  async function healthRoutes(fastify: FastifyInstance) {
    const { audit, disk, durability } = fastify;

    fastify.get(
      '/health/live',
      {
        schema: {
          operationId: 'live',
          summary: 'Does the process answer?',
          tags,
          security: [],
          querystring: NoQuery,
          response: {
            200: Type.Object(
              { status: Type.Literal('live') },
              { description: 'It does', examples: [{ status: 'live' }] },
            ),
            ...problems(400, 403, 503),
          },
        },
      },
      async () => ({ status: 'live' as const }),
    );

    fastify.get(
      '/health/ready',
      {
        schema: {
          operationId: 'ready',
          summary: 'Can the log be written now?',
          description: 'Asks the database. While the log cannot be written, every message is refused.',
          tags,
          security: [],
          querystring: NoQuery,
          response: {
            200: Type.Object(
              {
                status: Type.Literal('ready'),
                instance: Type.String(),
                epoch: Type.String(),
                warnings: Type.Array(Type.String(), { description: 'What an operator should look at soon.' }),
              },
              {
                description: 'It can',
                examples: [
                  {
                    status: 'ready',
                    instance: 'host-1f0c9a2b',
                    epoch: '4f2c1f0e-8c4e-4f0b-9d52-0c9f6a2f7c11',
                    warnings: [],
                  },
                ],
              },
            ),
            ...problems(400, 403, 503),
          },
        },
      },
      async () => {
        const reason = await whyNot();
        if (reason === null) {
          const { instance, epoch } = audit;
          return {
            status: 'ready' as const,
            instance,
            epoch,
            warnings: [...audit.warnings(), ...disk.warnings()],
          };
        }
        throw new CodedError('not_ready', `The log cannot be written: ${reason}.`);
      },
    );

    /** Why nothing should be written now; null when there is no reason. */
    async function whyNot(): Promise<string | null> {
      if (fastify.isClosing()) return 'the server is shutting down';
      // Which setting it is, is for the operator to read.
      if (!durability.isGiven()) {
        return 'the database would lose what it commits in a crash; the server’s log says why';
      }
      return audit.check();
    }
  },
  { name: 'health-routes', dependencies: ['audit', 'disk', 'durability'], encapsulate: true },
);
