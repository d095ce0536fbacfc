import Fastify, { type FastifyInstance, type FastifyReply, type FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { requireLoopbackName } from '../plugins/auth/origins.ts';
import errors, { answerMalformed, codeOfMalformed, problems } from '../plugins/errors.ts';
import headers from '../plugins/headers.ts';
import { isLoopback } from '../src/config.ts';
import { canonicalAddress } from '../src/core/address.ts';
import { CodedError } from '../src/core/errors.ts';
import { NoQuery } from '../src/core/schemas.ts';
import { SetupError } from '../src/core/setup-error.ts';

export type MetricsRouteOptions = {
  host: string;
  /** A port of its own; undefined: the server’s port, for this machine only. */
  port: number | undefined;
};

/** What proxies add to the requests that they pass on. */
const FORWARDED = ['forwarded', 'x-forwarded-for', 'x-real-ip', 'via'];

/**
 * Refuses who does not sit on this machine. Only the connection says so, never a header; but a header may say that
 * a proxy on this machine speaks for somebody else.
 */
async function requireThisMachine({ socket, headers }: FastifyRequest): Promise<void> {
  const peer = canonicalAddress(socket.remoteAddress ?? '');
  if (peer === undefined || !isLoopback(peer) || FORWARDED.some((name) => headers[name] !== undefined)) {
    throw new CodedError(
      'forbidden',
      '/metrics on this port is for this machine only; METRICS_PORT opens a port for others.',
    );
  }
}

/** `/metrics`, on the server’s own port or on another one. */
export default fp(
  async function metricsRoutes(fastify: FastifyInstance, { host, port }: MetricsRouteOptions) {
    const { auth, readMetrics } = fastify;
    // Asked every few seconds.
    const logLevel = 'warn';

    async function metrics(_request: FastifyRequest, reply: FastifyReply): Promise<string> {
      reply.type('text/plain; version=0.0.4; charset=utf-8').header('cache-control', 'no-store');
      return readMetrics();
    }

    if (port === undefined) {
      fastify.get(
        '/metrics',
        {
          logLevel,
          onRequest: requireThisMachine,
          schema: {
            operationId: 'metrics',
            summary: 'What the server measures, for Prometheus',
            description:
              'For clients on the same machine only. With `METRICS_PORT` it is served on that port instead, and ' +
              'not here. docs/operations.md says what to watch.',
            tags: ['health'],
            security: [],
            querystring: NoQuery,
            response: {
              200: {
                description: 'The text format of Prometheus, version 0.0.4',
                content: { 'text/plain': { schema: Type.String() } },
              },
              ...problems(400, 503),
              403: { ...problems(403)[403], description: 'Asked from another machine' },
            },
          },
        },
        metrics,
      );
      return;
    }

    const server: FastifyInstance = Fastify({
      loggerInstance: fastify.log,
      return503OnClosing: false,
      requestTimeout: 15_000,
      forceCloseConnections: true,
      clientErrorHandler: (error, socket) => {
        fastify.noteMalformed(codeOfMalformed(error, socket), socket);
        answerMalformed(error, socket);
      },
      http: { requireHostHeader: false },
    });
    await server.register(headers, {});
    await server.register(errors);
    if (auth.development) server.addHook('onRequest', requireLoopbackName);
    server.addHook('onResponse', async (request, reply) => fastify.noteRefusal(request, reply));
    server.get('/metrics', { logLevel }, metrics);

    // When all else is ready, and before the server itself listens.
    fastify.addHook('onReady', async () => {
      try {
        await server.listen({
          host,
          port,
          listenTextResolver: (address) => `metrics are served on ${address}/metrics`,
        });
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        throw new SetupError(
          code === 'EADDRINUSE'
            ? `Port ${port} on ${host} is in use. Set METRICS_PORT to another, or to 0 for any.`
            : `/metrics cannot be served on HOST=${host} METRICS_PORT=${port}: ${message}.`,
          error,
        );
      }
    });
    fastify.addHook('onClose', () => server.close());
  },
  { name: 'metrics-routes', dependencies: ['auth', 'metrics'], encapsulate: true },
);
