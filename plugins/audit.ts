import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { makePartitions, PostgresLogStore } from '../db/append.ts';
import { readIdentity } from '../db/events.ts';
import { type Attempt, BatchCommitter } from '../src/core/commit-batch.ts';
import { type CodedError, OutcomeUnknownError, type Receipt } from '../src/core/errors.ts';
import { type Draft, prepareEvent } from '../src/core/events.ts';
import { GroupCommit } from '../src/core/group-commit.ts';
import type { AuditEvent } from '../src/core/schemas.ts';

const MIB = 1024 * 1024;
/** How long a caller of `record` waits for an answer at most (promise 2 of the log). */
const DEADLINE_MS = 5_000;
/** The database ends an append that waits for a lock after 1 s (db/client.ts); with room for the way there. */
const ATTEMPT_MS = 1_200;
const LIMITS = {
  maxBatchEvents: 512,
  maxBatchBytes: MIB,
  maxQueueEvents: 20_000,
  maxQueueBytes: 32 * MIB,
};
/** The lease lasts 10 s, so that two renewals may fail. */
const RENEW_MS = 3_000;
const PARTITIONS_MS = 10_000;
const SPARE_PARTITIONS = 2;
/** Promise 4: readiness warns when the log's time is this far ahead of the clock. */
const MAX_AHEAD_S = 5;
/** A check of readiness is good for this long, and takes no longer than that. */
const CHECK_FRESH_MS = 500;
const CHECK_TIMEOUT_MS = 1_500;
/** An append without an answer for so long makes the server not ready. */
const OVERDUE_MS = 1_500;
/** How long the end of the process waits for the log. */
const CLOSE_MS = 2_000;
const SURE_RETRY_MS = 250;

export type AuditOptions = { version: string };

/** What the writing of the log is at, for whoever measures. */
export type AuditStats = {
  /** Events that wait for their batch, and their bytes. */
  queuedEvents: number;
  queuedBytes: number;
  /** Events refused because the queue was full, since the start. */
  queueRefused: number;
  /** How long the oldest unanswered event has waited, in milliseconds. */
  oldestWaitMs: number;
  sparePartitions: number;
  /** How long the lease lasts at least without another renewal, in milliseconds; 0: it has run out. */
  leaseLeftMs: number;
};

export type Audit = {
  /** The name of this process in the log. */
  instance: string;
  /** The name of this history. */
  epoch: string;
  /** The key that cursors are signed with, the same on every instance. */
  cursorKey: Buffer;
  /**
   * Records an event; resolves with its number and time once it is durably committed.
   *
   * @throws CodedError `invalid_text`, `too_large`, `overloaded`, `audit_unavailable` (certainly not on
   *   record); OutcomeUnknownError
   */
  record: (draft: Draft) => Promise<Receipt>;
  /** Records an event that must not be missing: tries until it is on record, or the process ends. */
  recordSurely: (draft: Draft) => Promise<Receipt>;
  /** Calls back with the events of each batch that this instance committed, before any caller is answered. */
  onCommit: (listener: (events: AuditEvent[]) => void) => void;
  /** Calls back after each attempt to append a batch. The listener must not throw. */
  onAttempt: (listener: (attempt: Attempt) => void) => void;
  stats: () => AuditStats;
  /** Whether the last that was tried on the log failed; asks nobody. */
  isTroubled: () => boolean;
  /** Asks the database whether the log can be written now: null when it can, or the reason why not. */
  check: () => Promise<string | null>;
  /** What an operator should know although the log can be written. */
  warnings: () => string[];
};

declare module 'fastify' {
  interface FastifyInstance {
    audit: Audit;
  }
}

const instanceName = (): string =>
  `${
    hostname()
      .replace(/[^A-Za-z0-9-]/g, '')
      .slice(0, 24) || 'host'
  }-${randomBytes(4).toString('hex')}`;

