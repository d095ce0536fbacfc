import type { Entry, HandOut } from './commit-batch.ts';
import { CodedError, type Receipt } from './errors.ts';
import type { PendingEvent } from './events.ts';

/** How long a caller waits for an answer at most, in milliseconds; its client hears within 5 s (promise 2 of the log). */
export const DEADLINE_MS = 4_800;

export type GroupCommitOptions = {
  /**
   * Commits a batch; the next one starts when it resolves. Entries that are not answered by then are answered by
   * calling what it resolves with. Must not throw.
   */
  commit: (entries: readonly Entry[]) => Promise<HandOut>;
  /** The most events and bytes of one batch. A single larger event makes a batch of its own. */
  maxBatchEvents: number;
  maxBatchBytes: number;
  /** The most events and bytes that may wait; beyond, callers get `overloaded`. */
  maxQueueEvents: number;
  maxQueueBytes: number;
  /** How long an event may wait for its batch to start, in milliseconds; then its caller gets `audit_unavailable`. */
  deadlineMs: number;
  /**
   * How much of its time an event must have left to be sent, in milliseconds; with less it is refused. A batch has
   * no more time than its oldest event, so one that is almost out of time would take all others with it.
   */
  minLeftMs: number;
};

/**
 * Group commit without a timer: while one batch commits, the next one gathers. At low load an event waits
 * for nobody; at high load batches grow with what the disk takes.
 *
 * When a batch is durable, the next one is sent before anybody is told of the first, so that the database works
 * while this process hands out the results.
 */
export class GroupCommit {
  readonly #options: GroupCommitOptions;
  /** Events that no batch has taken yet, oldest first. */
  #queue: Entry[] = [];
  /** The bytes of `#queue`. */
  #queueBytes = 0;
  /** The oldest event of the batch under way; undefined between batches. */
  #underWay: Entry | undefined;
  /** How many events were refused because the queue was full. */
  #refused = 0;
  /** Whether a batch is under way, or about to start in this turn of the event loop. */
  #busy = false;
  /** Runs out when the oldest queued event has waited too long; set only while the queue is not empty. */
  #expiry: NodeJS.Timeout | undefined;
  #closed = false;
  /** Resolved when the queue is empty and nothing is under way; set by `close`. */
  #idle: PromiseWithResolvers<void> | undefined;

  constructor(options: GroupCommitOptions) {
    this.#options = options;
  }

  /** How many events wait for their batch. */
  get queued(): number {
    return this.#queue.length;
  }

  /** The bytes of the events that wait for their batch. */
  get queuedBytes(): number {
    return this.#queueBytes;
  }

  /** How many events were refused because the queue was full, since the start. */
  get refused(): number {
    return this.#refused;
  }

  /** How long the oldest unanswered event has waited, queued or in the batch under way, in milliseconds. */
  get oldestWaitMs(): number {
    const oldest = this.#underWay ?? this.#queue[0];
    return oldest === undefined ? 0 : performance.now() - oldest.queuedAt;
  }

