import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { getEvent, readLogState } from '../../db/events.ts';
import { read } from '../../db/read.ts';
import { problems } from '../../plugins/errors.ts';
import { actionNames, actions } from '../../src/core/actions.ts';
import { CodedError } from '../../src/core/errors.ts';
import {
  Action,
  type AuditEvent,
  type AuditPage,
  AuditQuery,
  NoQuery,
  OwnAuditQuery,
  type Stats,
  StatsQuery,
} from '../../src/core/schemas.ts';
import { readPage } from './page.ts';
import { recordRead } from './record-read.ts';
import { readStats } from './stats.ts';

const tags = ['audit'];
const security = [{ token: [] }];
const Page = Type.Unsafe<AuditPage>({
  $ref: 'AuditPage#',
  description: 'A page of events',
  headers: {
    Link: Type.String({
      description:
        'Where the next page is, with `rel="next"`; absent where there is none now, or the address is longer than 2 KiB.',
    }),
  },
});

/** Reading the log: every answer is recorded before it is sent. */
export default fp(
  async function auditRoutes(instance: FastifyInstance) {
    const fastify = instance.withTypeProvider<TypeBoxTypeProvider>();
    const { audit, auth, database, turns } = fastify;
    const onRequest = auth.requireScope('audit:read');

    fastify.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });

    fastify.get(
      '/audit',
      {
        onRequest,
        schema: {
          operationId: 'listEvents',
          summary: 'A page of events, newest first',
          description:
            'Filters AND; a name given more than once is an OR. Follow `next_cursor`, or the `Link` header, to ' +
            'the next page: every event stands on one page only, however many are written meanwhile. The read ' +
            'is itself recorded as `AUDIT_READ`. `HEAD` is a read as well. The answer is JSON whatever `Accept` ' +
            'asks for, and never 304, for nothing of it may be stored.',
          tags,
          security,
          querystring: AuditQuery,
          response: {
            200: Page,
            ...problems(400, 401, 403, 410, 429, 500, 503),
          },
        },
      },
      list,
    );

    fastify.get(
      '/audit/me',
      {
        onRequest: auth.requireScope('chat'),
        schema: {
          operationId: 'listOwnEvents',
          summary: 'A page of one’s own events, newest first',
          description:
            'What the bearer of the token did, on whatever connection; not what was done to them. Filters and ' +
            'paging are those of `GET /audit`, and the read is recorded likewise.',
          tags,
          security,
          querystring: OwnAuditQuery,
          response: {
            200: Page,
            ...problems(400, 401, 403, 410, 429, 500, 503),
          },
        },
      },
      listOwn,
    );

    fastify.get(
      '/audit/stats',
      {
        onRequest,
        schema: {
          operationId: 'countEvents',
          summary: 'Counts, over time or by value',
          description:
            'For any filter. Over time the interval is cut into equal parts, each told by its start in UTC and ' +
            'exclusive of its end; they follow no calendar and no zone. Without `from` it begins with the first ' +
            'event that is kept, without `to` it ends now, or with the last event where the clock went back. ' +
            'Counting stops after some time, newest events first, ' +
            'and `complete` is then false. Recorded as `AUDIT_READ`.',
          tags,
          security,
          querystring: StatsQuery,
          response: {
            200: Type.Unsafe<Stats>({ $ref: 'Stats#', description: 'The counts' }),
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      async (request) => turns.read(userOf(request), () => readStats(fastify, request)),
    );

    fastify.get(
      '/audit/actions',
      {
        onRequest,
        schema: {
          operationId: 'listActions',
          summary: 'The registry of actions',
          description: 'Every action there is, with the JSON Schema of its `details`. Not recorded.',
          tags,
          security,
          querystring: NoQuery,
          response: {
            200: Type.Object(
              {
                data: Type.Array(
                  Type.Object({
                    action: Action,
                    description: Type.String(),
                    details: Type.Record(Type.String(), Type.Unknown(), { description: 'A JSON Schema.' }),
                  }),
                ),
              },
              {
                description: 'All actions',
                examples: [
                  {
                    data: [
                      {
                        action: 'JOINED',
                        description: 'A user entered a room.',
                        details: { type: 'object', properties: {} },
                      },
                    ],
                  },
                ],
              },
            ),
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      listActions,
    );

    fastify.get(
      '/audit/:seq',
      {
        onRequest,
        schema: {
          operationId: 'getEvent',
          summary: 'One event',
          description: 'The event of this number. The read is itself recorded as `AUDIT_READ`.',
          tags,
          security,
          params: Type.Object({
            seq: Type.Integer({ minimum: 0, description: 'The event’s position in the log.', examples: [0] }),
          }),
          querystring: NoQuery,
          response: {
            200: Type.Unsafe<AuditEvent>({ $ref: 'AuditEvent#', description: 'The event' }),
            ...problems(400, 401, 403, 404, 410, 429, 500, 503),
          },
        },
      },
      get,
    );

    async function list(request: FastifyRequest, reply: FastifyReply) {
      const scope = { path: '/audit', binding: {}, filter: {} };
      return turns.read(userOf(request), () => readPage(fastify, request, reply, scope));
    }

    async function listOwn(request: FastifyRequest, reply: FastifyReply) {
      const userId = userOf(request);
      const scope = { path: '/audit/me', binding: { me: userId }, filter: { user_id: [userId] } };
      return turns.read(userId, () => readPage(fastify, request, reply, scope));
    }

    async function get(request: FastifyRequest<{ Params: { seq: number } }>) {
      return turns.read(userOf(request), () => readEvent(request, request.params.seq));
    }

    async function readEvent(request: FastifyRequest, seq: number): Promise<AuditEvent> {
      const event = await read(getEvent(database.read, seq));
      await recordRead(audit, request, `/audit/${seq}`, {}, event === undefined ? 0 : 1);
      if (event !== undefined) return event;
      const { firstSeq } = await read(readLogState(database.read));
      throw seq < firstSeq
        ? new CodedError('expired', `The log keeps events from seq ${firstSeq} on.`, { parameter: 'seq' })
        : new CodedError('not_found', `There is no event ${seq} yet.`, { parameter: 'seq' });
    }

    async function listActions() {
      return {
        data: actionNames.map((action) => {
          const { description, details } = actions[action];
          return { action, description, details: { ...details } };
        }),
      };
    }
  },
  {
    name: 'audit-routes',
    dependencies: ['auth', 'database', 'audit', 'refusals', 'limits', 'turns', 'unread', 'validation'],
    encapsulate: true,
  },
);

function userOf({ principal }: FastifyRequest): string {
  if (principal === null) throw new Error('nobody asks');
  return principal.userId;
}
