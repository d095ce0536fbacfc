import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import {
  countEvents,
  getEvent,
  type LogState,
  listEvents,
  readLogState,
  type SeqRange,
} from '../db/events.ts';
import { read } from '../db/read.ts';
import { problems } from '../plugins/errors.ts';
import { addressOf } from '../plugins/refusals.ts';
import { actionNames, actions } from '../src/core/actions.ts';
import { type Cursor, decodeCursor, encodeCursor, filterKey } from '../src/core/cursor.ts';
import { CodedError } from '../src/core/errors.ts';
import { checkInterval, type Filter, parseFilter } from '../src/core/filter.ts';
import { Action, type AuditEvent, type AuditPage, AuditQuery, NoQuery } from '../src/core/schemas.ts';

const tags = ['audit'];
const security = [{ token: [] }];

/** Reading the log: every answer is recorded before it is sent. */
export default fp(
  async function auditRoutes(instance: FastifyInstance) {
    const fastify = instance.withTypeProvider<TypeBoxTypeProvider>();
    const { audit, auth, database } = fastify;
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
            200: Type.Unsafe<AuditPage>({ $ref: 'AuditPage#', description: 'A page of events' }),
            ...problems(400, 401, 403, 410, 429, 500, 503),
          },
        },
      },
      list,
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

    async function list(request: FastifyRequest<{ Querystring: AuditQuery }>, reply: FastifyReply) {
      const {
        limit = 50,
        order = 'desc',
        cursor: given,
        total,
        ...query
      } = request.query as Required<Pick<AuditQuery, 'limit'>> & { order: 'asc' | 'desc' } & AuditQuery;
      const filter = parseFilter(query);
      const filters = filterKey(query);
      const expected = { epoch: audit.epoch, order, filters };
      const cursor = given === undefined ? undefined : decodeCursor(audit.cursorKey, given, expected);
      const state = await read(
        readLogState(database.read, cursor === undefined ? filter : intervalOf(cursor)),
      );
      checkInterval(state.from, state.to);
      if (cursor !== undefined) checkKept(cursor, state);

      const range = rangeOf(order, state, cursor);
      const page = await read(listEvents(database.read, filter, range, order, limit));
      const count =
        total === 'exact' ? await read(countEvents(database.read, filter, wholeRange(state))) : undefined;
      await recordRead(request, '/audit', query, page.events.length);

      const next = nextCursor(expected, state, range, page, cursor);
      const next_cursor = next === null ? null : encodeCursor(audit.cursorKey, next);
      if (page.hasMore && next_cursor !== null) reply.header('link', linkTo(request, next_cursor));
      return {
        data: page.events,
        has_more: page.hasMore,
        next_cursor,
        first_seq: state.firstSeq,
        ...(state.from === undefined ? {} : { from: state.from }),
        ...(state.to === undefined ? {} : { to: state.to }),
        ...(count === undefined ? {} : { total: count }),
      };
    }

    async function get(request: FastifyRequest<{ Params: { seq: number } }>) {
      const { seq } = request.params;
      const event = await read(getEvent(database.read, seq));
      await recordRead(request, `/audit/${seq}`, {}, event === undefined ? 0 : 1);
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

    /** Promise 7: whoever reads the log is in the log, and before the answer is sent. */
    async function recordRead(
      request: FastifyRequest,
      path: string,
      filters: Record<string, unknown>,
      rows: number,
    ): Promise<void> {
      await audit.record({
        action: 'AUDIT_READ',
        user_id: request.principal?.userId ?? null,
        ip: addressOf(request),
        details: { path, filters: filters as Record<string, string | string[]>, rows },
      });
    }
  },
  {
    name: 'audit-routes',
    dependencies: ['auth', 'database', 'audit', 'refusals', 'validation'],
    encapsulate: true,
  },
);

/** The interval as the first page resolved it. */
function intervalOf({ from, to }: Cursor): Pick<Filter, 'from' | 'to'> {
  return {
    ...(from === undefined ? {} : { from: { at: from } }),
    ...(to === undefined ? {} : { to: { at: to } }),
  };
}

/** Refuses a cursor into what retention has dropped, rather than skipping it silently. */
function checkKept(cursor: Cursor, { firstSeq }: LogState): void {
  const wanted = cursor.order === 'asc' ? cursor.seq + 1 : cursor.seq;
  if (firstSeq > 0 && wanted < firstSeq) {
    throw new CodedError(
      'expired',
      `The log keeps events from seq ${firstSeq} on; the cursor points below.`,
      {
        parameter: 'cursor',
      },
    );
  }
}

const wholeRange = ({ firstSeq, nextSeq, fromSeq, toSeq }: LogState): SeqRange => ({
  from: fromSeq ?? firstSeq,
  to: toSeq ?? nextSeq,
});

/** What is left to be read of the interval. */
function rangeOf(order: 'asc' | 'desc', state: LogState, cursor: Cursor | undefined): SeqRange {
  const whole = wholeRange(state);
  if (cursor === undefined) return whole;
  if (order === 'desc') return { from: whole.from, to: Math.min(whole.to, cursor.seq) };
  // The head that the walk began with, so that its own AUDIT_READs do not keep it going for ever.
  const head = cursor.head === undefined ? whole.to : cursor.head + 1;
  return { from: Math.max(whole.from, cursor.seq + 1), to: Math.min(whole.to, head) };
}

/** Where the next page starts; null after the last one of a walk down. */
function nextCursor(
  { epoch, order, filters }: { epoch: string; order: 'asc' | 'desc'; filters: string },
  { from, to }: LogState,
  range: SeqRange,
  { events, hasMore }: { events: AuditEvent[]; hasMore: boolean },
  cursor: Cursor | undefined,
): Cursor | null {
  const last = events.at(-1);
  const common = { epoch, order, filters, from, to };
  if (order === 'desc') return hasMore && last !== undefined ? { ...common, seq: last.seq } : null;
  if (hasMore && last !== undefined) return { ...common, seq: last.seq, head: cursor?.head ?? range.to - 1 };
  // All of the range was looked at; the next page begins after it and takes the head of its time.
  return { ...common, seq: Math.max(range.to - 1, cursor?.seq ?? -1) };
}

/** RFC 8288: where the next page is, relative to this server. */
function linkTo(request: FastifyRequest, cursor: string): string {
  const url = new URL(request.url, 'http://localhost');
  url.searchParams.set('cursor', cursor);
  return `<${url.pathname}${url.search}>; rel="next"`;
}
