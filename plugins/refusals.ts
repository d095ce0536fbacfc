import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { canonicalAddress } from '../src/core/address.ts';
import type { ErrorCode } from '../src/core/errors.ts';
import type { Draft } from '../src/core/events.ts';
import { Refusals } from '../src/core/refusals.ts';
import { formatMilliseconds } from '../src/core/timestamps.ts';
import { isHandshake } from './errors.ts';

const WINDOW_MS = 10_000;
const MAX_SOURCES = 1_000;
/** How long the end of the server waits for the last counts to be recorded. */
const CLOSE_MS = 500;

/** Who was refused. */
type Source = { user_id: string | null; ip: string | null; session_id?: string; room?: string };

/** How many refusals of one kind there were since the start, whether on record yet or not. */
export type RefusalCount = { action: RefusalAction; code: ErrorCode; count: number };
type RefusalAction = 'MESSAGE_REFUSED' | 'CONNECTION_REFUSED' | 'ACCESS_DENIED' | 'REQUEST_REFUSED';

declare module 'fastify' {
  interface FastifyInstance {
    refusalCounts: () => Iterable<RefusalCount>;
    /** Puts a refused WebSocket frame on record, folded; never its content. */
    refuseFrame: (code: ErrorCode, source: Source) => void;
    /** Puts a refused request or handshake on record, folded; for answers that no hook sees. */
    noteRefusal: (request: FastifyRequest, reply: FastifyReply) => void;
  }
}

/** The address of a request in its one spelling; null once the peer is gone. */
export const addressOf = (request: FastifyRequest): string | null =>
  canonicalAddress(request.ip ?? '') ?? null;

/** Records every refused connection, frame and request, without letting a flood of them fill the log. */
export default fp(
  async function refusals(fastify: FastifyInstance) {
    const { audit } = fastify;
    const folded = new Refusals({
      record: audit.record,
      windowMs: WINDOW_MS,
      maxSources: MAX_SOURCES,
      now: Date.now,
    });
    const nobody: Source = { user_id: null, ip: null };
    /** By action and code, which are closed lists. */
    const counts = new Map<string, RefusalCount>();
    fastify.decorate('refusalCounts', () => counts.values());

    function note(
      [action, code, ...rest]: [RefusalAction, ErrorCode, ...string[]],
      source: Source,
      draft: (who: Source, count: number, since: string) => Draft,
    ): void {
      const counted = counts.get(`${action} ${code}`) ?? { action, code, count: 0 };
      counted.count += 1;
      counts.set(`${action} ${code}`, counted);
      const kind = [action, code, ...rest].join(' ');
      const by = (who: Source) => (count: number, since: number) =>
        draft(who, count, formatMilliseconds(since));
      folded.note(kind, source.user_id ?? source.ip ?? '', by(source), by(nobody));
    }

    fastify.decorate('refuseFrame', (code, source) =>
      note(['MESSAGE_REFUSED', code], source, (who, count, since) => ({
        action: 'MESSAGE_REFUSED',
        ...who,
        details: { code, count, since },
      })),
    );

    function noteRefusal(request: FastifyRequest, reply: FastifyReply): void {
      if (reply.refusal === null) return;
      const { code, status } = reply.refusal;
      // Probes ask every few seconds, and nothing is denied to them.
      if (code === 'not_ready') return;
      const source = { user_id: request.principal?.userId ?? null, ip: addressOf(request) };
      if (isHandshake(request.raw)) {
        note(['CONNECTION_REFUSED', code], source, (who, count, since) => ({
          action: 'CONNECTION_REFUSED',
          ...who,
          details: { code, count, since },
        }));
        return;
      }
      const action = status === 401 || status === 403 ? 'ACCESS_DENIED' : 'REQUEST_REFUSED';
      const { method } = request;
      const route = request.routeOptions?.url ?? '*';
      note([action, code, method, route], source, (who, count, since) => ({
        action,
        ...who,
        details: { code, count, since, method, route },
      }));
    }
    fastify.decorate('noteRefusal', noteRefusal);
    fastify.addHook('onResponse', async (request, reply) => noteRefusal(request, reply));

    // First of the closing hooks that need the log: the audit plugin closes after this one.
    fastify.addHook('onClose', async () => {
      await Promise.race([folded.close(), delay(CLOSE_MS, undefined, { ref: false })]);
    });
  },
  { name: 'refusals', dependencies: ['audit', 'auth', 'websocket'] },
);
