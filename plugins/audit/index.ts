import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { makePartitions } from '../../db/append.ts';
import { readCursorKey } from '../../db/events.ts';
import type { Attempt } from '../../src/core/commit-batch.ts';
import type { Receipt } from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/events.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { Instance, type InstanceStats } from './instance.ts';
import { Seen } from './seen.ts';

const PARTITIONS_MS = 10_000;
const SPARE_PARTITIONS = 2;
/** Promise 4: readiness warns when the log's time is this far ahead of the clock. */
const MAX_AHEAD_MS = 5_000;
/** A check of readiness is good for this long, and takes no longer than that. */
const CHECK_FRESH_MS = 500;
const CHECK_TIMEOUT_MS = 1_500;
/** How long the end of the process waits for the log. */
const CLOSE_MS = 2_000;
const REJOIN_MS = 500;

export type AuditOptions = {
  version: string;
  /** Where this machine remembers how far it has seen the log. */
  dataDir: string;
};

export type AuditStats = InstanceStats & { sparePartitions: number };

export type Audit = {
  /** The name of this process in the log; another one after its place in the log was lost. */
  readonly instance: string;
  /** The name of this history. */
  readonly epoch: string;
  /** How many other instances write to this log. */
  readonly others: number;
  /** The key that cursors are signed with, the same on every instance. */
  cursorKey: Buffer;
  /**
   * Records an event; resolves with its number and time once it is durably committed.
   *
   * @throws CodedError `invalid_text`, `too_large`, `overloaded`, `audit_unavailable` (certainly not on
   *   record); OutcomeUnknownError
   */
  record: (draft: Draft) => Promise<Receipt>;
  /**
   * Records an event that must not be missing: tries until it is on record. Rejects when the process ends or
   * its place in the log is lost; then another instance records what ends with this one.
   */
  recordSurely: (draft: Draft) => Promise<Receipt>;
  /** Calls back with the events of each batch that this instance committed, before any caller is answered. */
  onCommit: (listener: (events: AuditEvent[]) => void) => void;
  /** Calls back after each attempt to append a batch. The listener must not throw. */
  onAttempt: (listener: (attempt: Attempt) => void) => void;
  stats: () => AuditStats;
  /** Calls back when there may be more in the log than what `onCommit` tells. */
  onHint: (listener: () => void) => void;
  /**
   * Calls back when this instance has lost its place in the log: whatever it had open is ended on record by
   * others, and nothing more of it may be shown to anybody.
   */
  onLost: (listener: () => void) => void;
  /** Calls back when the log goes on under a new epoch, with the number of its first event. */
  onNewEpoch: (listener: (nextSeq: number) => void) => void;
  /**
   * Undefined while what is on record may be shown; else a promise to wait for before asking again. A process
   * whose lease has lapsed does not know what was recorded in its place.
   */
  mayShow: () => Promise<void> | undefined;
  /** Tells how far the log was read here: the number after the last event of the present epoch that was seen. */
  noteSeen: (nextSeq: number) => void;
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

/** Records events: one writer at a time, which is replaced by another when it has lost its place. */
export default fp(
  async function audit(fastify: FastifyInstance, { version, dataDir }: AuditOptions) {
    const { write, facts } = fastify.database;
    const startedAt = performance.now();
    const cursorKey = await readCursorKey(write);
    const commitListeners: ((events: AuditEvent[]) => void)[] = [];
    const attemptListeners: ((attempt: Attempt) => void)[] = [];
    const hintListeners: (() => void)[] = [];
    const lostListeners: (() => void)[] = [];
    const epochListeners: ((nextSeq: number) => void)[] = [];
    const seen = await Seen.load(dataDir, (error) =>
      fastify.log.warn({ err: error }, 'DATA_DIR cannot hold how far the log was seen'),
    );
    let spare = SPARE_PARTITIONS;
    /** Those that were lost; what they have in doubt is still looked up. */
    const former: Instance[] = [];
    let closing = false;

    const join = (): Promise<Instance> =>
      Instance.join({
        db: write,
        seen: seen.epochs,
        onCommit: (events) => {
          for (const listener of commitListeners) listener(events);
        },
        onAttempt: (attempt) => {
          for (const listener of attemptListeners) listener(attempt);
        },
        onKnown: (epoch, nextSeq) => seen.note(epoch, nextSeq),
        onRewound: (epoch) => seen.distrust(epoch),
        onReaped: () => {
          for (const listener of hintListeners) listener();
        },
        onLost: (reason, lost) => {
          fastify.log.error({ instance: lost.name }, `this instance has lost its place: ${reason}`);
          former.push(lost);
          for (const listener of lostListeners) listener();
          void rejoin();
        },
        onWarning: (message) => fastify.log.warn(message),
      });

    /** Takes a new place under a new name, as a process that starts would. */
    async function rejoin(): Promise<void> {
      const { epoch } = instance.history;
      while (!closing) {
        try {
          instance = await join();
          const { history } = instance;
          if (history.epoch !== epoch) for (const listener of epochListeners) listener(history.nextSeq);
          fastify.log.info(
            { instance: instance.name, ...history },
            'this instance has a new place in the log',
          );
          break;
        } catch (error) {
          fastify.log.warn({ err: error }, 'no new place in the log yet');
          await delay(REJOIN_MS, undefined, { ref: false });
        }
      }
      // The end came while the place was taken; it will be given up by others.
      if (closing) instance.stop();
      // If this place is lost as well, `onLost` looks for another.
      else await instance.recordSurely(started()).catch((error: Error) => fastify.log.warn({ err: error }));
    }

    const started = (): Draft => ({
      action: 'SERVER_STARTED',
      details: { version, node: process.version, postgres: facts.version },
    });

    async function keepPartitions(): Promise<void> {
      try {
        spare = await makePartitions(write);
      } catch (error) {
        // Somebody holds a lock, or the database is away: tried again soon, and `warnings` tells of it.
        fastify.log.warn({ code: (error as { code?: string }).code }, 'no partition could be made');
        spare = Math.min(spare, SPARE_PARTITIONS - 1);
      }
    }

    /** The last check, shared by those who ask at the same time. */
    let lastCheck: { at: number; answer: Promise<string | null> } | undefined;
    /** The question under way, if any: one that hangs holds a connection, and more of them would hold all. */
    let asking: Promise<string | null> | undefined;
    function check(): Promise<string | null> {
      const now = performance.now();
      if (lastCheck !== undefined && now - lastCheck.at < CHECK_FRESH_MS) return lastCheck.answer;
      asking ??= instance
        .probe()
        .then(
          () => (instance.isLost ? 'this instance has lost its place in the log' : null),
          (error: Error) => error.message,
        )
        .finally(() => {
          asking = undefined;
        });
      const timeout = delay(CHECK_TIMEOUT_MS, 'the database does not answer in time', { ref: false });
      lastCheck = { at: now, answer: Promise.race([asking, timeout]) };
      return lastCheck.answer;
    }

    let instance = await join();
    if (instance.history.reason !== null) {
      fastify.log.warn(instance.history, 'this log is not what it was; a new epoch has begun');
    }
    const partitions = setInterval(() => void keepPartitions(), PARTITIONS_MS);
    await keepPartitions();

    fastify.decorate('audit', {
      get instance() {
        return instance.name;
      },
      get epoch() {
        return instance.history.epoch;
      },
      get others() {
        return instance.others;
      },
      cursorKey,
      record: (draft) => instance.record(draft),
      recordSurely: (draft) => instance.recordSurely(draft),
      onCommit: (listener) => commitListeners.push(listener),
      onAttempt: (listener) => attemptListeners.push(listener),
      stats: () => ({ ...instance.stats, sparePartitions: spare }),
      onHint: (listener) => hintListeners.push(listener),
      onLost: (listener) => lostListeners.push(listener),
      onNewEpoch: (listener) => epochListeners.push(listener),
      mayShow: () => instance.whenLeaseSettled(),
      noteSeen: (nextSeq) => instance.know(nextSeq),
      isTroubled: () => instance.isLost || instance.trouble !== null,
      check,
      warnings: () => [
        ...(spare < SPARE_PARTITIONS
          ? [`only ${spare} spare partitions: past the last one nothing can be written`]
          : []),
        ...(instance.aheadMs > MAX_AHEAD_MS
          ? [
              `the log's time is ${Math.round(instance.aheadMs / 1000)} s ahead of the database's clock, which went back`,
            ]
          : []),
      ],
    });

    fastify.addHook('onReady', async () => {
      await instance.record(started());
    });

    fastify.addHook('onClose', async () => {
      closing = true;
      clearInterval(partitions);
      const uptime = Math.round(performance.now() - startedAt);
      const late = delay(CLOSE_MS, new Error('the database does not answer in time'), { ref: false });
      const goodbye = instance.leave({ action: 'SERVER_STOPPED', details: { uptime_ms: uptime } });
      const outcome = await Promise.race([goodbye.catch((error: Error) => error), late]);
      for (const each of [instance, ...former]) each.stop();
      await seen.close();
      if (outcome !== undefined) fastify.log.error({ err: outcome }, 'the log could not be closed in order');
    });
  },
  { name: 'audit', dependencies: ['database'] },
);
