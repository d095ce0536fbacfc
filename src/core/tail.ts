import type { AuditEvent } from './schemas.ts';

/** Takes events in `seq` order, each once; the next ones come when its promise resolves. */
export type TailHandler = (events: readonly AuditEvent[]) => void | Promise<void>;

/** What a read of the log gave, and whether that was all that was committed when it began. */
export type TailPage = { events: AuditEvent[]; isEnd: boolean };

export type TailOptions = {
  /** The first seq that is not known yet. */
  next: number;
  /** Reads committed events from `from` on, in order and without gaps, at most `limit`. */
  read: (from: number, limit: number) => Promise<TailPage>;
  /** How many events, and bytes of their messages, are kept for readers who are nearly up to date. */
  maxRecentEvents: number;
  maxRecentBytes: number;
  /** Undefined while what is known may be shown; else a promise to wait for before asking again. */
  mayShow: () => Promise<void> | undefined;
  /** A read failed and will be tried again at the next hint, or a subscriber threw and was ended. */
  onError: (error: unknown) => void;
};

const PAGE = 500;
const NOTHING: TailPage = { events: [], isEnd: false };
/** Batches of this instance that are kept until what others committed before them is read. */
const MAX_AHEAD = 64;

const weigh = (event: AuditEvent): number => event.message?.length ?? 0;

/**
 * The committed log as this instance sees it: events go out in `seq` order, each once, to any number of
 * subscribers. What this instance committed comes from memory when it is next; everything else, and
 * everything for a subscriber that fell behind, is read from the database at the subscriber's pace.
 */
export class Tail {
  readonly #options: TailOptions;
  readonly #subscriptions = new Set<Subscription>();
  /** The first seq that is not known yet; all below are committed. */
  #next: number;
  /** The newest known events, contiguous, ending with `#next - 1`. */
  #recent: AuditEvent[] = [];
  /** The weight of `#recent`. */
  #recentBytes = 0;
  /** The reading of what is next, if under way. */
  #reading: Promise<void> | undefined;
  /** How far the log is known to go: the number after its last event. */
  #target = 0;
  /** Whether to look if it goes further than that. */
  #lookFurther = false;
  /** What this instance committed beyond `#next`, by the first seq of each batch. */
  readonly #ahead = new Map<number, readonly AuditEvent[]>();
  /** Reads of the database under way, for the tail itself and for subscribers that fell behind. */
  readonly #reads = new Set<Promise<TailPage>>();
  #closed = false;
  /** Counts the restarts; what was read before one is not taken after it. */
  #generation = 0;
  /** When the database last answered a read, in milliseconds of the monotonic clock. */
  #readAt = performance.now();
  /** When the read began that last came to the end of the log: all that was committed before is known. */
  #endSeenAt = performance.now();

  constructor(options: TailOptions) {
    this.#options = options;
    this.#next = options.next;
  }

  /** The first seq that is not known yet. */
  get next(): number {
    return this.#next;
  }

  /** How long ago the database last answered a read, in milliseconds. */
  get readAgeMs(): number {
    return performance.now() - this.#readAt;
  }

  /**
   * How old what is known here may be, in milliseconds: whatever was committed longer ago is known. It is no more
   * than twice the time between two looks, unless the database does not answer or there is much to catch up with.
   */
  get behindMs(): number {
    return performance.now() - this.#endSeenAt;
  }

  /** How many follow the log. */
  get subscriptions(): number {
    return this.#subscriptions.size;
  }

