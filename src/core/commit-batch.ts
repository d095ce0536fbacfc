import { setTimeout as delay } from 'node:timers/promises';
import { CodedError, ExpelledError, OutcomeUnknownError, type Receipt } from './errors.ts';
import { type PendingEvent, placeEvent } from './events.ts';
import type { AuditEvent } from './schemas.ts';

/** What the database gave a batch: the number of its first event and the time of all of them. */
export type BatchReceipt = { first_seq: number; timestamp: string };

/**
 * Why an attempt to append failed, by what to do next:
 * - `item`: the database refuses the data of an event; nothing was written. Find the guilty one.
 * - `not_applied`: nothing was written. Try again.
 * - `unknown`: it may have been written. Try the identical batch again under its number.
 * - `fenced`: this writer's term or lease has ended; nothing was written. Take a new term.
 * - `expelled`: it holds what an administrator has put an end to; nothing was written. Go on without that.
 */
export const appendFailures = ['item', 'not_applied', 'unknown', 'fenced', 'expelled'] as const;
export type AppendFailure = (typeof appendFailures)[number];

export class AppendError extends Error {
  readonly kind: AppendFailure;
  /** Which events of the batch are `expelled`, counted from 0; else empty. */
  readonly expelled: readonly number[];

  constructor(kind: AppendFailure, message: string, cause: unknown, expelled: readonly number[] = []) {
    super(message, { cause });
    this.name = 'AppendError';
    this.kind = kind;
    this.expelled = expelled;
  }
}

/** The writer's side of the database. */
export type LogStore = {
  /** Appends a batch in one statement. The same number again is a no-op that answers as the first did. */
  append(number: number, batch: readonly PendingEvent[]): Promise<BatchReceipt>;
  /** Ends the present term, so that no attempt still under way can commit, and says what became of a batch. */
  resolve(number: number): Promise<BatchReceipt | null>;
  /** Takes a new term after the old one was fenced; false when this writer was given up for lost, and can never write again. */
  rejoin(): Promise<boolean>;
};

/** An event and the caller who waits for it. */
export type Entry = {
  pending: PendingEvent;
  /** Milliseconds of the monotonic clock when it was queued. */
  queuedAt: number;
  resolve: (receipt: Receipt) => void;
  reject: (error: CodedError) => void;
};

/** Tells everybody concerned what a commit has brought: first those who follow the log, then the callers. */
export type HandOut = () => void;

/** One attempt to append that has come to an end: how long it took, and how it failed if it did. */
export type Attempt = { ms: number; failure: AppendFailure | null };

export type CommitOptions = {
  store: LogStore;
  /** Called with the events of a batch, in order, as soon as they are known to be durable. */
  onCommit: (events: AuditEvent[]) => void;
  /** The number after the last event that is known to be in the log; 0 unless given. */
  known?: () => number;
  /** Called when a batch got numbers that named other events before it was sent: the log was put back meanwhile. */
  onRewound?: () => void;
  /** Undefined while receipts may be given; else a promise to wait for before they are. */
  mayShow?: () => Promise<void> | undefined;
  /** How long a caller waits for an answer at most, in milliseconds from the time of queueing. */
  deadlineMs: number;
  /** How long an attempt that the database refuses may take; none is begun that could outlast the deadline. */
  attemptMs: number;
  /** Aborted when the process gives up; what is unknown then stays unknown. */
  signal: AbortSignal;
  /** Told of every attempt, for whoever measures; must not throw. */
  observe?: (attempt: Attempt) => void;
};

const nothing: HandOut = () => {};
const FIRST_BACKOFF_MS = 25;
const MAX_BACKOFF_MS = 500;

const unavailable = (cause: unknown): CodedError =>
  new CodedError('audit_unavailable', 'The audit log cannot be written now; nothing was done.', { cause });

