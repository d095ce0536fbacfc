import type { Duplex } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import type { Limits as Bounds } from '../src/config.ts';
import { networkOf } from '../src/core/address.ts';
import { CodedError } from '../src/core/errors.ts';
import { KeyedBuckets } from '../src/core/keyed-buckets.ts';
import { OpenCounts } from '../src/core/open-counts.ts';
import { Quota, type Standing } from '../src/core/quota.ts';
import type { Principal } from './auth/index.ts';
import { addressOf } from './refusals.ts';

export type LimitsOptions = { limits: Bounds };

const MINUTE_MS = 60_000;
/** Users or addresses that are remembered at a time by one limit, at some 100 bytes each. */
const MAX_KEYS = 10_000;
/** What is said to who has too much open, in seconds: nobody knows when some of it will be closed. */
const OPEN_RETRY_SECONDS = 5;

/** What one user may take of this instance. */
export type Limits = {
  /** Whether a user may send one more frame, by all sessions together. @param now of the monotonic clock */
  takeFrame: (userId: string, now: number) => boolean;
  /**
   * Counts a live stream of whoever asks, until the answer is over or its reader is gone.
   *
   * @throws CodedError when they have as many as they may
   */
  openStream: (request: FastifyRequest, reply: FastifyReply) => void;
};

declare module 'fastify' {
  interface FastifyInstance {
    limits: Limits;
  }
  interface FastifyRequest {
    /** The quota that this request was counted against; null where there is none. */
    quota: { quota: Quota; standing: Standing } | null;
  }
}

const tooMany = (message: string, retryAfter: number): CodedError =>
  new CodedError('rate_limited', message, { retryAfter });

/** Tells how things stand with the quota that a request was counted against, if any. */
export function tellQuota({ quota: counted }: FastifyRequest, reply: FastifyReply): void {
  // Undefined where routes were registered before this plugin.
  if (!counted) return;
  const { quota, standing } = counted;
  reply.header('ratelimit-policy', quota.policyField).header('ratelimit', quota.limitField(standing));
}

/** Counts what users and addresses do and have open, and refuses what is too much before it costs anything. */
export default fp(
  async function limitsPlugin(fastify: FastifyInstance, { limits: bounds }: LimitsOptions) {
    const perMinute = (name: string, limit: number): Quota | undefined =>
      limit === 0 ? undefined : new Quota(name, limit, MINUTE_MS, MAX_KEYS);
    const queries = perMinute('queries', bounds.queriesPerMinute);
    const handshakes = perMinute('handshakes', bounds.handshakesPerMinuteIp);
    const sessions = new OpenCounts(bounds.sessionsPerUser);
    const connections = new OpenCounts(bounds.connectionsPerIp);
    const streams = new OpenCounts(bounds.streamsPerUser);
    const perUser = bounds.framesPerSecondUser;
    const frames = new KeyedBuckets(perUser, 2 * perUser, MAX_KEYS);

    /** Who is counted for a connection, from the handshake on. */
    const places = new Map<Duplex, { userId: string; network: string }>();
    /** A socket closes once, however its handshake ended, so its place is given back once. */
    function giveBack(this: Duplex): void {
      const place = places.get(this);
      if (place === undefined) return;
      places.delete(this);
      sessions.remove(place.userId);
      connections.remove(place.network);
    }

    function count(quota: Quota | undefined, key: string, request: FastifyRequest, refused: string): void {
      if (quota === undefined) return;
      const standing = quota.take(key, performance.now());
      request.quota = { quota, standing };
      if (!standing.allowed) throw tooMany(refused, standing.resetSeconds);
    }

    function admitSocket({ userId }: Principal, request: FastifyRequest): void {
      const stream = request.raw.socket;
      // Gone while its token was looked at: nobody would tell when to give its place back.
      if (stream.closed) return;
      const network = networkOf(addressOf(request) ?? '');
      count(handshakes, network, request, 'Too many handshakes from this address; wait a moment.');
      if (!sessions.hasRoom(userId)) {
        const most = `A user may have ${bounds.sessionsPerUser} sessions open`;
        throw tooMany(`${most}; close another one first.`, OPEN_RETRY_SECONDS);
      }
      if (!connections.hasRoom(network)) {
        throw tooMany('Too many connections are open from this address.', OPEN_RETRY_SECONDS);
      }
      sessions.add(userId);
      connections.add(network);
      places.set(stream, { userId, network });
      stream.on('close', giveBack);
    }

    fastify.decorateRequest('quota', null);
    fastify.auth.addGuard((principal, request) => {
      if (request.ws) admitSocket(principal, request);
      else count(queries, principal.userId, request, 'Too many requests; Retry-After says when to go on.');
    });
    fastify.addHook('onSend', async (request, reply) => tellQuota(request, reply));

    fastify.decorate('limits', {
      takeFrame: (userId, now) => frames.take(userId, now),
      openStream: ({ principal }, { raw }) => {
        const userId = principal?.userId ?? '';
        if (!streams.hasRoom(userId)) {
          const most = `A user may have ${bounds.streamsPerUser} live streams open`;
          throw tooMany(`${most}; end another one first.`, OPEN_RETRY_SECONDS);
        }
        // Of a response that is over already, no end would be told.
        if (raw.destroyed) return;
        streams.add(userId);
        raw.once('close', () => streams.remove(userId));
      },
    });
  },
  { name: 'limits', dependencies: ['auth', 'websocket', 'refusals'] },
);
