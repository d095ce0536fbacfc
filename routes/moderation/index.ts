import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { findBan, isInFuture, listBans } from '../../db/bans.ts';
import { read } from '../../db/read.ts';
import { findSessionUser } from '../../db/sessions.ts';
import { addressOf } from '../../plugins/addresses.ts';
import { problems } from '../../plugins/errors.ts';
import { Ban, BansQuery } from '../../src/core/bans.ts';
import { decodeCursor, encodeCursor, filterKey } from '../../src/core/cursor.ts';
import { CodedError } from '../../src/core/errors.ts';
import { NoQuery } from '../../src/core/schemas.ts';
import { isName, isStorable, MAX_NAME_BYTES } from '../../src/core/text.ts';
import { parseDateTime } from '../../src/core/timestamps.ts';
import { BanBody, OptionalReason, Recorded, SessionParams, UserParams } from './schemas.ts';

const tags = ['moderation'];
const security = [{ token: [] }];

type WithReason = { Querystring: OptionalReason; Body: OptionalReason };

const invalid = (parameter: string, message: string): CodedError =>
  new CodedError('invalid_parameter', `“${parameter}” ${message}.`, { parameter });

/** What administrators do to users; each act is on record before it is answered. */
export default fp(
  async function moderationRoutes(instance: FastifyInstance) {
    const fastify = instance.withTypeProvider<TypeBoxTypeProvider>();
    const { audit, auth, database } = fastify;
    const onRequest = auth.requireScope('admin');

    fastify.addHook('onSend', async (_request, reply) => {
      reply.header('cache-control', 'no-store');
    });

    fastify.delete(
      '/sessions/:session_id',
      {
        onRequest,
        preValidation: withoutReason,
        schema: {
          operationId: 'kickSession',
          summary: 'End a session',
          description:
            'Records `USER_KICKED`. Nothing that the session says goes on record after it, and its connection is ' +
            'closed with 4403, on whichever instance it is. The user may connect again. The reason stands in the ' +
            'body or in the query, not in both; it may be left out.',
          tags,
          security,
          params: SessionParams,
          querystring: OptionalReason,
          body: OptionalReason,
          response: {
            200: Recorded('The kick is on record'),
            ...problems(400, 401, 403, 404, 429, 500, 503),
          },
        },
      },
      kick,
    );

    fastify.get(
      '/bans',
      {
        onRequest,
        schema: {
          operationId: 'listBans',
          summary: 'Who is banned now',
          description: 'The bans in force, in the order in which they were pronounced. Not recorded.',
          tags,
          security,
          querystring: BansQuery,
          response: {
            200: Type.Object(
              {
                data: Type.Array(Ban),
                has_more: Type.Boolean({ description: 'Whether there are more bans.' }),
                next_cursor: Type.Union([Type.String(), Type.Null()], { description: 'For the next page.' }),
              },
              { description: 'A page of bans' },
            ),
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      list,
    );

    fastify.put(
      '/bans/:user_id',
      {
        onRequest,
        schema: {
          operationId: 'banUser',
          summary: 'Ban a user',
          description:
            'Records `USER_BANNED`, closes all sessions of the user with 4403, on all ' +
            'instances, and refuses the user everywhere with `banned` until the ban ends or is lifted. A ban takes ' +
            'the place of an earlier one. The user need not have been seen before. The reason is shown to them.',
          tags,
          security,
          params: UserParams,
          querystring: NoQuery,
          body: BanBody,
          response: {
            200: Type.Object(Ban.properties, { ...Ban, description: 'The ban is in force' }),
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      ban,
    );

    fastify.delete(
      '/bans/:user_id',
      {
        onRequest,
        preValidation: withoutReason,
        schema: {
          operationId: 'unbanUser',
          summary: 'Lift a ban',
          description:
            'Records `USER_UNBANNED`. 404 when the user is not banned, or is no longer. The reason stands in the body ' +
            'or in the query, not in both; it may be left out.',
          tags,
          security,
          params: UserParams,
          querystring: OptionalReason,
          body: OptionalReason,
          response: { 200: Recorded('The ban is lifted'), ...problems(400, 401, 403, 404, 429, 500, 503) },
        },
      },
      unban,
    );

    async function kick(request: FastifyRequest<WithReason & { Params: { session_id: string } }>) {
      const reason = reasonOf(request);
      const session_id = request.params.session_id.toLowerCase();
      const target_user_id = await read(findSessionUser(database.moderation, session_id));
      if (target_user_id === undefined) {
        throw new CodedError('not_found', 'There is no open session of this id.', {
          parameter: 'session_id',
        });
      }
      return audit.record({
        action: 'USER_KICKED',
        ...by(request),
        target_user_id,
        session_id,
        details: { reason },
      });
    }

    async function list(request: FastifyRequest<{ Querystring: BansQuery }>) {
      const { limit = 50, cursor: given } = request.query;
      const expected = { epoch: audit.epoch, order: 'asc' as const, filters: filterKey({ bans: '' }) };
      const after = given === undefined ? -1 : decodeCursor(audit.cursorKey, given, expected).seq;
      const { bans, hasMore } = await read(listBans(database.moderation, after, limit));
      const last = bans.at(-1);
      return {
        data: bans,
        has_more: hasMore,
        next_cursor:
          hasMore && last !== undefined
            ? encodeCursor(audit.cursorKey, { ...expected, seq: last.seq })
            : null,
      };
    }

    async function ban(request: FastifyRequest<{ Params: UserParams; Body: BanBody }>): Promise<Ban> {
      const user_id = checkUser(request.params.user_id);
      const banned_by = request.principal?.userId ?? null;
      // Whoever could do it could not undo it.
      if (user_id === banned_by) throw invalid('user_id', 'is yourself; nobody can ban themselves');
      const reason = checkReason(request.body.reason);
      const until = await checkEnd(request.body.until);
      const { seq, timestamp: banned_at } = await audit.record({
        action: 'USER_BANNED',
        ...by(request),
        target_user_id: user_id,
        details: { reason, until },
      });
      return { user_id, reason, until, banned_by, banned_at, seq };
    }

    async function unban(request: FastifyRequest<WithReason & { Params: UserParams }>) {
      const reason = reasonOf(request);
      const target_user_id = checkUser(request.params.user_id);
      if ((await read(findBan(database.moderation, target_user_id))) === undefined) {
        throw new CodedError('not_found', 'This user is not banned.', { parameter: 'user_id' });
      }
      return audit.record({ action: 'USER_UNBANNED', ...by(request), target_user_id, details: { reason } });
    }

    /** The end of a ban in the log’s text form; null for none. */
    async function checkEnd(until: string | undefined): Promise<string | null> {
      if (until === undefined) return null;
      const at = parseDateTime(until);
      if (at === undefined) {
        throw invalid('until', 'must be an RFC 3339 date-time with an offset and at most six decimals');
      }
      if (!(await read(isInFuture(database.moderation, at)))) throw invalid('until', 'must be in the future');
      return at;
    }
  },
  {
    name: 'moderation-routes',
    dependencies: ['auth', 'database', 'audit', 'refusals', 'validation', 'moderation'],
    encapsulate: true,
  },
);

/** The administrator. */
const by = (request: FastifyRequest) => ({
  user_id: request.principal?.userId ?? null,
  ip: addressOf(request),
});

/** A request without a body asks for an act without a reason. */
async function withoutReason(request: FastifyRequest): Promise<void> {
  request.body ??= {};
}

/** Why, by the body or the query; null when neither says it. */
function reasonOf({ query, body }: Pick<FastifyRequest<WithReason>, 'query' | 'body'>): string | null {
  if (query.reason !== undefined && body.reason !== undefined) {
    throw invalid('reason', 'stands in the body and in the query; one is enough');
  }
  return checkReason(query.reason ?? body.reason ?? null);
}

function checkReason<T extends string | null>(reason: T): T {
  if (reason !== null && !isStorable(reason)) throw invalid('reason', 'holds NUL or a lone surrogate');
  return reason;
}

function checkUser(user_id: string): string {
  if (!isName(user_id)) {
    throw invalid('user_id', `must be 1-${MAX_NAME_BYTES} bytes of UTF-8 without control characters`);
  }
  return user_id;
}
