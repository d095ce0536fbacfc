import { auditBlock } from '../../src/core/event-stream.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { type Listener, Listeners } from '../../src/core/search/listeners.ts';

/** Who follows the feed. */
export type Follower = Listener & {
  /** The end of its interval, in the log's text form; undefined: none. */
  to: string | undefined;
  /** Takes an event that matches, and the block that tells of it. */
  take: (event: AuditEvent, block: Buffer) => void;
  /** An event at or after the end of its interval is there. */
  onIntervalOver: (event: AuditEvent) => void;
};

export type FeedOptions = {
  /** The first seq that is not known yet. */
  next: number;
  epoch: () => string;
  /** An event could not be handed on. */
  onFault: (error: unknown, event: AuditEvent) => void;
};

/** Hands the events of the tail to all who follow live. An event is serialised once, however many get it. */
export class Feed {
  readonly #options: FeedOptions;
  readonly #listeners = new Listeners<Follower>();
  /** Those whose interval has an end, which any event may be at. */
  readonly #bounded = new Set<Follower>();
  #next: number;
  /** The time of the last event that was handed on, in the log's text form; empty: there was none. */
  #time = '';

  constructor(options: FeedOptions) {
    this.#options = options;
    this.#next = options.next;
  }

  /** The first seq that was not handed on yet. Whoever has seen all below may follow. */
  get next(): number {
    return this.#next;
  }

  get time(): string {
    return this.#time;
  }

  /** Tells a follower when its interval is over, whether it listens or not. */
  watch(follower: Follower): void {
    if (follower.to !== undefined) this.#bounded.add(follower);
  }

  /** Tells a follower of what matches. */
  add(follower: Follower): void {
    this.#listeners.add(follower);
  }

  /** Tells it of no match any more. */
  remove(follower: Follower): void {
    this.#listeners.remove(follower);
  }

  /** Tells it nothing any more. */
  forget(follower: Follower): void {
    this.#listeners.remove(follower);
    this.#bounded.delete(follower);
  }

  /** Takes the next events of the log. */
  take(events: readonly AuditEvent[]): void {
    for (const event of events) {
      this.#next = event.seq + 1;
      this.#time = event.timestamp;
      try {
        this.#handOn(event);
      } catch (error) {
        // A fault with one event must not end the delivery of all that follow.
        this.#options.onFault(error, event);
      }
    }
  }

  /** Goes on from another place, for the log is not what it was. */
  restart(next: number): void {
    this.#next = next;
    this.#time = '';
  }

  #handOn(event: AuditEvent): void {
    for (const follower of this.#bounded) {
      if (follower.to !== undefined && event.timestamp >= follower.to) follower.onIntervalOver(event);
    }
    let block: Buffer | undefined;
    this.#listeners.tell(event, (follower) => {
      block ??= auditBlock(this.#options.epoch(), event);
      follower.take(event, block);
    });
  }
}
