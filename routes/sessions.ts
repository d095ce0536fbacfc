import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { read } from '../db/read.ts';
import { listSessions } from '../db/sessions.ts';
import { problems } from '../plugins/errors.ts';
import { decodeCursor, encodeCursor, filterKey } from '../src/core/cursor.ts';
import { ChatSession, SessionsQuery as Querystring, type SessionsQuery } from '../src/core/schemas.ts';

/** Who is connected now, on whichever instance. */
export default fp(
  async function sessionRoutes(instance: FastifyInstance) {
    const fastify = instance.withTypeProvider<TypeBoxTypeProvider>();
    const { audit, auth, checkUnread, database, turns } = fastify;

    fastify.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });

    fastify.get(
      '/sessions',
      {
        onRequest: auth.requireScope('audit:read'),
        schema: {
          operationId: 'listSessions',
          summary: 'Who is connected now',
          description:
            'The open sessions of all instances, in the order in which they connected. Sessions of an instance ' +
            'that died are listed until another one has recorded their ends. Not recorded.',
          tags: ['chat'],
          security: [{ token: [] }],
          querystring: Querystring,
          response: {
            200: Type.Object(
              {
                data: Type.Array(ChatSession),
                has_more: Type.Boolean({ description: 'Whether more sessions match.' }),
                next_cursor: Type.Union([Type.String(), Type.Null()], { description: 'For the next page.' }),
              },
              { description: 'A page of sessions' },
            ),
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      list,
    );

    async function list(request: FastifyRequest<{ Querystring: SessionsQuery }>) {
      const { limit = 50, cursor: given, ...filter } = request.query;
      const expected = {
        epoch: audit.epoch,
        order: 'asc' as const,
        filters: filterKey({ sessions: '', ...filter }),
      };
      const after = given === undefined ? -1 : decodeCursor(audit.cursorKey, given, expected).seq;
      const { sessions, hasMore } = await turns.read(request.principal?.userId ?? '', () => {
        checkUnread(request);
        return read(listSessions(database.read, filter, after, limit));
      });
      const last = sessions.at(-1);
      const next = hasMore && last !== undefined ? { ...expected, seq: last.connected_seq } : undefined;
      return {
        data: sessions,
        has_more: hasMore,
        next_cursor: next === undefined ? null : encodeCursor(audit.cursorKey, next),
      };
    }
  },
  {
    name: 'session-routes',
    dependencies: ['auth', 'database', 'audit', 'limits', 'turns', 'unread', 'validation'],
    encapsulate: true,
  },
);
