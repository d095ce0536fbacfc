import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { canonicalAddress, networkOf } from '../../src/core/address.ts';
import { CodedError } from '../../src/core/errors.ts';
import { Pace } from '../../src/core/pace.ts';
import { clientOfRaw, countedNetworkOf } from '../addresses.ts';
import { answerMalformed, isMalformed, plainAnswer, type SocketError, sendProblem } from '../errors.ts';
import { OneByOne } from './one-by-one.ts';

export type PaceOptions = {
  /** Refused requests of one network that are answered in a second; 0: no limit. */
  perSecond: number;
};

/** Networks that are remembered, at some 100 bytes each. */
const MAX_KEYS = 10_000;
/** Refusals that wait; beyond so many of its own, requests of a network are refused unread. */
const MAX_WAITING = 1_000;
const MAX_WAITING_OF_ALL = 10_000;
const RETRY_SECONDS = 5;

const networkOfSocket = ({ remoteAddress }: Socket): string =>
  networkOf(canonicalAddress(remoteAddress ?? '') ?? '');

declare module 'fastify' {
  interface FastifyInstance {
    /** Puts a request on record that no route takes, and answers it in its turn; for answers that no hook sees. */
    refuseUnrouted: (error: CodedError, request: FastifyRequest, reply: FastifyReply) => void;
    /** Answers, in its turn, bytes that were no request, and puts them on record. */
    refuseMalformed: (error: SocketError, socket: Socket) => void;
    /** Whether a connection may be upgraded; else its request is one like others. */
    mayUpgrade: (request: IncomingMessage) => boolean;
  }
}

/**
 * Bounds how many refusals a network is answered in a second, for each takes time that the others’ messages need. Whatever
 * is beyond waits, and counts as a connection meanwhile, so that nobody gains by not waiting for it.
 */
export default fp(
  async function pacePlugin(fastify: FastifyInstance, { perSecond }: PaceOptions) {
    const { limits, server } = fastify;
    const pace = new Pace({
      perSecond,
      burst: 2 * perSecond,
      maxKeys: MAX_KEYS,
      maxWaiting: MAX_WAITING,
      maxWaitingOfAll: MAX_WAITING_OF_ALL,
    });

    const isFull = (request: IncomingMessage): boolean =>
      pace.waiting > 0 && pace.isFull(networkOf(clientOfRaw(request, fastify).nearest));

    function refuseUnread(request: IncomingMessage, response: ServerResponse): void {
      const error = new CodedError('rate_limited', 'Too much is refused to this address.', {
        retryAfter: RETRY_SECONDS,
      });
      const { status, headers, body } = plainAnswer(error, request.socket instanceof TLSSocket);
      response.writeHead(status, headers).end(body);
      fastify.noteUnread(error.code, request);
    }

    // Fastify's own listener is the only one, and what it begins for each request costs as much as a refusal.
    const handlers = server.listeners('request') as RequestListener[];
    const requests = new OneByOne({
      handle: (request, response) => {
        for (const handle of handlers) handle.call(server, request, response);
      },
      cut: (socket) => {
        // Counted like a refusal that is answered, for it costs more. Its connection counts as open for as long.
        void turnOf(networkOfSocket(socket), socket);
        fastify.noteMalformed('rate_limited', socket);
        socket.destroy();
      },
    });
    server.removeAllListeners('request').on('request', (request, response) => {
      if (isFull(request)) refuseUnread(request, response);
      else requests.receive(request, response);
    });

    function turnOf(network: string, socket: Socket): Promise<void> | undefined {
      const turn = pace.turn(network, performance.now());
      if (turn === undefined) return undefined;
      requests.end(socket);
      return turn.finally(limits.holdConnection(network));
    }

    /** Lets a refused request wait for its turn, as the last one of its connection; undefined: it need not. */
    function turnOfReply(request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
      const turn = turnOf(countedNetworkOf(request), request.raw.socket);
      if (turn !== undefined && !reply.hasHeader('connection')) reply.header('connection', 'close');
      return turn;
    }

    fastify.addHook('onSend', async (request, reply) => {
      // What is the server's own fault is nobody else's.
      if (reply.refusal !== null && reply.refusal.status < 500) await turnOfReply(request, reply);
    });
    fastify.decorate('refuseUnrouted', (error, request, reply) => {
      reply.refusal = error;
      fastify.noteRefusal(request, reply);
      const turn = turnOfReply(request, reply);
      if (turn === undefined) sendProblem(reply, error);
      else void turn.then(() => sendProblem(reply, error));
    });
    fastify.decorate('refuseMalformed', (error, socket) => {
      // The rest of a connection whose last answer waits.
      if (requests.hasEnded(socket)) return;
      const answer = (): void => fastify.noteMalformed(answerMalformed(error, socket), socket);
      const turn = isMalformed(error, socket) ? turnOf(networkOfSocket(socket), socket) : undefined;
      if (turn === undefined) answer();
      else void turn.then(answer);
    });
    fastify.decorate('mayUpgrade', (request) => !requests.isBusy(request.socket) && !isFull(request));

    // Together with the sessions, before handshakes under way are given up.
    fastify.onSocketDrain(async () => pace.end());
  },
  { name: 'pace', dependencies: ['addresses', 'errors', 'limits', 'refusals', 'websocket'] },
);
