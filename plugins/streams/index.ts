import type { ServerResponse } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance, FastifyRequest } from 'fastify';
import fp from 'fastify-plugin';
import { type LogState, listEvents, readLogState } from '../../db/events.ts';
import { read } from '../../db/read.ts';
import type { DetailsOf, StreamEndReason } from '../../src/core/actions.ts';
import { CodedError, OutcomeUnknownError, type Receipt } from '../../src/core/errors.ts';
import { auditBlock, type Position, startOf } from '../../src/core/event-stream.ts';
import type { Draft } from '../../src/core/events.ts';
import { checkInterval, type Filter } from '../../src/core/filter.ts';
import { compileFilter } from '../../src/core/search/matcher.ts';
import { addressOf } from '../addresses.ts';
import type { Principal } from '../auth/index.ts';
import { Feed } from './feed.ts';
import { Output } from './output.ts';
import { type BlockPage, type Course, Reader } from './reader.ts';
import { Joiner, Rounds } from './rounds.ts';

const HEARTBEAT_MS = 15_000;
/** How often it is looked whose token has expired. */
const EXPIRY_MS = 1_000;
/**
 * A page waits in memory while its reader is slow: so many events at most, and so many bytes of text, which JSON may make six
 * times as many.
 */
const PAGE = 500;
const PAGE_BYTES = 256 * 1024;
const NOTHING: BlockPage = { shown: [], hasMore: true };
/** How long the end of the server waits for the ends of streams to be recorded. */
const DRAIN_MS = 2_000;
/** What is said to who asks while this instance does not know the log’s history, in seconds. */
const CATCH_UP_SECONDS = 3;

/** What a stream shows, and from where on. */
export type StreamRequest = {
  filter: Filter;
  /** As given, for the record. */
  filters: Record<string, string | string[]>;
  after: Position | undefined;
};

export type StreamStats = { open: number; tooSlow: number };

export type Streams = {
  /**
   * Opens a live stream for whoever asks; resolves when it is on record and its first block is written.
   *
   * @param respond called once all is well: begins the response
   * @throws CodedError
   */
  open: (request: FastifyRequest, asked: StreamRequest, respond: () => ServerResponse) => Promise<void>;
  /** How many are open, and how many were ended since the start because their readers were too slow. */
  stats: () => StreamStats;
};

declare module 'fastify' {
  interface FastifyInstance {
    streams: Streams;
  }
}

type Details = DetailsOf<'AUDIT_STREAMED'>;
type Source = { user_id: string; ip: string | null };
/** A stream that is open or being opened, and whose. */
type Entry = { reader: Reader; principal: Principal };

const hasExpired = ({ expiresAt }: Principal): boolean => expiresAt !== undefined && expiresAt <= Date.now();

/** Where a stream runs in the log as it stands. @throws CodedError for an interval that is none */
function courseOf(state: LogState, { filter, after }: StreamRequest): Course {
  const start = startOf(state, after);
  const goesOn = after !== undefined && start.reset === undefined;
  // A span back from now has moved on since the reader began, and would leave out what it has not seen.
  const movesOn = filter.from !== undefined && 'secondsAgo' in filter.from;
  const from = goesOn && movesOn ? undefined : state.from;
  const { epoch, firstSeq, to, toSeq } = state;
  checkInterval(from, to);
  return { ...start, epoch, firstSeq, from, to, toSeq };
}

