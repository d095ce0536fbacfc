import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import Type from 'typebox';
import { CodedError } from '../../src/core/errors.ts';
import { isName, isStorable } from '../../src/core/text.ts';
import type { Limits } from '../../src/limits.ts';
import { addressOf } from '../addresses.ts';
import type { Principal } from '../auth/index.ts';
import { problems, sendProblem } from '../errors.ts';
import { checkEncoding } from '../validation.ts';
import { CLOSE_GRACE_MS } from '../websocket.ts';
import { Outbox } from './outbox.ts';
import { replayer } from './replay.ts';
import { Session, type SessionContext } from './session.ts';
import { Sessions } from './sessions.ts';

export type ChatOptions = {
  limits: Pick<Limits, 'framesPerSecond' | 'roomsPerSession' | 'idleSeconds'>;
};

const DEFAULT_ROOM = 'lobby';
const PING_MS = 30_000;
/** How often it is looked whose token has expired, and who is idle: one timer for all, for there may be ten thousands of them. */
const CHECK_MS = 1_000;
const MAX_USER_AGENT = 256;
/** How long the end of the server waits for commands under way, and then for the ends to be recorded. */
const DRAIN_MS = 2_000;
const RECORD_ENDS_MS = 2_000;

const querystring = Type.Object(
  {
    user: Type.Optional(
      Type.String({
        description: 'In development mode only: who speaks, without a token.',
        examples: ['alice'],
      }),
    ),
    // No default here: Ajv would fill it in, and a token that is not for the lobby must still be able to connect.
    room: Type.Optional(
      Type.String({
        description: `The first room; empty joins none. Default: ${DEFAULT_ROOM}.`,
        examples: ['lobby'],
      }),
    ),
  },
  { additionalProperties: false },
);

const userError = (what: string): CodedError =>
  new CodedError('invalid_parameter', `“user” ${what}.`, { parameter: 'user' });

/** The room that a handshake asks for; undefined for none. @throws CodedError */
function firstRoom(room: string | undefined, { rooms }: Principal): string | undefined {
  const allowed = (name: string) => rooms === undefined || rooms.has(name);
  if (room === undefined) return allowed(DEFAULT_ROOM) ? DEFAULT_ROOM : undefined;
  if (room === '') return undefined;
  if (!isName(room)) {
    throw new CodedError(
      'invalid_parameter',
      '“room” must be 1-128 bytes of UTF-8 without control characters.',
      {
        parameter: 'room',
      },
    );
  }
  if (!allowed(room)) throw new CodedError('forbidden', `Your token does not allow the room “${room}”.`);
  return room;
}

function userAgentOf(request: FastifyRequest): string | null {
  const agent = request.headers['user-agent']?.slice(0, MAX_USER_AGENT);
  return agent !== undefined && isStorable(agent) ? agent : null;
}