  /**
   * Queues an event; resolves once it is durable.
   *
   * @param since since when its caller waits already, in milliseconds of the monotonic clock; default: now
   * @throws CodedError `overloaded` when the queue is full, `audit_unavailable` (also when it is closed),
   *   `invalid_text`; OutcomeUnknownError
   */
  add(pending: PendingEvent, since = performance.now()): Promise<Receipt> {
    const { maxQueueEvents, maxQueueBytes } = this.#options;
    if (this.#closed) {
      return Promise.reject(new CodedError('audit_unavailable', 'The server is shutting down.'));
    }
    if (this.#queue.length >= maxQueueEvents || this.#queueBytes + pending.bytes > maxQueueBytes) {
      this.#refused += 1;
      return Promise.reject(new CodedError('overloaded', 'Too many events wait to be recorded; try again.'));
    }
    const { promise, resolve, reject } = Promise.withResolvers<Receipt>();
    this.#insert({ pending, queuedAt: since, resolve, reject });
    this.#queueBytes += pending.bytes;
    if (this.#busy) this.#armExpiry();
    else {
      this.#busy = true;
      // Let the frames of every socket that this turn of the event loop reads share the first batch.
      setImmediate(() => void this.#run());
    }
    return promise;
  }

  /** Takes no more events; resolves when all that were taken are answered. */
  close(): Promise<void> {
    this.#closed = true;
    if (!this.#busy) return Promise.resolve();
    this.#idle ??= Promise.withResolvers();
    return this.#idle.promise;
  }

  /** Takes no more events and refuses those that wait; only the batch under way is still answered. */
  abort(): void {
    this.#closed = true;
    for (const entry of this.#queue) {
      entry.reject(new CodedError('audit_unavailable', 'This server has lost its place in the log.'));
    }
    this.#queue = [];
    this.#queueBytes = 0;
    this.#armExpiry();
  }

  async #run(): Promise<void> {
    /** Of the batch that was committed last, until it was called. */
    let handOut: HandOut | undefined;
    const handOutNow = (): void => {
      const pending = handOut;
      handOut = undefined;
      pending?.();
    };
    do {
      while (this.#queue.length > 0) {
        const batch = this.#takeBatch();
        this.#underWay = batch[0];
        this.#armExpiry();
        if (batch.length === 0) continue;
        const committed = this.#options.commit(batch);
        // The statement leaves within this turn of the event loop; then there is time.
        setImmediate(handOutNow);
        const next = await committed;
        handOutNow();
        handOut = next;
      }
      this.#underWay = undefined;
      // Who is told may have more to record.
      handOutNow();
    } while (this.#queue.length > 0);
    this.#busy = false;
    this.#idle?.resolve();
  }

  /** The queue stays in the order of waiting. Hardly anybody has waited elsewhere before, so this ends at once. */
  #insert(entry: Entry): void {
    let place = this.#queue.length;
    while (place > 0 && (this.#queue[place - 1]?.queuedAt ?? 0) > entry.queuedAt) place -= 1;
    if (place === this.#queue.length) this.#queue.push(entry);
    else this.#queue.splice(place, 0, entry);
    if (place > 0 || this.#expiry === undefined) return;
    // It runs out before the one that was the oldest.
    clearTimeout(this.#expiry);
    this.#expiry = undefined;
  }

  #takeBatch(): Entry[] {
    const { maxBatchEvents, maxBatchBytes, deadlineMs, minLeftMs } = this.#options;
    this.#refuseOlderThan(performance.now() - (deadlineMs - minLeftMs));
    let bytes = 0;
    let count = 0;
    for (const { pending } of this.#queue) {
      if (count === maxBatchEvents || (count > 0 && bytes + pending.bytes > maxBatchBytes)) break;
      bytes += pending.bytes;
      count += 1;
    }
    this.#queueBytes -= bytes;
    return this.#queue.splice(0, count);
  }

  #armExpiry(): void {
    const oldest = this.#queue[0];
    if (oldest === undefined) {
      clearTimeout(this.#expiry);
      this.#expiry = undefined;
    } else if (this.#expiry === undefined) {
      const wait = oldest.queuedAt + this.#options.deadlineMs - performance.now();
      this.#expiry = setTimeout(() => this.#expire(), Math.max(1, Math.ceil(wait)));
    }
  }

  #expire(): void {
    this.#expiry = undefined;
    this.#refuseOlderThan(performance.now() - this.#options.deadlineMs);
    this.#armExpiry();
  }

  #refuseOlderThan(queuedAt: number): void {
    let count = 0;
    for (const entry of this.#queue) {
      if (entry.queuedAt > queuedAt) break;
      this.#queueBytes -= entry.pending.bytes;
      // It was never sent to the database, so this is certain.
      entry.reject(
        new CodedError('audit_unavailable', 'The audit log cannot be written now; nothing was done.'),
      );
      count += 1;
    }
    if (count > 0) this.#queue.splice(0, count);
  }
}