/** Records events: one writer, group commit, a lease that is kept alive; drained when the server closes. */
export default fp(
  async function audit(fastify: FastifyInstance, { version }: AuditOptions) {
    const { write, facts } = fastify.database;
    const startedAt = performance.now();
    const instance = instanceName();
    const { epoch, cursorKey } = await readIdentity(write);
    const store = await PostgresLogStore.join(write, instance);
    const listeners: ((events: AuditEvent[]) => void)[] = [];
    const observers: ((attempt: Attempt) => void)[] = [];
    const ended = new AbortController();
    let spare = SPARE_PARTITIONS;
    /** Whether the last renewal of the lease failed. */
    let renewalFailed = false;
    /** How far the log's time was ahead of the clock at the last check, in seconds. */
    let ahead = 0;

    const committer = new BatchCommitter({
      store,
      onCommit: (events) => {
        for (const listener of listeners) listener(events);
      },
      deadlineMs: DEADLINE_MS,
      attemptMs: ATTEMPT_MS,
      signal: ended.signal,
      observe: (attempt) => {
        for (const observer of observers) observer(attempt);
      },
    });
    const group = new GroupCommit({
      ...LIMITS,
      deadlineMs: DEADLINE_MS,
      commit: (entries) => committer.commit(entries),
    });

    const record = async (draft: Draft): Promise<Receipt> =>
      group.add(prepareEvent(draft, instance, Date.now()));

    async function recordSurely(draft: Draft): Promise<Receipt> {
      for (;;) {
        try {
          return await record(draft).catch((error: unknown) => {
            if (error instanceof OutcomeUnknownError) return error.settled;
            throw error;
          });
        } catch (error) {
          const { code } = error as CodedError;
          const passes = code === 'audit_unavailable' || code === 'overloaded';
          if (!passes || ended.signal.aborted) throw error;
          await delay(SURE_RETRY_MS, undefined, { signal: ended.signal });
        }
      }
    }

    async function keepPartitions(): Promise<void> {
      try {
        spare = await makePartitions(write);
      } catch (error) {
        // Somebody holds a lock, or the database is away: tried again soon, and `warnings` tells of it.
        fastify.log.warn({ code: (error as { code?: string }).code }, 'no partition could be made');
        spare = Math.min(spare, SPARE_PARTITIONS - 1);
      }
    }

    /** A renewed lease says that the database can be written; after a failed append, only an append says more. */
    async function tryToWrite(): Promise<void> {
      // Another connection may well be answered; this one is not, and messages wait for it.
      if (committer.waitingMs > OVERDUE_MS) throw new Error('the database has not answered an append');
      await store.renew();
      ahead = await store.secondsAhead();
      if (committer.trouble === null) return;
      await store.probe();
    }

    /** The last check, shared by those who ask at the same time. */
    let lastCheck: { at: number; answer: Promise<string | null> } | undefined;
    function check(): Promise<string | null> {
      const now = performance.now();
      if (lastCheck !== undefined && now - lastCheck.at < CHECK_FRESH_MS) return lastCheck.answer;
      const timeout = delay(CHECK_TIMEOUT_MS, 'the database does not answer in time', { ref: false });
      const answer = tryToWrite().then(
        () => null,
        (error: Error) => error.message,
      );
      lastCheck = { at: now, answer: Promise.race([answer, timeout]) };
      return lastCheck.answer;
    }

    const renewal = setInterval(() => {
      // A failure shows in readiness; an append that finds itself fenced takes a new term by itself.
      store.renew().then(
        () => {
          renewalFailed = false;
        },
        (error: Error) => {
          renewalFailed = true;
          fastify.log.warn(`the lease was not renewed: ${error.message}`);
        },
      );
    }, RENEW_MS);
    const partitions = setInterval(() => void keepPartitions(), PARTITIONS_MS);
    await keepPartitions();

    fastify.decorate('audit', {
      instance,
      epoch,
      cursorKey,
      record,
      recordSurely,
      onCommit: (listener) => listeners.push(listener),
      onAttempt: (listener) => observers.push(listener),
      stats: () => ({
        queuedEvents: group.queued,
        queuedBytes: group.queuedBytes,
        queueRefused: group.refused,
        oldestWaitMs: group.oldestWaitMs,
        sparePartitions: spare,
        leaseLeftMs: store.leaseLeftMs,
      }),
      isTroubled: () => renewalFailed || committer.trouble !== null || committer.waitingMs > OVERDUE_MS,
      check,
      warnings: () => [
        ...(spare < SPARE_PARTITIONS
          ? [`only ${spare} spare partitions: past the last one nothing can be written`]
          : []),
        ...(ahead > MAX_AHEAD_S
          ? [`the log's time is ${Math.round(ahead)} s ahead of the database's clock, which went back`]
          : []),
      ],
    });

    fastify.addHook('onReady', async () => {
      const details = { version, node: process.version, postgres: facts.version };
      await record({ action: 'SERVER_STARTED', details });
    });

    fastify.addHook('onClose', async () => {
      clearInterval(renewal);
      clearInterval(partitions);
      const uptime = Math.round(performance.now() - startedAt);
      const goodbye = async (): Promise<void> => {
        await record({ action: 'SERVER_STOPPED', details: { uptime_ms: uptime } });
        await group.close();
        await store.leave();
      };
      const late = delay(CLOSE_MS, 'late' as const, { ref: false });
      const outcome = await Promise.race([goodbye().catch((error: Error) => error), late]);
      ended.abort();
      if (outcome !== undefined) {
        fastify.log.error(
          { err: outcome === 'late' ? undefined : outcome },
          'the log could not be closed in order',
        );
      }
    });
  },
  { name: 'audit', dependencies: ['database'] },
);
