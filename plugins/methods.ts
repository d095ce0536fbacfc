import { type IncomingMessage, METHODS, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

const KNOWN = new Set(METHODS);

/**
 * Keeps from Fastify what Node reads and we have nothing to do with, and hands it to whoever answers bytes that are no
 * request:
 *
 * - A tunnel (CONNECT), which Node would cut without a word.
 * - The methods of RTSP, which Node's parser knows as well. Fastify's router takes them for a fault of its own: it runs no
 *   hook then, and logs all its routes.
 */
export function guardMethods(server: Server): void {
  const refuse = (socket: Socket): void => {
    // What stood in the same packet comes after all.
    if (!socket.destroyed) server.emit('clientError', new Error('not for us'), socket);
  };
  server.on('connect', ({ socket }: IncomingMessage) => refuse(socket));
  const listeners = server.listeners('request');
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    if (!KNOWN.has(request.method ?? '')) refuse(request.socket);
    else for (const listen of listeners) listen.call(server, request, response);
  });
}
