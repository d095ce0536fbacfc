import type { Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { canonicalAddress, networkOf } from '../src/core/address.ts';
import { CodedError } from '../src/core/errors.ts';
import { KeyedBuckets } from '../src/core/keyed-buckets.ts';
import { OpenCounts } from '../src/core/open-counts.ts';
import { Quota, type Standing } from '../src/core/quota.ts';
import type { Limits as Bounds } from '../src/limits.ts';
import { countedNetworkOf } from './addresses.ts';
import type { Principal } from './auth/index.ts';

export type LimitsOptions = { limits: Bounds };

const MINUTE_MS = 60_000;
/** Users or addresses that are remembered at a time by one limit, at some 100 bytes each. */
const MAX_KEYS = 10_000;
/** What is said to who has too much open, in seconds: nobody knows when some of it will be closed. */
const OPEN_RETRY_SECONDS = 5;
/** How many connections beyond its limit an address may have, and for how long, to be told so. */
const MAX_LATE = 10;
const LATE_MS = 2_000;

/** What one user may take of this instance. */
export type Limits = {
  /** Whether a user may send one more frame, by all sessions together. @param now of the monotonic clock */
  takeFrame: (userId: string, now: number) => boolean;
  /**
   * Refuses whoever asks where a handshake of theirs would be refused, and counts nothing.
   *
   * @throws CodedError
   */
  checkSocket: (request: FastifyRequest) => void;
  /** Counts a query that is no request. @throws CodedError when a user has made as many as they may */
  takeQuery: (userId: string) => void;
  /** Counts one connection more of a network, whether it may have it or not; until what it gives is called. */
  holdConnection: (network: string) => () => void;
  /**
   * Counts a live stream of whoever asks, until the answer is over or its reader is gone.
   *
   * @throws CodedError when they have as many as they may
   */
  openStream: (request: FastifyRequest, reply: FastifyReply) => void;
  /** How many bytes may be written for all streams of a user. */
  streamBudget: (userId: string) => Budget;
};

/** How much may be written for some, together. */
export type Budget = {
  /** Whose it is. */
  owner: string;
  /** Whether any of it is left. */
  isLeft: () => boolean;
  spend: (bytes: number) => void;
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

const TOO_MANY_HANDSHAKES = 'Too many handshakes from this address; wait a moment.';

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
    const { isProxy } = fastify;
    const perMinute = (name: string, limit: number): Quota | undefined =>
      limit === 0 ? undefined : new Quota(name, limit, MINUTE_MS, MAX_KEYS);
    const queries = perMinute('queries', bounds.queriesPerMinute);
    const handshakes = perMinute('handshakes', bounds.handshakesPerMinuteIp);
    const sessions = new OpenCounts(bounds.sessionsPerUser);
    const connections = new OpenCounts(bounds.connectionsPerIp);
    const streams = new OpenCounts(bounds.streamsPerUser);
    const perUser = bounds.framesPerSecondUser;
    const frames = new KeyedBuckets(perUser, 2 * perUser, MAX_KEYS);
    const streamed = new KeyedBuckets(
      bounds.streamBytesPerSecondUser,
      bounds.streamBytesPerSecondUser,
      MAX_KEYS,
    );

    /** Connections beyond the limit of their address that are kept for a moment, to be told so. */
    const late = new OpenCounts(MAX_LATE);
    /** Those, by their far end: under TLS, requests come from another socket than the one that was accepted. */
    const lateEnds = new Set<string>();
    const farEnd = ({ remoteAddress, remotePort }: Socket): string => `${remoteAddress} ${remotePort}`;

    /**
     * Counts a connection from the moment it is accepted, whatever it will be used for. Those beyond the limit are
     * answered 429 whatever they ask, if they do so soon, and more of them are closed at once.
     */
    function admitConnection(stream: Socket): void {
      const address = canonicalAddress(stream.remoteAddress ?? '');
      if (address === undefined || isProxy(address)) return;
      const network = networkOf(address);
      if (connections.hasRoom(network)) {
        connections.add(network);
        stream.on('close', () => connections.remove(network));
      } else if (late.hasRoom(network)) {
        const end = farEnd(stream);
        const deadline = setTimeout(() => stream.destroy(), LATE_MS);
        late.add(network);
        lateEnds.add(end);
        stream.on('close', () => {
          clearTimeout(deadline);
          lateEnds.delete(end);
          late.remove(network);
        });
      } else {
        fastify.noteMalformed('rate_limited', stream);
        stream.destroy();
      }
    }
    const tooManyConnections = (): CodedError =>
      tooMany('Too many connections are open from this address.', OPEN_RETRY_SECONDS);
    if (bounds.connectionsPerIp > 0) {
      fastify.server.on('connection', admitConnection);
      fastify.addHook('onRequest', async ({ raw }, reply) => {
        if (!lateEnds.has(farEnd(raw.socket))) return;
        reply.header('connection', 'close');
        throw tooManyConnections();
      });
    }

    /** Who is counted for a session, from the handshake on; the network where its connection is not counted by itself. */
    const places = new Map<Duplex, { userId: string; network: string | undefined }>();
    /** A socket closes once, however its handshake ended, so its place is given back once. */
    function giveBack(this: Duplex): void {
      const place = places.get(this);
      if (place === undefined) return;
      places.delete(this);
      sessions.remove(place.userId);
      if (place.network !== undefined) connections.remove(place.network);
    }

    function count(quota: Quota | undefined, key: string, request: FastifyRequest, refused: string): void {
      if (quota === undefined) return;
      heed(quota, quota.take(key, performance.now()), request, refused);
    }

    function heed(quota: Quota, standing: Standing, request: FastifyRequest, refused: string): void {
      request.quota = { quota, standing };
      if (!standing.allowed) throw tooMany(refused, standing.resetSeconds);
    }

    /** Who is behind a proxy was not known when the connection was accepted; of all others it is counted already. */
    const uncountedNetworkOf = (request: FastifyRequest): string | undefined =>
      isProxy(request.raw.socket.remoteAddress ?? '') ? countedNetworkOf(request) : undefined;

    function checkOpen(userId: string, network: string | undefined): void {
      if (!sessions.hasRoom(userId)) {
        const most = `A user may have ${bounds.sessionsPerUser} sessions open`;
        throw tooMany(`${most}; close another one first.`, OPEN_RETRY_SECONDS);
      }
      if (network !== undefined && !connections.hasRoom(network)) throw tooManyConnections();
    }

    function checkSocket(request: FastifyRequest): void {
      const standing = handshakes?.look(countedNetworkOf(request), performance.now());
      // Else its answer says how things stand with queries, for as one of these it was counted.
      if (handshakes !== undefined && standing?.allowed === false) {
        heed(handshakes, standing, request, TOO_MANY_HANDSHAKES);
      }
      checkOpen(request.principal?.userId ?? '', uncountedNetworkOf(request));
    }

    function admitSocket({ userId }: Principal, request: FastifyRequest): void {
      const stream = request.raw.socket;
      // Gone while its token was looked at: nobody would tell when to give its place back.
      if (stream.closed) return;
      const network = uncountedNetworkOf(request);
      checkOpen(userId, network);
      sessions.add(userId);
      if (network !== undefined) connections.add(network);
      places.set(stream, { userId, network });
      stream.on('close', giveBack);
    }

    fastify.decorateRequest('quota', null);
    // Before the token or ticket is looked at: a made-up one costs as much as a good one, and its sender nothing.
    fastify.auth.addGate((request) =>
      count(handshakes, countedNetworkOf(request), request, TOO_MANY_HANDSHAKES),
    );
    fastify.auth.addGuard((principal, request) => {
      if (request.ws) admitSocket(principal, request);
      else count(queries, principal.userId, request, 'Too many requests; Retry-After says when to go on.');
    });
    fastify.addHook('onSend', async (request, reply) => tellQuota(request, reply));

    fastify.decorate('limits', {
      takeFrame: (userId, now) => frames.take(userId, now),
      checkSocket,
      takeQuery: (userId) => {
        const standing = queries?.take(userId, performance.now());
        if (standing === undefined || standing.allowed) return;
        const { resetSeconds } = standing;
        throw tooMany(`Too many queries; ask again in ${resetSeconds} s.`, resetSeconds);
      },
      holdConnection: (network) => {
        connections.add(network);
        return () => connections.remove(network);
      },
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
      streamBudget: (userId) => ({
        owner: userId,
        isLeft: () => streamed.hasAny(userId, performance.now()),
        spend: (bytes) => {
          streamed.borrow(userId, performance.now(), bytes);
        },
      }),
    });
  },
  { name: 'limits', dependencies: ['addresses', 'auth', 'websocket', 'refusals'] },
);
