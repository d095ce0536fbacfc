import { subscribe } from 'node:diagnostics_channel';
import type { FastifyInstance } from 'fastify';

// Loaded into a running server with --import: errors that nobody foresaw. The liveness probe's handler throws one, and
// a signal that the server does not take for its own throws one that is in nobody's hands.

const UNFORESEEN = 'nobody foresaw this';

subscribe('fastify.initialization', (message) => {
  const { fastify } = message as { fastify: FastifyInstance };
  fastify.addHook('onRoute', (route) => {
    if (route.url !== '/health/live') return;
    route.handler = () => {
      throw new Error(UNFORESEEN);
    };
  });
});
process.on('SIGWINCH', () => {
  throw new Error(UNFORESEEN);
});
process.on('SIGCONT', () => {
  void Promise.reject(new Error(UNFORESEEN));
});