/** The outcome of some work; AppendError `unknown` when it is not there by the deadline. */
async function inTime<T>(work: Promise<T>, deadline: number): Promise<T> {
  const { promise: timeout, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(
    () => reject(new AppendError('unknown', 'the database has not answered in time', undefined)),
    Math.max(0, deadline - performance.now()),
  );
  try {
    return await Promise.race([work, timeout]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * Commits batches, one at a time, by this protocol:
 *
 *     attempt -- committed ----------------------------------------> answer with receipts
 *        |------ item: split in two -------------------------------> attempt each half
 *        |------ expelled: fence and look up if in doubt ----------> attempt the rest
 *        |------ anything else: the identical batch again, until the deadline
 *     deadline - no attempt in doubt -----------------------------> audit_unavailable
 *        '------ in doubt: outcome_unknown, then fence, look up --> the truth, late
 *
 * It never guesses: an attempt without an answer stays in doubt until the database has said what it was.
 */
export class BatchCommitter {
  readonly #options: CommitOptions;
  /** The number of the next batch; a number names one batch for ever. */
  #nextNumber = 1;
  /** Why the last attempt failed; null while the log takes events. */
  #trouble: string | null = null;
  /** When the batch under way was begun; undefined between batches. */
  #startedAt: number | undefined;

  constructor(options: CommitOptions) {
    this.#options = options;
  }

  /** How long the batch under way has waited for an answer, in milliseconds; 0 when none is. */
  get waitingMs(): number {
    return this.#startedAt === undefined ? 0 : performance.now() - this.#startedAt;
  }

  /** Why the log cannot be written, in words for an operator; null when the last attempt succeeded. */
  get trouble(): string | null {
    return this.#trouble;
  }

  /**
   * Commits the entries. Resolves as soon as the outcome is known, with what is then to be called, once and in
   * the order of the batches: until then nobody is told, so that the next batch can be sent first. Whoever is
   * refused is told at once. Throws only what is a fault of ours, and then stops the process.
   */
  async commit(entries: readonly Entry[]): Promise<HandOut> {
    this.#startedAt = performance.now();
    try {
      return await this.#commit(entries);
    } finally {
      this.#startedAt = undefined;
    }
  }

  async #commit(entries: readonly Entry[]): Promise<HandOut> {
    const oldest = entries[0];
    if (oldest === undefined) return nothing;
    const deadline = oldest.queuedAt + this.#options.deadlineMs;
    if (performance.now() >= deadline) {
      // Half of a batch whose first attempts took all the time; what is not sent is never in doubt.
      for (const entry of entries) entry.reject(unavailable(undefined));
      return nothing;
    }
    const number = this.#nextNumber++;
    const known = this.#options.known?.() ?? 0;
    const batch = entries.map((entry) => entry.pending);
    let inDoubt = false;
    let lastError: unknown;

    for (let backoff = FIRST_BACKOFF_MS; ; backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)) {
      const outcome = await this.#attempt(number, batch, deadline);
      if (!(outcome instanceof AppendError)) {
        // From here on the batch is durable: a crash loses nothing that anybody was or will be told.
        this.#trouble = null;
        return () => this.#settle(entries, outcome, known);
      }
      const failure = outcome;
      lastError = failure;
      this.#trouble = failure.message;
      if (failure.kind === 'item') {
        // What is in doubt is looked up first: its halves would be there a second time, under other numbers.
        if (inDoubt) break;
        return this.#split(entries, failure, deadline);
      }
      if (failure.kind === 'unknown') inDoubt = true;
      if (failure.kind === 'expelled') {
        // What goes on without some must not be there a second time with them, from an attempt in doubt.
        const earlier = inDoubt ? await this.#lookUp(number, deadline) : null;
        if (earlier === null) return this.#leaveOut(entries, failure);
        if (!(earlier instanceof Error)) return () => this.#settle(entries, earlier, known);
        lastError = earlier;
      }
      if (failure.kind === 'fenced') {
        // Whatever was in doubt can no longer commit unseen: under the new term the append first looks for
        // the batch's number.
        const rejoined = await inTime(this.#options.store.rejoin(), deadline).catch((error: unknown) => {
          lastError = error;
          return true;
        });
        if (!rejoined) break;
      }
      const { attemptMs, signal } = this.#options;
      if (performance.now() + backoff + attemptMs >= deadline || signal.aborted) break;
      await delay(backoff, undefined, { signal }).catch(() => {});
    }

    if (inDoubt) await this.#leaveInDoubt(number, entries, known, lastError);
    else for (const entry of entries) entry.reject(unavailable(lastError));
    return nothing;
  }

  /** One attempt, no longer than until the deadline. Resolves with the receipt or the failure. */
  async #attempt(
    number: number,
    batch: readonly PendingEvent[],
    deadline: number,
  ): Promise<BatchReceipt | AppendError> {
    const { store, observe } = this.#options;
    const startedAt = performance.now();
    try {
      const receipt = await inTime(store.append(number, batch), deadline);
      observe?.({ ms: performance.now() - startedAt, failure: null });
      return receipt;
    } catch (error) {
      if (!(error instanceof AppendError)) throw error;
      observe?.({ ms: performance.now() - startedAt, failure: error.kind });
      return error;
    }
  }

  /** What became of the attempts so far, of which none can commit any more; the error when nobody knows. */
  async #lookUp(number: number, deadline: number): Promise<BatchReceipt | null | Error> {
    try {
      return await inTime(this.#options.store.resolve(number), deadline);
    } catch (error) {
      return error as Error;
    }
  }

  /** @param known the number after the last event that was known when the batch was sent first */
  #settle(entries: readonly Entry[], { first_seq, timestamp }: BatchReceipt, known: number): void {
    const events = entries.map(({ pending }, index) => placeEvent(pending, first_seq + index, timestamp));
    // On record all the same. But who follows the log has seen other events under these numbers.
    if (first_seq < known) this.#options.onRewound?.();
    else this.#options.onCommit(events);
    const answer = (): void => {
      for (const { pending, resolve } of entries) resolve({ seq: pending.event.seq, timestamp });
    };
    const wait = this.#options.mayShow?.();
    if (wait === undefined) answer();
    else void wait.then(answer);
  }

  async #split(entries: readonly Entry[], failure: AppendError, deadline: number): Promise<HandOut> {
    // The data is at fault, not the log.
    this.#trouble = null;
    if (entries.length === 1) {
      entries[0]?.reject(
        new CodedError('invalid_text', 'The database refuses to keep this event as it is.', {
          cause: failure,
        }),
      );
      return nothing;
    }
    const middle = Math.ceil(entries.length / 2);
    const rest = entries.slice(middle);
    // The first half may come to be in doubt for however long; the second is not sent meanwhile.
    let isLate = false;
    const late = setTimeout(
      () => {
        isLate = true;
        for (const entry of rest) entry.reject(unavailable(failure));
      },
      Math.max(0, deadline - performance.now()),
    );
    const handOut = await this.#commit(entries.slice(0, middle));
    clearTimeout(late);
    handOut();
    return isLate ? nothing : this.#commit(rest);
  }

  /** Goes on without the events that were refused for who sent them. */
  #leaveOut(entries: readonly Entry[], failure: AppendError): Promise<HandOut> {
    this.#trouble = null;
    const expelled = new Set(failure.expelled);
    for (const index of expelled) entries[index]?.reject(new ExpelledError(failure));
    return this.#commit(entries.filter((_, index) => !expelled.has(index)));
  }

  /** Tells the senders that the outcome is unknown, then finds it out however long that takes. */
  async #leaveInDoubt(
    number: number,
    entries: readonly Entry[],
    known: number,
    cause: unknown,
  ): Promise<void> {
    const late = entries.map(({ reject }) => {
      const { promise, resolve, reject: rejectLate } = Promise.withResolvers<Receipt>();
      reject(new OutcomeUnknownError(promise, cause));
      return { resolve, reject: rejectLate };
    });
    const waiting = entries.map((entry, index) => ({ ...entry, ...late[index] }));
    const { store, signal } = this.#options;
    for (let backoff = FIRST_BACKOFF_MS; !signal.aborted; backoff = Math.min(backoff * 2, MAX_BACKOFF_MS)) {
      try {
        const receipt = await store.resolve(number);
        this.#trouble = null;
        if (receipt !== null) this.#settle(waiting, receipt, known);
        else for (const entry of waiting) entry.reject(unavailable(cause));
        return;
      } catch (error) {
        this.#trouble = error instanceof Error ? error.message : String(error);
        await delay(backoff, undefined, { signal }).catch(() => {});
      }
    }
  }
}
