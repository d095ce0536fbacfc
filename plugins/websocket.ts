import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import websocketPlugin from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError } from '../src/core/errors.ts';
import { checkHandshake } from '../src/core/handshake.ts';
import { SUBPROTOCOL } from '../src/core/subprotocols.ts';

/** How long a peer may take to answer a close frame before its connection is cut. */
export const CLOSE_GRACE_MS = 1_000;
/** How long one that is under way when the server stops may take to be refused; it may be asking the database. */
const LAST_HANDSHAKES_MS = 2_000;

/**
 * Missing from ws’s types. Also for who says goodbye and stays: ws would wait for 30 s, and their end would be on
 * record no sooner.
 */
const untyped = { closeTimeout: CLOSE_GRACE_MS };

export type WebsocketOptions = {
  /** The longest frame in bytes; 0: no limit. */
  maxFrameBytes: number;
  /** The most fragments of a message; 0: no limit. */
  maxFragments: number;
  /** How long a handshake may take, from the request to the open WebSocket or the end of the connection. */
  handshakeMs: number;
};

/** Ends the sessions of a plugin in good order; resolves when their ends are on record. */
export type Drain = () => Promise<void>;

/** Frames that went through the WebSockets, since the start. Counted by who reads and writes them. */
export type Traffic = { framesReceived: number; framesSent: number };

/** What the WebSockets are at; bytes since the start, as on the wire, with the handshakes. */
export type SocketStats = { open: number; bytesReceived: number; bytesSent: number };

declare module 'fastify' {
  interface FastifyInstance {
    traffic: Traffic;
    socketStats: () => SocketStats;
    /** Registers what has to happen to open sockets when the server stops. */
    onSocketDrain: (drain: Drain) => void;
    /** Lets a handshake take longer than others, for its answer has to wait. */
    keepHandshake: (socket: Socket) => void;
  }
  interface FastifyContextConfig {
    /** Whether a WebSocket may be opened here. */
    websocket?: boolean;
  }
}

/** WebSocket with limits, and an orderly end: open sessions are closed before anything they need is. */
export default fp(
  async function websocket(
    fastify: FastifyInstance,
    { maxFrameBytes, maxFragments, handshakeMs }: WebsocketOptions,
  ) {
    const drains: Drain[] = [];
    fastify.decorate('onSocketDrain', (drain) => drains.push(drain));

    /** Connections that asked for an upgrade and are still there. Node counts them among those that keep a server open. */
    const upgraded = new Set<Socket>();
    /** Those whose WebSocket is not open yet, with what cuts them in the end. */
    const deadlines = new Map<Duplex, NodeJS.Timeout>();
    const noLongerWaits = (stream: Duplex): void => {
      clearTimeout(deadlines.get(stream));
      deadlines.delete(stream);
      if (deadlines.size === 0) noneWaits?.resolve();
    };
    // It stays under way, so that the end of the server waits for its answer.
    fastify.decorate('keepHandshake', (socket) => clearTimeout(deadlines.get(socket)));
    /** Resolved when no handshake is under way, once the server is stopping. */
    let noneWaits: PromiseWithResolvers<void> | undefined;
    /** Handshakes under way are answered, but not waited for any longer than this. */
    async function handshakesEnded(): Promise<void> {
      if (deadlines.size === 0) return;
      noneWaits = Promise.withResolvers();
      await Promise.race([noneWaits.promise, delay(LAST_HANDSHAKES_MS, undefined, { ref: false })]);
    }
    /** The bytes of connections that are closed. */
    const past = { received: 0, sent: 0 };
    function forget(this: Socket): void {
      upgraded.delete(this);
      past.received += this.bytesRead;
      past.sent += this.bytesWritten;
      noLongerWaits(this);
    }
    fastify.server.on('upgrade', ({ socket: stream }: IncomingMessage) => {
      upgraded.add(stream);
      // A socket that is destroyed has forgotten whose it was unless it was asked before, and the record of a refused
      // handshake says whose.
      void stream.remoteAddress;
      deadlines.set(
        stream,
        setTimeout(() => stream.destroy(), handshakeMs),
      );
      stream.on('close', forget);
    });

    await fastify.register(websocketPlugin, {
      options: {
        maxPayload: maxFrameBytes,
        // A message in a thousand fragments pins a thousand buffers (CVE-2026-48779).
        maxFragments,
        maxBufferedChunks: 1_024,
        perMessageDeflate: false,
        clientTracking: false,
        // RFC 6455 4.2.2: one of those offered, or none.
        handleProtocols: (offers) => (offers.has(SUBPROTOCOL) ? SUBPROTOCOL : false),
        ...untyped,
      },
      // The plugin's own preClose closes without a code and waits for dead peers, and one registered elsewhere
      // would come too late.
      preClose: (done) => {
        Promise.all([handshakesEnded(), ...drains.map((drain) => drain())])
          .catch((error: Error) => fastify.log.error({ err: error }, 'sessions could not be ended in order'))
          .finally(() => {
            // Handshakes that were refused, or came while the sessions were ended.
            for (const stream of upgraded) stream.destroy();
            done();
          });
      },
      // Only for what a handler throws; errors of the socket are for whoever has it (see the connection of a chat).
      errorHandler: (error, socket, request) => {
        request.log.error({ req: request, err: error }, 'a WebSocket could not be handled');
        socket.terminate();
      },
    });
    /** Open WebSockets. */
    let open = 0;
    const oneLess = (): void => {
      open -= 1;
    };
    /** What would answer a handshake that is refused. */
    const responses = new WeakMap<IncomingMessage, ServerResponse>();
    fastify.websocketServer.on('connection', (socket, request) => {
      noLongerWaits(request.socket);
      open += 1;
      socket.on('close', oneLess);
      // Else each connection would keep its request, with all that Fastify hangs on it, for as long as it lives.
      responses.get(request)?.detachSocket(request.socket);
    });

    fastify.decorate('traffic', { framesReceived: 0, framesSent: 0 });
    fastify.decorate('socketStats', () => {
      let { received, sent } = past;
      for (const { bytesRead, bytesWritten } of upgraded) {
        received += bytesRead;
        sent += bytesWritten;
      }
      return { open, bytesReceived: received, bytesSent: sent };
    });

    // The plugin would answer 101 at any route, and then close.
    fastify.addHook('onRequest', async (request, reply) => {
      if (request.ws && request.routeOptions.config.websocket !== true) {
        throw new CodedError('not_found', 'There is no WebSocket at this address.');
      }
      if (!request.ws) return;
      responses.set(request.raw, reply.raw);
      checkHandshake(request.raw);
    });
  },
  { name: 'websocket', dependencies: ['errors', 'tail'] },
);
