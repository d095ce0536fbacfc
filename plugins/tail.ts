import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { eventsFrom, readNextSeq } from '../db/events.ts';
import { Tail } from '../src/core/tail.ts';

const MIB = 1024 * 1024;
/** What other instances committed is found by asking; this is how often. */
const POLL_MS = 500;

declare module 'fastify' {
  interface FastifyInstance {
    tail: Tail;
  }
}

/** The committed log in order, from memory for what this instance wrote, from the database for the rest. */
export default fp(
  async function tail(fastify: FastifyInstance) {
    const { audit, database } = fastify;
    const follower = new Tail({
      next: await readNextSeq(database.read),
      read: (from, limit) => eventsFrom(database.read, from, limit),
      maxRecentEvents: 10_000,
      maxRecentBytes: 8 * MIB,
      onError: (error) => fastify.log.error({ err: error }, 'the tail could not go on'),
    });
    audit.onCommit((events) => follower.offer(events));
    const poll = setInterval(() => void follower.wake(), POLL_MS);
    fastify.decorate('tail', follower);
    fastify.addHook('onClose', async () => {
      clearInterval(poll);
      await follower.close();
    });
  },
  { name: 'tail', dependencies: ['audit'] },
);
