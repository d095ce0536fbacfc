import type { IncomingMessage } from 'node:http';
import type { Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { canonicalAddress, networkOf } from '../src/core/address.ts';
import { type ErrorCode, errorCodes } from '../src/core/errors.ts';
import { type RefusalDraft, Refusals, type Tally, type Where } from '../src/core/refusals.ts';
import { formatMilliseconds } from '../src/core/timestamps.ts';
import { TokenBucket } from '../src/core/token-bucket.ts';
import { addressOf, clientOfRaw, countedNetworkOf } from './addresses.ts';
import { isHandshake } from './errors.ts';

const WINDOW_MS = 10_000;
/** Users, and apart from them addresses, that are told apart at a time. */
const MAX_SOURCES = 100;
/** Kinds of refusal of each of them, beside one event for each action that stands for the rest. */
const MAX_KINDS = 8;
/** The other sources of a kind are counted so far, at some 100 bytes each. */
const MAX_COUNTED = 1_000;
/**
 * Events in a second, of users and apart from them of addresses, that name one of them for more than the first kind of
 * its refusals; beyond, these share an event for each action and code.
 */
const MORE_PER_SECOND = 10;
const MORE_AT_ONCE = 100;
/** How long the end of the server waits for the last counts to be recorded. */
const CLOSE_MS = 500;

/** Who was refused. */
type Source = { user_id: string | null; ip: string | null; session_id?: string };

/** How many refusals of one kind there were since the start, whether on record yet or not. */
export type RefusalCount = { action: RefusalAction; code: ErrorCode; count: number };
type SocketAction = 'MESSAGE_REFUSED' | 'CONNECTION_REFUSED';
type HttpAction = 'ACCESS_DENIED' | 'REQUEST_REFUSED';
type RefusalAction = SocketAction | HttpAction;

declare module 'fastify' {
  interface FastifyInstance {
    refusalCounts: () => Iterable<RefusalCount>;
    /** Puts a refused WebSocket frame on record, folded; never its content. */
    refuseFrame: (code: ErrorCode, source: Source) => void;
    /** Puts a connection on record that was refused after its handshake, folded. */
    refuseConnection: (code: ErrorCode, source: Source) => void;
    /** Puts a refused request or handshake on record, folded; for answers that no hook sees. */
    noteRefusal: (request: FastifyRequest, reply: FastifyReply) => void;
    /** Puts bytes on record that were no request; undefined: nothing was refused. */
    noteMalformed: (code: ErrorCode | undefined, socket: Socket) => void;
    /** Puts a request on record that was refused unread. */
    noteUnread: (code: ErrorCode, request: IncomingMessage) => void;
  }
}

/** The details that every refusal has. */
const detailsOf = ({ code, count, since, sources }: Tally) => ({
  code,
  count,
  since: formatMilliseconds(since),
  ...(sources === undefined ? {} : { sources }),
});

/** Where a request could not be read, or where several are counted together. */
const ANYWHERE = { method: '*', route: '*' };

/** Records every refused connection, frame and request, without letting a flood of them fill the log. */
export default fp(
  async function refusals(fastify: FastifyInstance) {
    const { audit } = fastify;
    const fold = (): Refusals => {
      const more = new TokenBucket(MORE_PER_SECOND, MORE_AT_ONCE, performance.now());
      return new Refusals({
        record: audit.record,
        windowMs: WINDOW_MS,
        maxSources: MAX_SOURCES,
        maxKinds: MAX_KINDS,
        maxCounted: MAX_COUNTED,
        mayName: () => more.take(performance.now()),
        now: Date.now,
      });
    };
    // Apart, so that no flood of those without a token hides what is refused to those who have one.
    const ofUsers = fold();
    const ofAddresses = fold();
    /** By action and code, which are closed lists. */
    const counts = new Map<string, RefusalCount>();
    fastify.decorate('refusalCounts', () => counts.values());

    function note(
      [action, code, where]: [RefusalAction, ErrorCode, Where?],
      { user_id, ip }: Source,
      network: string | undefined,
      draft: RefusalDraft,
    ): void {
      const kind = `${action} ${code}`;
      const counted = counts.get(kind);
      if (counted === undefined) counts.set(kind, { action, code, count: 1 });
      else counted.count += 1;
      (user_id === null ? ofAddresses : ofUsers).note({
        action,
        code,
        ...(where === undefined ? {} : { where }),
        source: user_id ?? network ?? networkOf(ip ?? ''),
        draft,
      });
    }

    /** Whom an event names: the source, unless several share it. */
    const named = (source: Source, { sources }: Tally): Partial<Source> =>
      sources === undefined ? source : {};

    function noteSocket(action: SocketAction, code: ErrorCode, source: Source, network?: string): void {
      note([action, code], source, network, (tally) => ({
        action,
        ...named(source, tally),
        details: detailsOf(tally),
      }));
    }

    function noteHttp(code: ErrorCode, source: Source, where: Where, network?: string): void {
      const { status } = errorCodes[code];
      const action = status === 401 || status === 403 ? 'ACCESS_DENIED' : 'REQUEST_REFUSED';
      note([action, code, where], source, network, (tally) => ({
        action,
        ...named(source, tally),
        details: { ...detailsOf(tally), ...(tally.where ?? ANYWHERE) },
      }));
    }

    fastify.decorate('refuseFrame', (code, source) => noteSocket('MESSAGE_REFUSED', code, source));
    fastify.decorate('refuseConnection', (code, source) => noteSocket('CONNECTION_REFUSED', code, source));
    /** Sockets whose request was refused; what comes after it is the rest of the same. */
    const malformed = new WeakSet<Socket>();
    fastify.decorate('noteMalformed', (code, socket) => {
      if (code === undefined || malformed.has(socket)) return;
      malformed.add(socket);
      const { remoteAddress } = socket;
      noteHttp(code, { user_id: null, ip: canonicalAddress(remoteAddress ?? '') ?? null }, ANYWHERE);
    });

    fastify.decorate('noteUnread', (code, request) => {
      const { address, nearest } = clientOfRaw(request, fastify);
      const source = { user_id: null, ip: address };
      if (isHandshake(request)) noteSocket('CONNECTION_REFUSED', code, source, networkOf(nearest));
      else noteHttp(code, source, ANYWHERE, networkOf(nearest));
    });

    function noteRefusal(request: FastifyRequest, reply: FastifyReply): void {
      if (reply.refusal === null) return;
      const { code } = reply.refusal;
      // Probes ask every few seconds, and nothing is denied to them.
      if (code === 'not_ready') return;
      const source = { user_id: request.principal?.userId ?? null, ip: addressOf(request) };
      const network = countedNetworkOf(request);
      if (isHandshake(request.raw)) noteSocket('CONNECTION_REFUSED', code, source, network);
      else {
        const where = { method: request.method, route: request.routeOptions?.url ?? '*' };
        noteHttp(code, source, where, network);
      }
    }
    fastify.decorate('noteRefusal', noteRefusal);
    // Before its answer is sent: whoever is refused may not stay for it.
    fastify.addHook('onSend', async (request, reply) => noteRefusal(request, reply));

    // First of the closing hooks that need the log: the audit plugin closes after this one.
    fastify.addHook('onClose', async () => {
      const recorded = Promise.all([ofUsers.close(), ofAddresses.close()]);
      await Promise.race([recorded, delay(CLOSE_MS, undefined, { ref: false })]);
    });
  },
  { name: 'refusals', dependencies: ['audit', 'auth', 'websocket'] },
);