/** The live streams of the log: one subscription to the tail for all, and an end for each when its time has come. */
export default fp(
  async function streams(fastify: FastifyInstance) {
    const { audit, auth, database, limits, moderation, tail, turns } = fastify;
    const entries = new Set<Entry>();
    /** What has to be over before the server may stop: openings, and the records of ends. */
    const unfinished = new Set<Promise<void>>();
    let tooSlow = 0;
    let draining = false;

    const feed = new Feed({
      next: tail.next,
      epoch: () => audit.epoch,
      // Those who were to see it would miss it; they come back, and read it from the database.
      onFault: (error, { seq }) => {
        fastify.log.error({ err: error, seq }, 'an event could not be streamed');
        endAll('failed');
      },
    });
    const rounds = new Rounds();
    const joiner = new Joiner();
    const subscription = tail.subscribe((events) => feed.take(events), feed.next);

    function track(work: Promise<void>): void {
      unfinished.add(work);
      const forget = (): void => {
        unfinished.delete(work);
      };
      work.then(forget, forget);
    }

    async function open(
      request: FastifyRequest,
      asked: StreamRequest,
      respond: () => ServerResponse,
    ): Promise<void> {
      const { principal } = request;
      if (principal === null) throw new Error('nobody asks');
      if (draining) throw new CodedError('overloaded', 'The server is shutting down.');
      const reader = new Reader({
        matcher: compileFilter(asked.filter),
        feed,
        readPage: (range, epoch) =>
          turns.readBulk(principal.userId, async () => {
            // Who has gone while they waited is not read for.
            if (reader.isOver) return NOTHING;
            const page = await read(
              listEvents(database.read, asked.filter, range, 'asc', PAGE, undefined, PAGE_BYTES),
            );
            // Within its turn, for this takes as long again.
            const shown = page.events.map((event) => ({ event, block: auditBlock(epoch, event) }));
            return { shown, hasMore: page.hasMore };
          }),
        onFault: (error) => request.log.warn({ req: request, err: error }, 'a stream had to be ended'),
      });
      // From here on it can be ended, so that nothing that ends the right to read is missed while the log is asked.
      const entry: Entry = { reader, principal };
      entries.add(entry);
      checkKey(entry);
      void reader.over.then((reason) => {
        entries.delete(entry);
        if (reason === 'too_slow') tooSlow += 1;
      });
      const opening = begin(entry, request, asked, respond);
      track(opening);
      await opening;
    }

    async function begin(
      { reader, principal }: Entry,
      request: FastifyRequest,
      asked: StreamRequest,
      respond: () => ServerResponse,
    ): Promise<void> {
      // Asked now: a connection that is closed no longer tells.
      const source = { user_id: principal.userId, ip: addressOf(request) };
      try {
        const course = await turns.read(principal.userId, () => readCourse(asked));
        const record = recorder(source, asked, course);
        const { seq, timestamp } = await record.opened();
        track(reader.over.then((reason) => record.ended(seq, reader.rows, reason)));
        // The end of the interval may have come since; from here on the feed tells of it.
        const isPast = course.to !== undefined && (timestamp >= course.to || feed.time >= course.to);
        if (isPast) course.toSeq ??= await readSeqAt(course.to ?? '');
        if (reader.isOver)
          throw new CodedError('overloaded', 'The stream was ended before it began; ask again.');
        const response = respond();
        const output = new Output(response, {
          rounds,
          joiner,
          budget: limits.streamBudget(principal.userId),
          onClosed: () => reader.end('client_gone'),
          onStuck: () => reader.end('too_slow'),
        });
        if (response.destroyed) reader.end('client_gone');
        else reader.follow(output, course);
      } catch (error) {
        reader.end('failed');
        throw error;
      }
    }

    async function readCourse(asked: StreamRequest): Promise<Course> {
      const state = await read(readLogState(database.read, asked.filter));
      if (state.epoch !== audit.epoch) {
        throw new CodedError('audit_unavailable', 'The log has a new history, which is not known here yet.', {
          retryAfter: CATCH_UP_SECONDS,
        });
      }
      return courseOf(state, asked);
    }

    /** The first seq at or after a time, in the log’s text form. */
    async function readSeqAt(time: string): Promise<number | undefined> {
      return (await read(readLogState(database.read, { to: { at: time } }))).toSeq;
    }

    /** Puts a stream on record, when it opens and when it ends. */
    function recorder(source: Source, { filters }: StreamRequest, { next }: Course) {
      const record = (details: Omit<Details, 'filters' | 'from_seq'>): Draft => ({
        action: 'AUDIT_STREAMED',
        ...source,
        details: { filters, from_seq: next, ...details },
      });
      const ended = async (opened_seq: number, rows: number, reason: StreamEndReason): Promise<void> => {
        await audit.recordSurely(record({ phase: 'ended', opened_seq, rows, reason })).catch(() => {
          // The process ends, or its place in the log is lost; the INSTANCE_LOST that follows stands for it.
        });
      };
      const opened = (): Promise<Receipt> =>
        audit.record(record({ phase: 'opened' })).catch((error: unknown) => {
          // It may be on record after all; then so is its end.
          if (error instanceof OutcomeUnknownError) {
            error.settled.then(
              ({ seq }) => ended(seq, 0, 'failed'),
              () => {},
            );
          }
          throw error;
        });
      return { opened, ended };
    }

    // ---- the ends

    function endAll(reason: StreamEndReason): void {
      for (const { reader } of entries) reader.end(reason);
    }

    /** Resolves when the end of every stream is on record, also of those that are being opened. */
    async function allFinished(): Promise<void> {
      while (unfinished.size > 0) await Promise.allSettled(unfinished);
    }

    moderation.onBanned((userId) => {
      for (const { reader, principal } of entries) if (principal.userId === userId) reader.end('banned');
    });
    function checkKey({ reader, principal }: Entry): void {
      if (auth.isWithdrawn(principal)) reader.end('token_withdrawn');
    }
    auth.onKeys(() => {
      for (const entry of entries) checkKey(entry);
    });
    // Those who come back are told by a reset, or go on.
    audit.onLost(() => endAll('failed'));
    audit.onNewEpoch((next) => {
      endAll('failed');
      feed.restart(next);
    });

    const timers = [
      setInterval(() => {
        for (const { reader } of entries) reader.beat();
      }, HEARTBEAT_MS),
      setInterval(() => {
        for (const { reader, principal } of entries) if (hasExpired(principal)) reader.end('token_expired');
      }, EXPIRY_MS),
    ];

    // Beside the sessions, so that the end of the server takes no longer for it.
    fastify.onSocketDrain(async () => {
      draining = true;
      for (const timer of timers) clearInterval(timer);
      endAll('shutting_down');
      await Promise.race([allFinished(), delay(DRAIN_MS, undefined, { ref: false })]);
    });
    fastify.addHook('onClose', async () => subscription.close());

    fastify.decorate('streams', { open, stats: () => ({ open: entries.size, tooSlow }) });
  },
  {
    name: 'streams',
    dependencies: ['auth', 'database', 'audit', 'tail', 'moderation', 'websocket', 'limits', 'turns'],
  },
);
