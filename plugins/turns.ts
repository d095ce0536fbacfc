import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError } from '../src/core/errors.ts';
import { Turns } from '../src/core/turns.ts';

/**
 * Reads of one user that are under way: half of the connections that read, so that another one's find some free. What is
 * more waits, for a page that shows several lists asks for them at once; as long as for a connection, and then it would
 * be 503 anyway.
 */
const READS = { most: 2, maxWaiting: 32, waitMs: 2_000 };
/** What is said to who waited in vain, in seconds. */
const RETRY_SECONDS = 5;
/**
 * Pages that are read for exports and for streams that catch up: of all together, and of one user, whose own reads take
 * `READS.most` beside them, so that one connection is left to others. They come one after the other for minutes, and may
 * wait for each other.
 */
const BULK = { most: 2, mostOfUser: 1, maxWaiting: 1_000, waitMs: 60_000 };
const ALL = 'all';
/**
 * After a read its turn rests for so many times as long as the log was being written meanwhile, at most for some
 * seconds. So where nothing is written, nobody waits, and else whoever reads without a pause does so a sixth of the time;
 * an eleventh, where pages follow each other for minutes.
 */
const REST_TIMES = { reads: 5, bulk: 10 };
const MOST_REST_MS = 10_000;
/**
 * What writing an event counts as, in milliseconds: so that 5,000 a second are no pause. By their number, and not by the
 * time that they took, for that is longest where a disk is slow and nobody is in need of anything.
 */
const EVENT_MS = 0.2;

/** When a user may read the log. */
export type ReadTurns = {
  /** Reads the log for a user, when it is their turn. @throws CodedError `rate_limited` when it would take too long until then */
  read: <T>(userId: string, work: () => Promise<T>) => Promise<T>;
  /** Reads a page of many for a user, when it is its turn. @throws CodedError `overloaded` when that would take too long */
  readBulk: <T>(userId: string, work: () => Promise<T>) => Promise<T>;
};

declare module 'fastify' {
  interface FastifyInstance {
    turns: ReadTurns;
  }
}

const refuse = (): CodedError => {
  const message = `${READS.most} queries of yours are under way, or were so just now while much was written; wait a moment.`;
  return new CodedError('rate_limited', message, { retryAfter: RETRY_SECONDS });
};
const refuseBulk = (): CodedError =>
  new CodedError('overloaded', 'Too many exports and streams read the log.');

/** Lets a user read the log only so much at a time, and rest where it is being written, so that reading does not slow down writing. */
export default fp(
  async function readTurns(fastify: FastifyInstance) {
    /** How long this instance has been writing the log, in milliseconds. */
    let writtenMs = 0;
    fastify.audit.onCommit(({ length }) => {
      writtenMs += length * EVENT_MS;
    });
    const rest = (times: number) => (): (() => number) => {
      const begun = { at: performance.now(), writtenMs };
      return () => {
        const meanwhile = Math.min(writtenMs - begun.writtenMs, performance.now() - begun.at);
        return Math.min(times * meanwhile, MOST_REST_MS);
      };
    };
    const reads = new Turns({ ...READS, rest: rest(REST_TIMES.reads), refuse });
    const bulk = new Turns({ ...BULK, refuse: refuseBulk });
    const bulkOfUser = new Turns({
      ...BULK,
      most: BULK.mostOfUser,
      rest: rest(REST_TIMES.bulk),
      refuse: refuseBulk,
    });

    fastify.decorate('turns', {
      read: (userId, work) => reads.run(userId, work),
      readBulk: (userId, work) =>
        bulkOfUser.run(userId, (begin) =>
          bulk.run(ALL, () => {
            begin();
            return work();
          }),
        ),
    });
  },
  { name: 'turns', dependencies: ['audit'] },
);
