import { type IncomingMessage, METHODS, type RequestListener, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { canonicalAddress, networkOf } from '../../src/core/address.ts';
import { CodedError } from '../../src/core/errors.ts';
import { Pace } from '../../src/core/pace.ts';
import { clientOfRaw, countedNetworkOf } from '../addresses.ts';
import { answerMalformed, codeOfMalformed, plainAnswer, type SocketError, sendProblem } from '../errors.ts';
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

const tooMuchRefused = (): CodedError =>
  new CodedError('rate_limited', 'Too much is refused to this address.', { retryAfter: RETRY_SECONDS });
/** Node's parser knows methods of RTSP as well, and tunnels. */
const noMethod = (): CodedError =>
  new CodedError('bad_request', 'There is nothing to be done by this method.');

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
      pace.isFull(networkOf(clientOfRaw(request, fastify).nearest));

    /** Refuses a request that Fastify is not shown, as the last one of its connection. */
    function refuseUnread(error: CodedError, request: IncomingMessage, response: ServerResponse): void {
      const { status, headers, body } = plainAnswer(error, request.socket instanceof TLSSocket);
      requests.end(request.socket);
      // Answered at once, for it costs little; but the next one waits for it.
      void turnOf(networkOf(clientOfRaw(request, fastify).nearest), request.socket);
      fastify.noteUnread(error.code, request);
      response.writeHead(status, headers).end(body);
    }

    const begin = server.listeners('request') as RequestListener[];
    const requests = new OneByOne({
      // Before Fastify, which begins for each request what costs as much as a refusal.
      handle: (request, response) => {
        if (isFull(request)) refuseUnread(tooMuchRefused(), request, response);
        // Fastify's router takes RTSP's for a fault of its own: it runs no hook then, and logs all its routes.
        else if (!METHODS.includes(request.method ?? '')) refuseUnread(noMethod(), request, response);
        else for (const listener of begin) listener.call(server, request, response);
      },
      cut: (socket) => {
        // Counted like a refusal that is answered, for it costs more. Its connection counts as open for as long.
        void turnOf(networkOfSocket(socket), socket);
        fastify.noteMalformed('rate_limited', socket);
        socket.destroy();
      },
    });
    server
      .removeAllListeners('request')
      .on('request', (request, response) => requests.receive(request, response))
      // A tunnel, which Node would cut without a word.
      .on('connect', ({ socket }: IncomingMessage) => fastify.refuseMalformed(noMethod(), socket));

    function turnOf(network: string, socket: Socket): Promise<void> | undefined {
      const turn = pace.turn(network, performance.now());
      if (turn === undefined) return undefined;
      requests.end(socket);
      return turn.finally(limits.holdConnection(network));
    }

    /** Lets a refused request wait for its turn, as the last one of its connection; undefined: it need not. */
    function turnOfReply(request: FastifyRequest, reply: FastifyReply): Promise<void> | undefined {
      const turn = turnOf(countedNetworkOf(request), request.raw.socket);
      if (turn === undefined) return undefined;
      if (!reply.hasHeader('connection')) reply.header('connection', 'close');
      // Its turn comes in the end; the deadline of handshakes would come before.
      fastify.keepHandshake(request.raw.socket);
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
      const code = codeOfMalformed(error, socket);
      fastify.noteMalformed(code, socket);
      // What was said now would be taken for the answer to the request before.
      if (requests.endAfterAnswer(socket)) return;
      const turn = code === undefined ? undefined : turnOf(networkOfSocket(socket), socket);
      if (turn === undefined) answerMalformed(error, socket);
      else void turn.then(() => answerMalformed(error, socket));
    });
    fastify.decorate(
      'mayUpgrade',
      (request) => !requests.isBusy(request.socket) && !requests.hasEnded(request.socket) && !isFull(request),
    );

    // Together with the sessions, before handshakes under way are given up.
    fastify.onSocketDrain(async () => pace.end());
  },
  { name: 'pace', dependencies: ['addresses', 'errors', 'limits', 'refusals', 'websocket'] },
);
