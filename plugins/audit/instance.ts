import { randomBytes } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { type History, PostgresLogStore, type Renewal } from '../../db/append.ts';
import type { Db } from '../../db/client.ts';
import { type Attempt, BatchCommitter } from '../../src/core/commit-batch.ts';
import { type CodedError, OutcomeUnknownError, type Receipt } from '../../src/core/errors.ts';
import { type Draft, prepareEvent } from '../../src/core/events.ts';
import { GroupCommit } from '../../src/core/group-commit.ts';
import { LEASE_MS } from '../../src/core/lease.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';

const MIB = 1024 * 1024;
/** How long a caller of `record` waits for an answer at most; its client hears within 5 s (promise 2 of the log). */
const DEADLINE_MS = 4_800;
/** The database ends an append that waits for a lock after 1 s (db/client.ts); with room for the way there. */
const ATTEMPT_MS = 1_200;
const LIMITS = {
  maxBatchEvents: 512,
  maxBatchBytes: MIB,
  maxQueueEvents: 20_000,
  maxQueueBytes: 32 * MIB,
};
/** Two renewals may fail before the lease lapses. After a failure it is tried again sooner, to be back at once. */
const RENEW_MS = 3_000;
const RENEW_AGAIN_MS = 500;
const BEAT_MS = LEASE_MS / 10;
/** Sessions whose ends are recorded in one commit. */
const REAP_SESSIONS = 500;
/** When a lapsed lease could not be taken over yet: its instance, or we, have only just come back. */
const REAP_AGAIN_MS = 500;
/** An append without an answer for so long makes the server not ready. */
const OVERDUE_MS = 1_500;
const SURE_RETRY_MS = 250;

export type InstanceOptions = {
  db: Db;
  /** Of each epoch that is remembered, the number after its last known event. */
  seen: ReadonlyMap<string, number>;
  /** Called with the events of each batch that is known to be durable, in order, before any caller is answered. */
  onCommit: (events: AuditEvent[]) => void;
  /** Called after each attempt to append a batch; must not throw. */
  onAttempt: (attempt: Attempt) => void;
  /** Called with what is known of the log: the number after its last event. */
  onKnown: (epoch: string, nextSeq: number) => void;
  /** Called when it has recorded the ends of what a lost instance had open. */
  onReaped: () => void;
  /** Called when the log of an epoch turns out to have been put back, before it is lost for that. */
  onRewound: (epoch: string) => void;
  /** Called once, when it can answer for its sessions no more; they are ended by whoever reaps it. */
  onLost: (reason: string, instance: Instance) => void;
  onWarning: (message: string) => void;
};

/** What the writing of the log is at, for whoever measures. */
export type InstanceStats = {
  /** Events that wait for their batch, and their bytes. */
  queuedEvents: number;
  queuedBytes: number;
  /** Events refused because the queue was full, since the start. */
  queueRefused: number;
  /** How long the oldest unanswered event has waited, in milliseconds. */
  oldestWaitMs: number;
  /** How long the lease lasts at least without another renewal, in milliseconds; 0: it has run out. */
  leaseLeftMs: number;
};

const newName = (): string =>
  `${
    hostname()
      .replace(/[^A-Za-z0-9-]/g, '')
      .slice(0, 24) || 'host'
  }-${randomBytes(4).toString('hex')}`;

/**
 * A writer of the log, from joining to leaving or being lost: it records, keeps its lease alive, and ends what
 * other instances left whose leases lapsed.
 */
export class Instance {
  readonly #options: InstanceOptions;
  readonly #store: PostgresLogStore;
  readonly #committer: BatchCommitter;
  readonly #group: GroupCommit;
  readonly #ended = new AbortController();
  /** Whether `join` is over; who never had a place cannot lose one. */
  #joined = false;
  #lost = false;
  readonly #beat: NodeJS.Timeout;
  /** The next renewal. */
  #renewal: NodeJS.Timeout | undefined;
  /** The next look at what others have left. */
  #reaping: NodeJS.Timeout | undefined;
  /** Why the last renewal failed; null when it did not. */
  #renewalTrouble: string | null = null;
  /** The number after the last event that is known here. */
  #known: number;
  #others = 0;
  #aheadMs = 0;
  readonly history: History;

