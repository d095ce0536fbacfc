import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { bannedSince, findBan, readBans } from '../db/bans.ts';
import { read } from '../db/read.ts';
import { Bans, bannedError } from '../src/core/bans.ts';
import type { AuditEvent } from '../src/core/schemas.ts';
import type { Subscription } from '../src/core/tail.ts';

/**
 * How old what is known here may be before the database is asked itself. A ban is in force everywhere within a
 * second; the tail looks twice in one.
 */
const STALE_MS = 800;
/** How long a request waits for that. */
const ASK_MS = 1_500;
const RELOAD_MS = 500;
/** How often it is looked whether the database has to be asked for what the log does not tell. */
const LOOK_MS = 100;

export type Moderation = {
  /**
   * Calls back with the name of a user who was banned; whatever they have open must end. It must not throw. While the
   * log cannot be followed, it may call again and again for one ban.
   */
  onBanned: (listener: (userId: string) => void) => void;
};

declare module 'fastify' {
  interface FastifyInstance {
    moderation: Moderation;
  }
}

/**
 * Refuses whoever is banned, and has what they have open ended. The bans are known from the log, so that no request
 * costs a query; the database is asked only while the log could not be followed, and when a ban seems to have ended.
 */
export default fp(
  async function moderation(fastify: FastifyInstance) {
    const { audit, auth, database, tail } = fastify;
    const bans = new Bans();
    const listeners: ((userId: string) => void)[] = [];
    /** Undefined while the bans of a new epoch are not known yet. */
    let subscription: Subscription | undefined;
    let closing = false;

    const tell = (userId: string): void => {
      for (const listener of listeners) listener(userId);
    };

    function take(events: readonly AuditEvent[]): void {
      for (const event of events) {
        const banned = bans.apply(event, performance.now());
        if (banned !== undefined) tell(banned);
      }
    }

    /** Takes the bans from the database, and from there on from the log. */
    async function load(): Promise<void> {
      const askedAt = performance.now();
      const { bans: inForce, nextSeq } = await readBans(database.tail);
      bans.clear();
      for (const [userId, ban] of inForce) bans.set(userId, ban, askedAt);
      subscription = tail.subscribe(take, nextSeq);
      for (const userId of inForce.keys()) tell(userId);
    }

    /** After a restore, other bans may be in force than the events so far have told. */
    async function reload(): Promise<void> {
      subscription?.close();
      subscription = undefined;
      while (!closing && subscription === undefined) {
        await load().catch(async (error: Error) => {
          fastify.log.warn({ err: error }, 'the bans could not be read yet');
          await delay(RELOAD_MS, undefined, { ref: false });
        });
      }
    }

    /** Whether what is known here is what the log said less than a second ago. */
    const isCurrent = (): boolean =>
      subscription !== undefined &&
      subscription.next >= tail.next &&
      audit.mayShow() === undefined &&
      tail.behindMs <= STALE_MS;

    async function askDatabase(userId: string): Promise<void> {
      const known = bans.get(userId);
      const askedAt = performance.now();
      const late = delay(ASK_MS, undefined, { ref: false }).then(() => {
        throw new Error('the database does not answer in time');
      });
      const ban = await read(Promise.race([findBan(database.handshake, userId), late]));
      if (ban !== undefined) {
        // Else it was lifted, or another one pronounced, while the database answered.
        if (known?.seq === ban.seq && bans.get(userId)?.seq === ban.seq) bans.set(userId, ban, askedAt);
        throw bannedError(ban);
      }
      if (known !== undefined) bans.forget(userId, known.seq);
    }

    /** The newest question under way about each user, and when it was asked. */
    const questions = new Map<string, { askedAt: number; answer: Promise<void> }>();

    /** As `askDatabase`, with one question for all who want to know the same at about the same time. */
    function ask(userId: string): Promise<void> {
      const now = performance.now();
      const known = questions.get(userId);
      // An older one may have been answered before a ban that has to be in force by now.
      if (known !== undefined && now - known.askedAt <= STALE_MS) return known.answer;
      const answer = askDatabase(userId).finally(() => {
        if (questions.get(userId)?.answer === answer) questions.delete(userId);
      });
      questions.set(userId, { askedAt: now, answer });
      return answer;
    }

    const isOver = (endsAt: number): boolean => performance.now() >= endsAt;
    auth.addGuard(({ userId }) => {
      const ban = bans.get(userId);
      if (ban !== undefined && isCurrent() && !isOver(ban.endsAt)) throw bannedError(ban);
    });
    // After the guards of all other plugins: who has used up what they may ask for has no question asked.
    fastify.addHook('onReady', async () => {
      auth.addGuard(({ userId }) => {
        const ban = bans.get(userId);
        if (!isCurrent() || (ban !== undefined && isOver(ban.endsAt))) return ask(userId);
        if (ban !== undefined) throw bannedError(ban);
        return undefined;
      });
    });

    /** Tells of the bans that the log should have told of. */
    async function look(next: number): Promise<void> {
      for (const userId of await bannedSince(database.moderation, next)) tell(userId);
    }

    /** Whether such a question is under way. */
    let looking = false;
    const looks = setInterval(() => {
      if (looking || isCurrent() || subscription === undefined) return;
      looking = true;
      look(subscription.next)
        .catch(() => {
          // The tail, which does not get on either, tells of a database that does not answer.
        })
        .finally(() => {
          looking = false;
        });
    }, LOOK_MS);

    await load();
    audit.onNewEpoch(() => void reload());
    fastify.decorate('moderation', { onBanned: (listener) => listeners.push(listener) });
    fastify.addHook('onClose', async () => {
      closing = true;
      clearInterval(looks);
      subscription?.close();
    });
  },
  { name: 'moderation', dependencies: ['auth', 'tail'] },
);