  /** Takes events that this instance committed: contiguous and in order, but not necessarily the next ones. */
  offer(events: readonly AuditEvent[]): void {
    const first = events[0];
    if (first === undefined) return;
    if (first.seq <= this.#next) {
      this.#append(events);
      return;
    }
    // What others committed before is read first; these need not be read as well.
    if (this.#ahead.size < MAX_AHEAD) this.#ahead.set(first.seq, events);
    void this.wake(first.seq + events.length);
  }

  /**
   * A hint that there may be more in the database. Resolves when all that was there has been taken.
   *
   * @param until how far the log is known to go: the number after its last event; undefined: look how far
   */
  wake(until?: number): Promise<void> {
    if (this.#closed) return Promise.resolve();
    if (until === undefined) this.#lookFurther = true;
    else this.#target = Math.max(this.#target, until);
    if (this.#reading !== undefined) return this.#reading;
    if (!this.#lookFurther && this.#next >= this.#target) return Promise.resolve();
    this.#reading = this.#readOn().finally(() => {
      this.#reading = undefined;
    });
    return this.#reading;
  }

  /** Goes on from another place, for the log is not what it was: what was known of it is forgotten. */
  restart(next: number): void {
    this.#generation += 1;
    this.#next = next;
    this.#recent = [];
    this.#recentBytes = 0;
    this.#target = 0;
    this.#ahead.clear();
    this.#endSeenAt = Number.NEGATIVE_INFINITY;
    for (const subscription of this.#subscriptions) subscription.restart(next);
  }

  /**
   * Starts to hand events on, from `from` (default: what comes next). A handler that returns nothing is
   * called within `offer`; one that returns a promise is paced by it.
   */
  subscribe(onEvents: TailHandler, from: number = this.#next): Subscription {
    const subscription = new Subscription(from, onEvents, {
      next: () => this.#next,
      recent: (seq) => this.#sliceRecent(seq),
      mayShow: this.#options.mayShow,
      read: async (seq) => (await this.#read(seq)).events,
      onError: (error) => {
        this.#subscriptions.delete(subscription);
        this.#options.onError(error);
      },
      onClose: () => this.#subscriptions.delete(subscription),
    });
    this.#subscriptions.add(subscription);
    subscription.pump();
    return subscription;
  }

  /** Ends every subscription; resolves when no read is under way. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const subscription of this.#subscriptions) subscription.close();
    await Promise.allSettled(this.#reads);
  }

  async #readOn(): Promise<void> {
    let isWorthIt = true;
    while (!this.#closed && (this.#lookFurther || (isWorthIt && this.#next < this.#target))) {
      const looking = this.#lookFurther;
      const [next, target] = [this.#next, this.#target];
      this.#lookFurther = false;
      while (looking || this.#next < this.#target) {
        const startedAt = performance.now();
        const { events, isEnd } = await this.#read(this.#next, this.#gap());
        if (this.#closed) break;
        this.#append(events);
        // Once they are handed on, also while others go on writing and there is always something more.
        if (isEnd) this.#endSeenAt = Math.max(this.#endSeenAt, startedAt);
        if (isEnd || events.length === 0) break;
      }
      // A hint may have come while a read was under way that began too early to see what it told of.
      isWorthIt = this.#next > next || this.#target > target;
    }
    // Who could not read what it missed tries again.
    this.#pumpAll();
  }

  /** How many events are missing before those that this instance committed itself, at most a page. */
  #gap(): number {
    for (const first of this.#ahead.keys()) return Math.min(PAGE, first - this.#next);
    return PAGE;
  }

  /** A page of the database; empty when it could not be read. Nothing is skipped: the reader has not moved. */
  async #read(from: number, limit = PAGE): Promise<TailPage> {
    const reading = this.#options.read(from, limit);
    const generation = this.#generation;
    this.#reads.add(reading);
    try {
      const page = await reading;
      this.#readAt = performance.now();
      return generation === this.#generation ? page : NOTHING;
    } catch (error) {
      this.#options.onError(error);
      return NOTHING;
    } finally {
      this.#reads.delete(reading);
    }
  }

  #append(events: readonly AuditEvent[]): void {
    const before = this.#next;
    this.#keep(events);
    // In the order of the log, for one writer's batches are.
    for (const [first, own] of this.#ahead) {
      if (first > this.#next) break;
      this.#ahead.delete(first);
      this.#keep(own);
    }
    if (this.#next === before) return;
    // Before anything is dropped, so that who keeps up never has to read.
    this.#pumpAll();
    this.#trim();
  }

  #keep(events: readonly AuditEvent[]): void {
    const skip = this.#next - (events[0]?.seq ?? this.#next);
    // A read and a commit may bring the same events; what is known is not taken twice.
    const fresh = skip > 0 ? events.slice(skip) : events;
    for (const event of fresh) {
      this.#recent.push(event);
      this.#recentBytes += weigh(event);
    }
    this.#next += fresh.length;
  }

  #pumpAll(): void {
    for (const subscription of this.#subscriptions) subscription.pump();
  }

  #trim(): void {
    const { maxRecentEvents, maxRecentBytes } = this.#options;
    // Half is dropped at a time, so that the array is not moved for every batch.
    if (this.#recent.length <= 2 * maxRecentEvents && this.#recentBytes <= 2 * maxRecentBytes) return;
    let drop = Math.max(0, this.#recent.length - maxRecentEvents);
    for (const event of this.#recent.slice(0, drop)) this.#recentBytes -= weigh(event);
    while (this.#recentBytes > maxRecentBytes && drop < this.#recent.length) {
      const event = this.#recent[drop];
      if (event !== undefined) this.#recentBytes -= weigh(event);
      drop += 1;
    }
    this.#recent = this.#recent.slice(drop);
  }

  #sliceRecent(seq: number): readonly AuditEvent[] | undefined {
    const start = seq - (this.#next - this.#recent.length);
    return start < 0 ? undefined : this.#recent.slice(start, start + PAGE);
  }
}

type Source = {
  next: () => number;
  /** The known events from a seq on; undefined when they are no longer kept in memory. */
  recent: (seq: number) => readonly AuditEvent[] | undefined;
  mayShow: () => Promise<void> | undefined;
  /** A page from a seq on; empty when it could not be read. */
  read: (seq: number) => Promise<AuditEvent[]>;
  onError: (error: unknown) => void;
  onClose: () => void;
};

/** One reader of the tail and how far it has come. */
export class Subscription {
  readonly #onEvents: TailHandler;
  readonly #source: Source;
  /** The first seq that was not handed on yet. */
  #position: number;
  /** Whether a handler or a read is under way. */
  #busy = false;
  /** Whether the last read gave nothing; it then rests until it is pumped again. */
  #stalled = false;
  #closed = false;

  constructor(position: number, onEvents: TailHandler, source: Source) {
    this.#position = position;
    this.#onEvents = onEvents;
    this.#source = source;
  }

  /** The first seq that was not handed on yet. */
  get next(): number {
    return this.#position;
  }

  /** Hands on what is known. */
  pump(): void {
    if (this.#busy || this.#closed) return;
    this.#stalled = false;
    try {
      while (!this.#closed && this.#position < this.#source.next()) {
        const events = this.#source.recent(this.#position);
        const step = this.#source.mayShow() ?? (events === undefined ? this.#readPage() : this.#hand(events));
        if (step !== undefined) {
          this.#goOn(step);
          return;
        }
      }
    } catch (error) {
      this.#fail(error);
    }
  }

  /** Goes on from another place. */
  restart(position: number): void {
    this.#position = position;
  }

  /** Hands on nothing more. */
  close(): void {
    this.#closed = true;
    this.#source.onClose();
  }

  #hand(events: readonly AuditEvent[]): void | Promise<void> {
    this.#position += events.length;
    return this.#onEvents(events);
  }

  async #readPage(): Promise<void> {
    const events = await this.#source.read(this.#position);
    this.#stalled = events.length === 0;
    const wait = this.#source.mayShow();
    // Read again afterwards: the log may have been restarted meanwhile.
    if (wait !== undefined) await wait;
    else if (!this.#closed && !this.#stalled) await this.#hand(events);
  }

  #goOn(step: Promise<void>): void {
    this.#busy = true;
    step.then(
      () => {
        this.#busy = false;
        if (!this.#stalled) this.pump();
      },
      (error: unknown) => this.#fail(error),
    );
  }

  #fail(error: unknown): void {
    this.#closed = true;
    this.#source.onError(error);
  }
}