  private constructor(store: PostgresLogStore, history: History, options: InstanceOptions) {
    this.#options = options;
    this.#store = store;
    this.history = history;
    this.#known = history.nextSeq;
    this.#committer = new BatchCommitter({
      store,
      known: () => this.#known,
      onRewound: () => this.#rewound(),
      onCommit: (events) => {
        this.know((events.at(-1)?.seq ?? -1) + 1);
        options.onCommit(events);
      },
      deadlineMs: DEADLINE_MS,
      attemptMs: ATTEMPT_MS,
      mayShow: () => store.lease.whenSettled(),
      signal: this.#ended.signal,
      observe: options.onAttempt,
    });
    this.#group = new GroupCommit({
      ...LIMITS,
      deadlineMs: DEADLINE_MS,
      minLeftMs: ATTEMPT_MS,
      commit: (entries) => this.#committer.commit(entries),
    });
    this.#beat = setInterval(() => store.lease.beat(), BEAT_MS);
  }

  /** Joins the writers under a fresh name, and sees that the log is the one that is remembered. */
  static async join(options: InstanceOptions): Promise<Instance> {
    let instance: Instance | undefined;
    const store = await PostgresLogStore.join(options.db, newName(), () => {
      if (instance !== undefined) instance.#lose('it was stopped for too long, or others gave it up');
    });
    try {
      instance = new Instance(store, await store.checkHistory(options.seen), options);
      await instance.renew();
      if (instance.isLost) throw new Error('the place in the log was lost as soon as it was taken');
    } catch (error) {
      instance?.stop();
      // Nothing was done under this name; else it would be given up for lost one day.
      await store.leave().catch(() => {});
      throw error;
    }
    instance.#joined = true;
    instance.#scheduleRenewal(RENEW_MS);
    return instance;
  }

  /** Its name in the log. */
  get name(): string {
    return this.#store.id;
  }

  /** How many other instances write to this log, as of the last renewal. */
  get others(): number {
    return this.#others;
  }

  /** How far the log’s time was ahead of the clock at the last renewal, in milliseconds. */
  get aheadMs(): number {
    return this.#aheadMs;
  }

  /** Why the log cannot be written, as far as is known without asking; null when nothing is known to be wrong. */
  get trouble(): string | null {
    // Another connection may well be answered; this one is not, and messages wait for it.
    if (this.#committer.waitingMs > OVERDUE_MS) return 'the database has not answered an append';
    return this.#committer.trouble ?? this.#renewalTrouble;
  }

  /** What waits, and how long the lease lasts. */
  get stats(): InstanceStats {
    return {
      queuedEvents: this.#group.queued,
      queuedBytes: this.#group.queuedBytes,
      queueRefused: this.#group.refused,
      oldestWaitMs: this.#group.oldestWaitMs,
      leaseLeftMs: this.#store.lease.remainingMs,
    };
  }

  get isLost(): boolean {
    return this.#store.lease.isLost;
  }

  /** Resolves when the lease is held again or lost; undefined when it is held, or lost for ever. */
  whenLeaseSettled(): Promise<void> | undefined {
    return this.#store.lease.whenSettled();
  }

  /** Records an event; see `Audit.record`. */
  record(draft: Draft): Promise<Receipt> {
    try {
      return this.#group.add(prepareEvent(draft, this.name, Date.now()));
    } catch (error) {
      return Promise.reject(error);
    }
  }

  /** Records an event, trying until it is on record; rejects when this instance ends before. */
  async recordSurely(draft: Draft): Promise<Receipt> {
    for (;;) {
      try {
        return await this.record(draft).catch((error: unknown) => {
          if (error instanceof OutcomeUnknownError) return error.settled;
          throw error;
        });
      } catch (error) {
        const { code } = error as CodedError;
        const passes = code === 'audit_unavailable' || code === 'overloaded';
        if (!passes || this.isLost || this.#ended.signal.aborted) throw error;
        await delay(SURE_RETRY_MS, undefined, { signal: this.#ended.signal });
      }
    }
  }

  /** Renews the lease and looks whether all is as it should be. @throws AppendError when the database does not answer */
  async renew(): Promise<void> {
    const known = this.#known;
    const renewal = await this.#store.renew();
    if (renewal.epoch !== this.history.epoch) this.#lose('the log has begun a new epoch');
    else if (renewal.nextSeq < known) this.#rewound();
    else this.know(renewal.nextSeq);
    this.#others = renewal.others;
    this.#aheadMs = renewal.aheadMs;
    this.#renewalTrouble = null;
    this.#scheduleReaping(renewal);
  }

  /** Asks the database whether the log can be written: an append that it takes back. */
  async probe(): Promise<void> {
    if (this.#committer.waitingMs > OVERDUE_MS) throw new Error('the database has not answered an append');
    await this.renew();
    // A renewed lease says that the database can be written; after a failed append, only an append says more.
    if (this.#committer.trouble !== null) await this.#store.probe();
  }

  /** Records a last event, takes no more and gives the lease back. */
  async leave(last: Draft): Promise<void> {
    await this.record(last);
    await this.#group.close();
    await this.#store.leave();
  }

  /** Events up to, but without, a number were seen in the log. */
  know(nextSeq: number): void {
    if (nextSeq <= this.#known || this.isLost) return;
    this.#known = nextSeq;
    this.#options.onKnown(this.history.epoch, nextSeq);
  }

  /** Stops all that is under way; what is unknown then stays unknown. */
  stop(): void {
    this.#ended.abort();
    this.#rest();
  }

  #rewound(): void {
    this.#options.onRewound(this.history.epoch);
    this.#lose('the log was put back to an older state');
  }

  /** Its sessions will be ended by others; nothing of it may be written or shown any more. */
  #lose(reason: string): void {
    if (this.#lost || this.#ended.signal.aborted) return;
    this.#lost = true;
    this.#rest();
    this.#store.lease.lose();
    this.#group.abort();
    if (this.#joined) this.#options.onLost(reason, this);
  }

  #rest(): void {
    clearInterval(this.#beat);
    clearTimeout(this.#renewal);
    clearTimeout(this.#reaping);
  }

  #scheduleRenewal(afterMs: number): void {
    if (this.isLost || this.#ended.signal.aborted) return;
    this.#renewal = setTimeout(() => {
      this.renew().then(
        () => this.#scheduleRenewal(RENEW_MS),
        (error: Error) => {
          // Said once, not twice a second for as long as it lasts.
          if (this.#renewalTrouble !== error.message) {
            this.#options.onWarning(`the lease was not renewed: ${error.message}`);
          }
          this.#renewalTrouble = error.message;
          this.#scheduleRenewal(RENEW_AGAIN_MS);
        },
      );
    }, afterMs);
  }

  #scheduleReaping({ lapseMs }: Pick<Renewal, 'lapseMs'>): void {
    clearTimeout(this.#reaping);
    if (lapseMs === null || this.isLost || this.#ended.signal.aborted) return;
    this.#reaping = setTimeout(() => void this.#reap(), Math.max(lapseMs + 10, REAP_AGAIN_MS / 10));
  }

  async #reap(): Promise<void> {
    try {
      let count: number;
      do {
        count = await this.#store.reap(REAP_SESSIONS);
        if (count > 0) this.#options.onReaped();
      } while (count > 0 && !this.isLost);
    } catch (error) {
      this.#options.onWarning(`a lost instance could not be ended yet: ${(error as Error).message}`);
    }
    // The next renewal says whether there is more; until then this.
    this.#scheduleReaping({ lapseMs: REAP_AGAIN_MS });
  }
}