/** Chat: frames become events, and events that come out of the tail become frames. */
export default fp(
  async function chat(fastify: FastifyInstance, { limits }: ChatOptions) {
    const { audit, auth, tail, refuseConnection, refuseFrame, traffic } = fastify;
    const { takeFrame } = fastify.limits;
    const sessions = new Sessions(() => audit.instance);
    /** The server is stopping: no session may open any more. */
    let draining = false;

    // ---- from the log to the sockets

    /** The first seq that was not delivered here yet. */
    let delivered = tail.next;
    const subscription = tail.subscribe((events) => {
      for (const event of events) {
        delivered = event.seq + 1;
        try {
          sessions.deliver(event);
        } catch (error) {
          // A fault with one event must not end the delivery of all that follow.
          fastify.log.error({ err: error, seq: event.seq }, 'an event could not be delivered');
        }
      }
    });

    audit.onLost(() => sessions.cutAll());
    audit.onNewEpoch((nextSeq) => {
      delivered = nextSeq;
    });

    // ---- the rights of who is connected

    function checkKey(session: Session): void {
      if (auth.isWithdrawn(session)) session.close(4401, 'the key of the token was withdrawn');
    }
    auth.onKeys(() => {
      for (const session of sessions) checkKey(session);
    });

    // ---- from the sockets to the log

    /** Sessions whose end is not recorded, nor given up, yet. */
    let unended = 0;
    /** Resolved when there are none, once the server is stopping. */
    let allEnded: PromiseWithResolvers<void> | undefined;

    // The same for all sessions: a closure over a request would keep it for as long as a session lives.
    const context: SessionContext = {
      audit,
      limits,
      traffic,
      outbox: new Outbox(),
      takeFrame,
      refuseConnection,
      refuseFrame,
      replay: replayer(fastify),
      delivered: () => delivered,
      onEnded: (session, recorded) => {
        // The end of one that is on record comes through the tail; only the others must be forgotten here.
        if (!recorded) sessions.forget(session);
        unended -= 1;
        if (unended === 0) allEnded?.resolve();
      },
      onFault: (error, session) =>
        fastify.log.error({ err: error, session_id: session.id }, 'a frame could not be handled'),
    };

    fastify.route<{ Querystring: { user?: string; room?: string } }>({
      method: 'GET',
      url: '/ws',
      exposeHeadRoute: false,
      config: { websocket: true },
      schema: {
        operationId: 'openWebSocket',
        summary: 'Open a chat session',
        description: 'A WebSocket handshake (RFC 6455); the frames are described in docs/websocket.md.',
        tags: ['chat'],
        security: [{ token: [] }],
        querystring,
        response: {
          101: { description: 'The connection speaks WebSocket from here on', type: 'null' },
          ...problems(400, 401, 403, 426, 429, 503),
        },
      },
      onRequest: async (request) => {
        if (!request.ws) return;
        checkEncoding(request);
        const { user } = request.query;
        if (auth.development && user !== undefined) {
          if (typeof user !== 'string') throw userError('must be given once');
          if (request.headers.authorization !== undefined)
            throw userError('and a token were both given; one is enough');
        }
        await auth.authenticateSocket(request, typeof user === 'string' ? user : undefined);
      },
      preHandler: async (request) => {
        if (!request.ws || request.principal === null) return;
        if (!auth.development && request.query.user !== undefined) {
          throw userError('is for development mode; the token says who you are');
        }
        firstRoom(request.query.room, request.principal);
        // Only when something is known to be wrong; else the session's own CONNECTED will tell, in its time.
        if (audit.isTroubled() && (await audit.check()) !== null) {
          throw new CodedError('audit_unavailable', 'The audit log cannot be written now; try again later.');
        }
        // Looked at last: a session that opens after the others were ended would never be.
        if (draining) throw new CodedError('overloaded', 'The server is shutting down.');
      },
      handler: (_request, reply) =>
        sendProblem(reply, new CodedError('upgrade_required', 'Connect here with a WebSocket client.')),
      wsHandler: (socket, request) => {
        const { principal } = request;
        if (principal === null) throw new Error('a socket was opened without a principal');
        if (draining) {
          socket.close(1001, 'the server is shutting down');
          return;
        }
        const stream = request.raw.socket;
        const session = new Session(context, { socket, stream, principal, ip: addressOf(request) });
        sessions.add(session);
        unended += 1;
        session.open(firstRoom(request.query.room, principal), userAgentOf(request)).catch((error: Error) => {
          fastify.log.error({ err: error, session_id: session.id }, 'a session failed to open');
          session.close(1011, 'internal error');
        });
        checkKey(session);
      },
    });

    const pings = setInterval(() => {
      for (const session of sessions) session.ping();
    }, PING_MS);
    const idleMs = limits.idleSeconds * 1_000;
    const checks = setInterval(() => {
      const now = Date.now();
      for (const session of sessions) session.checkExpiry(now);
      if (idleMs === 0) return;
      const since = performance.now() - idleMs;
      for (const session of sessions) session.checkIdle(since);
    }, CHECK_MS);

    fastify.onSocketDrain(async () => {
      draining = true;
      clearInterval(pings);
      clearInterval(checks);
      const open = [...sessions];
      await Promise.all(open.map((session) => session.drain(DRAIN_MS)));
      for (const session of open) session.close(1001, 'the server is shutting down');
      allEnded = Promise.withResolvers();
      if (unended === 0) allEnded.resolve();
      await Promise.race([
        allEnded.promise,
        delay(CLOSE_GRACE_MS + RECORD_ENDS_MS, undefined, { ref: false }),
      ]);
    });

    fastify.addHook('onClose', async () => subscription.close());
  },
  {
    name: 'chat',
    dependencies: ['auth', 'database', 'audit', 'tail', 'websocket', 'refusals', 'limits', 'turns'],
    encapsulate: true,
  },
);
