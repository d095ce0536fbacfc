import websocketPlugin from '@fastify/websocket';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';

/** How long a peer may take to answer a close frame before its connection is cut. */
export const CLOSE_GRACE_MS = 1_000;

export type WebsocketOptions = {
  /** The longest frame in bytes; 0: no limit. */
  maxFrameBytes: number;
};

/** Ends the sessions of a plugin in good order; resolves when their ends are on record. */
export type Drain = () => Promise<void>;

declare module 'fastify' {
  interface FastifyInstance {
    /** Registers what has to happen to open sockets when the server stops. */
    onSocketDrain: (drain: Drain) => void;
  }
}

/** WebSocket with limits, and an orderly end: open sessions are closed before anything they need is. */
export default fp(
  async function websocket(fastify: FastifyInstance, { maxFrameBytes }: WebsocketOptions) {
    const drains: Drain[] = [];
    fastify.decorate('onSocketDrain', (drain) => drains.push(drain));
    await fastify.register(websocketPlugin, {
      options: {
        maxPayload: maxFrameBytes,
        // A message in a thousand fragments pins a thousand buffers (CVE-2026-48779).
        maxFragments: 64,
        maxBufferedChunks: 1_024,
        perMessageDeflate: false,
        clientTracking: false,
      },
      // The plugin's own preClose closes without a code and waits for dead peers, and one registered elsewhere
      // would come too late.
      preClose: (done) => {
        Promise.all(drains.map((drain) => drain())).then(
          () => done(),
          (error: Error) => {
            fastify.log.error({ err: error }, 'sessions could not be ended in order');
            done();
          },
        );
      },
      errorHandler: (error, socket, request) => {
        request.log.debug({ code: (error as { code?: string }).code }, 'socket error');
        // ws has begun to close with the fitting code (RFC 6455 7.4.1); let that frame go out first.
        socket.close(1011);
        setTimeout(() => socket.terminate(), CLOSE_GRACE_MS).unref();
      },
    });
  },
  { name: 'websocket', dependencies: ['errors', 'tail'] },
);
