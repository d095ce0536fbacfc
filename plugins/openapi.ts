import swagger from '@fastify/swagger';
import swaggerUi from '@fastify/swagger-ui';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { StreamEnded, StreamOpened, StreamReset } from '../src/core/event-stream.ts';
import { AuditEvent, AuditPage, Problem, Stats } from '../src/core/schemas.ts';
import { DOCS_POLICY } from '../src/core/security-headers.ts';

export type OpenapiOptions = { version: string };

const description = `Administrators read the audit log of a WebSocket chat server here.

Nothing is delivered to a chat before its event is durably on record, \`seq\` has no gaps and is the order of
the commits, and whoever reads the log is recorded in it (\`AUDIT_READ\`, \`AUDIT_STREAMED\`).

Chat itself speaks WebSocket at \`/ws\`; its frames are described in docs/websocket.md.`;

/** Headers that answers of many operations have, beside those of every answer. */
const headers = {
  RateLimit: {
    description:
      'How things stand with a quota: what is left, and the seconds until it is whole again ' +
      '(draft-ietf-httpapi-ratelimit-headers-11). Absent where no limit is set, or nothing was counted.',
    schema: { type: 'string' },
    example: '"queries";r=299;t=60',
  },
  'RateLimit-Policy': {
    description: 'The quota, and the seconds that it is for.',
    schema: { type: 'string' },
    example: '"queries";q=300;w=60',
  },
  'Retry-After': {
    description:
      'Seconds until it is worth asking again; absent where nobody knows, or it would be no better.',
    schema: { type: 'integer', minimum: 0 },
    example: 5,
  },
  'WWW-Authenticate': {
    description: 'How to ask: with a token.',
    schema: { type: 'string', const: 'Bearer' },
  },
} as const;

type HeaderRefs = Record<string, { $ref: string }>;

/** What is looked at of a description’s operations. */
type Operations = Record<
  string,
  {
    parameters?: { required?: boolean; example?: unknown; schema: object }[];
    security?: object[];
    requestBody?: { required?: boolean; content: Record<string, { schema?: { required?: string[] } }> };
    responses: Record<string, { headers?: HeaderRefs }>;
  }
>;

/**
 * Moves the examples of what may be left out into its schema. Those beside a parameter are what Swagger UI fills in, and a
 * request with an example of every filter finds nothing, or is refused.
 */
function moveExamples(paths: Record<string, Operations>): void {
  for (const { parameters = [] } of Object.values(paths).flatMap((each) => Object.values(each))) {
    for (const parameter of parameters) {
      const { required, example, schema } = parameter;
      if (required === true || example === undefined) continue;
      delete parameter.example;
      parameter.schema = { ...schema, examples: [example] };
    }
  }
}

/** The headers that an answer with a status has. */
function headersOf(status: string, isCounted: boolean): (keyof typeof headers)[] {
  return [
    ...(status === '401' ? (['WWW-Authenticate'] as const) : []),
    ...(status === '429' || status === '503' ? (['Retry-After'] as const) : []),
    ...(isCounted ? (['RateLimit', 'RateLimit-Policy'] as const) : []),
  ];
}

/**
 * Answers that come before anything is counted. A handshake is counted before its token is looked at, and tells nothing when
 * it is one.
 */
const uncounted = { request: ['401', '403'], handshake: ['101', '400', '426'] };

/** Says which headers come with an answer, for schemas know of bodies alone. */
function addHeaders(paths: Record<string, Operations>): void {
  for (const { security = [], responses } of Object.values(paths).flatMap((each) => Object.values(each))) {
    for (const [status, response] of Object.entries(responses)) {
      const before = '101' in responses ? uncounted.handshake : uncounted.request;
      const names = headersOf(status, security.length > 0 && !before.includes(status));
      if (names.length === 0) continue;
      const refs = names.map((name) => [name, { $ref: `#/components/headers/${name}` }]);
      response.headers = { ...response.headers, ...Object.fromEntries(refs) };
    }
  }
}

/** A body of which nothing is required may be left out; the generator calls every body required. */
function markOptionalBodies(paths: Record<string, Operations>): void {
  for (const { requestBody } of Object.values(paths).flatMap((operations) => Object.values(operations))) {
    if (requestBody === undefined) continue;
    const schemas = Object.values(requestBody.content).map(({ schema }) => schema);
    requestBody.required = schemas.some((schema) => (schema?.required ?? []).length > 0);
  }
}

/** OpenAPI 3.1 made from the schemas of the routes, and Swagger UI over it. */
export default fp(
  async function openapi(fastify: FastifyInstance, { version }: OpenapiOptions) {
    const schemas = [AuditEvent, AuditPage, Stats, StreamOpened, StreamReset, StreamEnded, Problem];
    for (const schema of schemas) fastify.addSchema(schema);
    await fastify.register(swagger, {
      openapi: {
        openapi: '3.1.0',
        info: {
          title: 'Minutebook',
          version,
          description,
          license: { name: 'MIT', identifier: 'MIT' },
          contact: { name: 'Minutebook’s developers' },
        },
        servers: [{ url: '/', description: 'This server' }],
        tags: [
          { name: 'audit', description: 'The log' },
          { name: 'chat', description: 'The WebSocket' },
          { name: 'moderation', description: 'What administrators do to users' },
          { name: 'health', description: 'Whether the server lives, and whether it can work' },
        ],
        components: {
          headers,
          securitySchemes: {
            token: {
              type: 'http',
              scheme: 'bearer',
              bearerFormat: 'JWT',
              description:
                'A JWT whose `scope` holds what the route asks for: `chat`, `audit:read`, `admin`.',
            },
          },
        },
      },
      convertConstToEnum: false,
      transformObject: (document) => {
        if (!('openapiObject' in document)) return document.swaggerObject;
        const paths = (document.openapiObject.paths ?? {}) as Record<string, Operations>;
        markOptionalBodies(paths);
        moveExamples(paths);
        addHeaders(paths);
        return document.openapiObject;
      },
      refResolver: {
        buildLocalReference: (json, _base, _fragment, index) =>
          typeof json.$id === 'string' ? json.$id : `def-${index}`,
      },
    });
    await fastify.register(async (docs) => {
      // Of its texts, these two leave open which bytes they are in.
      docs.addHook('onSend', async (_request, reply) => {
        const type = String(reply.getHeader('content-type'));
        if (/(yaml|\+xml)$/.test(type)) reply.type(`${type}; charset=utf-8`);
      });
      await docs.register(swaggerUi, {
        routePrefix: '/docs',
        staticCSP: DOCS_POLICY,
        uiConfig: { persistAuthorization: false, tryItOutEnabled: true, displayRequestDuration: true },
      });
    });
    const hide = { schema: { hide: true } };
    fastify.get('/openapi.json', hide, () => fastify.swagger());
    fastify.get('/openapi.yaml', hide, (_request, reply) =>
      reply.type('application/yaml; charset=utf-8').send(fastify.swagger({ yaml: true })),
    );
  },
  { name: 'openapi', dependencies: ['errors'] },
);
