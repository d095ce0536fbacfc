import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError } from '../src/core/errors.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Shorter answers are left to the kernel. */
const LONG_BYTES = 64 * KIB;
/** What a user may have left unread of all answers before the next one is read for them: two of the longest pages. */
const MAX_UNREAD_BYTES = 48 * MIB;
/** Whoever takes nothing of an answer for so long is gone, or holds it on purpose. */
const STALL_MS = 10_000;
/** What is said to who is to read first, in seconds. */
const RETRY_SECONDS = 5;

declare module 'fastify' {
  interface FastifyInstance {
    /**
     * Refuses to make another long answer for who has not taken those before. To be asked when it is their turn, for of
     * many requests that wait none has an answer yet.
     *
     * @throws CodedError `rate_limited`
     */
    checkUnread: (request: FastifyRequest) => void;
  }
}

/**
 * Answers that wait in memory for clients who do not read them. An answer is cut when nothing of it was taken for a while;
 * and of one user only so much waits, for reading the log costs its sender nothing, and keeping the answer costs us.
 */
export default fp(
  async function unread(fastify: FastifyInstance) {
    /** The bytes of answers that have not left for their client, by user. */
    const waiting = new Map<string, number>();
    const add = (userId: string, bytes: number): void => {
      const sum = (waiting.get(userId) ?? 0) + bytes;
      if (sum > 0) waiting.set(userId, sum);
      else waiting.delete(userId);
    };

    fastify.decorate('checkUnread', ({ principal }) => {
      if ((waiting.get(principal?.userId ?? '') ?? 0) <= MAX_UNREAD_BYTES) return;
      throw new CodedError('rate_limited', 'Answers to you wait to be read; read those first.', {
        retryAfter: RETRY_SECONDS,
      });
    });

    fastify.addHook('onSend', ({ principal }, { raw }, payload, done) => {
      // Undefined as well, where routes were registered before there are principals.
      const userId = principal?.userId;
      const isLong = typeof payload === 'string' && payload.length > LONG_BYTES;
      // Streams and exports, which need a token, have a pace of their own; the files of pages have none.
      const isFile = userId === undefined && typeof payload === 'object' && payload !== null;
      if ((isLong || isFile) && !raw.destroyed) {
        // Node counts what the kernel has taken as a sign of life, and sets another time when the answer is over.
        raw.setTimeout(STALL_MS, () => raw.destroy());
      }
      if (isLong && userId !== undefined && !raw.destroyed) {
        const bytes = Buffer.byteLength(payload);
        add(userId, bytes);
        // However it ended. All of it is with the kernel by then, or never will be.
        raw.once('close', () => add(userId, -bytes));
      }
      done(null, payload);
    });
  },
  { name: 'unread', dependencies: ['errors'] },
);
