import type { TypeBoxTypeProvider } from '@fastify/type-provider-typebox';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { problems } from '../../plugins/errors.ts';
import { tellQuota } from '../../plugins/limits.ts';
import { parsePosition } from '../../src/core/event-stream.ts';
import { parseFilter } from '../../src/core/filter.ts';
import { StreamQuery } from '../../src/core/schemas.ts';

const LAST_EVENT_ID = 'Last-Event-ID';

const HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  // RFC 9111 5.2.2.6: nobody on the way may compress it, and with that gather it.
  'cache-control': 'no-store, no-transform',
  // What nginx and its like are told by.
  'x-accel-buffering': 'no',
};

const description = `Server-Sent Events (WHATWG HTML 9.2): the events that match, as they are committed, each once and in order. The
filters are those of \`GET /audit\`. \`from\` begins in history; \`to\` ends the stream once nothing before it can
follow. Each event has an \`id\`; send the last one back to go on without loss or repeat, on any instance.

| \`event:\` | \`data:\` | when |
|---|---|---|
| \`open\` | \`StreamOpened\` | the first block; its \`id\` is the place that the stream goes on from |
| \`reset\` | \`StreamReset\` | after \`open\`, when the stream cannot go on where its reader left off |
| \`audit\` | \`AuditEvent\` | for each event that matches |
| \`end\` | \`StreamEnded\` | the last block, when the interval is over |

Every 15 s a block without an event, only a comment and an \`id\`, tells how far the log was looked through: go on
from there, and nothing is searched twice. A reader that is too slow, whose token expires or whose user is banned is
cut off. Each stream is recorded as \`AUDIT_STREAMED\`, when it opens and when it ends. \`EventSource\` cannot send
a token: use \`fetch\`. The answer is an event stream whatever \`Accept\` asks for; \`HEAD\` gives its headers alone.`;

/** Following the log live. */
export default fp(
  async function auditStreamRoutes(instance: FastifyInstance) {
    const fastify = instance.withTypeProvider<TypeBoxTypeProvider>();
    const { auth, limits, streams } = fastify;

    fastify.get(
      '/audit/stream',
      {
        onRequest: [
          auth.requireScope('audit:read'),
          async (request, reply) => {
            if (request.method !== 'HEAD') limits.openStream(request, reply);
          },
        ],
        schema: {
          operationId: 'streamEvents',
          summary: 'Events as they happen',
          description,
          tags: ['audit'],
          security: [{ token: [] }],
          querystring: StreamQuery,
          headers: Type.Object({
            [LAST_EVENT_ID]: Type.Optional(
              Type.String({ description: 'The last `id` that was received: goes on after it.' }),
            ),
          }),
          response: {
            200: {
              description: 'A stream of events, each with one of these as its data',
              content: {
                'text/event-stream': {
                  schema: Type.Union(
                    ['AuditEvent', 'StreamOpened', 'StreamReset', 'StreamEnded'].map((name) =>
                      Type.Unsafe<unknown>({ $ref: `${name}#` }),
                    ),
                  ),
                },
              },
            },
            ...problems(400, 401, 403, 429, 500, 503),
          },
        },
      },
      stream,
    );

    async function stream(request: FastifyRequest, reply: FastifyReply) {
      const { after: parameter, ...filters } = request.query as StreamQuery;
      const filter = parseFilter(filters);
      const header = request.headers['last-event-id'];
      // Both are checked, also where the header wins.
      const asked = parameter === undefined ? undefined : parsePosition(parameter, 'after');
      const after = header === undefined ? asked : parsePosition(String(header), LAST_EVENT_ID);
      if (request.method === 'HEAD') return reply.headers(HEADERS).send();
      await streams.open(request, { filter, filters: filters as Record<string, string>, after }, () =>
        respond(request, reply),
      );
      return reply;
    }
  },
  {
    name: 'audit-stream-routes',
    dependencies: ['auth', 'limits', 'streams', 'validation'],
    encapsulate: true,
  },
);

/** Begins a response that Fastify has no more to do with. */
function respond(request: FastifyRequest, reply: FastifyReply) {
  reply.headers(HEADERS);
  tellQuota(request, reply);
  reply.hijack();
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value);
  }
  return reply.raw.writeHead(200);
}
