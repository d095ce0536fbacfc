import { type IncomingMessage, METHODS, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** Requests of a connection that may follow one whose answer has not left yet (RFC 9112 9.3.2). */
const MAX_PIPELINED = 4;

/** The code of the error that a connection is cut with which asks for more. */
export const PIPELINED = 'PIPELINED';

const KNOWN = new Set(METHODS);

/**
 * Keeps from Fastify what Node reads and we have nothing to do with, and hands it to whoever answers bytes that are no
 * request:
 *
 * - A tunnel (CONNECT), which Node would cut without a word.
 * - The methods of RTSP, which Node's parser knows as well. Fastify's router takes them for a fault of its own: it runs no
 *   hook then, and logs all its routes.
 * - More requests than a few that do not wait for their answers. Node begins all that are in one packet at once, 1,500 of
 *   them, and keeps what is answered, open files included, until those before it have left.
 */
export function guardRequests(server: Server): void {
  /** How many wait behind another one, of connections where any did. */
  const waiting = new WeakMap<Socket, number>();
  const refuse = (socket: Socket, code?: string): void => {
    // What stood in the same packet comes after all.
    if (!socket.destroyed)
      server.emit('clientError', Object.assign(new Error('not for us'), { code }), socket);
  };

  /** Whether a request may be begun. */
  function take(socket: Socket, response: ServerResponse): boolean {
    // Only the answer to the first of them has the connection.
    if (response.socket !== null) return true;
    const before = waiting.get(socket) ?? 0;
    if (before >= MAX_PIPELINED) return false;
    waiting.set(socket, before + 1);
    response.once('close', () => waiting.set(socket, (waiting.get(socket) ?? 1) - 1));
    return true;
  }

  server.on('connect', ({ socket }: IncomingMessage) => refuse(socket));
  const listeners = server.listeners('request');
  server.removeAllListeners('request');
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    const { socket } = request;
    if (!KNOWN.has(request.method ?? '')) refuse(socket);
    else if (!take(socket, response)) refuse(socket, PIPELINED);
    else for (const listen of listeners) listen.call(server, request, response);
  });
}
