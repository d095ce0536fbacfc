import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { eventsFrom, readNextSeq } from '../db/events.ts';
import { Tail } from '../src/core/tail.ts';

const MIB = 1024 * 1024;
/** How long the end of the server waits for a read under way. */
const CLOSE_MS = 500;
/** Whether hints come or not, what other instances committed is found by asking; this is how often. */
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
      next: await readNextSeq(database.tail),
      read: (from, limit) => eventsFrom(database.tail, from, limit),
      mayShow: audit.mayShow,
      maxRecentEvents: 2_000,
      maxRecentBytes: 4 * MIB,
      onError: (error) => fastify.log.error({ err: error }, 'the tail could not go on'),
    });
    follower.subscribe((events) => audit.noteSeen((events.at(-1)?.seq ?? -1) + 1));
    const notifications = database.notifications((nextSeq) => void follower.wake(nextSeq));
    const tellOthers = (nextSeq: number): void => {
      if (audit.others > 0 || notifications.hearsOthers) notifications.tell(nextSeq);
    };
    audit.onCommit((events) => {
      follower.offer(events);
      tellOthers((events.at(-1)?.seq ?? 0) + 1);
    });
    audit.onHint(() => void follower.wake().then(() => tellOthers(follower.next)));
    audit.onNewEpoch((nextSeq) => follower.restart(nextSeq));
    const poll = setInterval(() => void follower.wake(), POLL_MS);
    fastify.decorate('tail', follower);
    fastify.addHook('onClose', async () => {
      clearInterval(poll);
      const closed = Promise.all([follower.close(), notifications.close()]);
      await Promise.race([closed, delay(CLOSE_MS, undefined, { ref: false })]);
    });
  },
  { name: 'tail', dependencies: ['audit'] },
);
