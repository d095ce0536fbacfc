import type { SeqRange } from '../../db/events.ts';
import type { StreamEndReason } from '../../src/core/actions.ts';
import { CodedError } from '../../src/core/errors.ts';
import {
  endBlock,
  heartbeatBlock,
  openBlock,
  type Position,
  resetBlock,
  type Start,
} from '../../src/core/event-stream.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import type { Matcher } from '../../src/core/search/matcher.ts';
import type { Feed, Follower } from './feed.ts';
import type { Output } from './output.ts';

const MIB = 1024 * 1024;
/** Who follows live and has more than this waiting reads from the database, at their own pace. */
const MAX_QUEUED_BYTES = MIB;
/** Who is about to follow live, and has more than this held back meanwhile, does the same. */
const MAX_HELD_BYTES = MIB;
/** A range that takes too long to search is searched in parts; this is the smallest of them. */
const MIN_WINDOW = 1_000;
const NARROWING = 16;

/** An event, and the block that tells of it. */
type Shown = { event: AuditEvent; block: Buffer };

export type BlockPage = { shown: readonly Shown[]; hasMore: boolean };

export type ReaderOptions = {
  matcher: Matcher;
  feed: Feed;
  /** A page of the events in a range that match, oldest first. @throws CodedError */
  readPage: (range: SeqRange, epoch: string) => Promise<BlockPage>;
  /** The log could not be read, and the stream has ended because of it. */
  onFault: (error: unknown) => void;
};

/** Where a stream starts, and where it stops. */
export type Course = Start & {
  epoch: string;
  firstSeq: number;
  /** The interval as resolved, in the log's text form; undefined where it has no bound. */
  from: string | undefined;
  to: string | undefined;
  /** The first seq at or after `to`, if there is one already. */
  toSeq: number | undefined;
};

/**
 * One live stream. It is in one of these states, and `end` leads from each of them to the last:
 * - opening: until `follow`
 * - catching up: reads pages of the database, up to what the feed has handed on, and waits for the reader after
 *   each block that fills its way
 * - joining: reads what has come meanwhile, and holds what the feed hands on from there; if that is too much, the
 *   same again from a later place. Where the end of the interval is on record, reads up to it, and is over
 * - live: what was held is sent, and then whatever comes; one that has too much waiting goes back to catching up
 * - over
 */
export class Reader implements Follower {
  readonly matcher: Matcher;
  /** Events written so far. */
  rows = 0;
  readonly #options: ReaderOptions;
  readonly #over = Promise.withResolvers<StreamEndReason>();
  #reason: StreamEndReason | undefined;
  /** Undefined while opening. */
  #output: Output | undefined;
  #course: Course | undefined;
  /** The first seq that was not looked at; while live, the feed knows. */
  #next = 0;
  /** The first seq at or after the end of the interval, once there is one. */
  #toSeq: number | undefined;
  /** What the feed has handed on and must wait for what comes before it; undefined unless joining. */
  #held: Shown[] | undefined;
  /** The bytes of all of `#held`. */
  #heldBytes = 0;
  /** Settled when it must catch up again, or is over; undefined unless live. */
  #live: PromiseWithResolvers<void> | undefined;
  /** How much of the log one read may search, in events. */
  #window = Number.POSITIVE_INFINITY;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.matcher = options.matcher;
  }

  /** Resolves with the reason when it is over. */
  get over(): Promise<StreamEndReason> {
    return this.#over.promise;
  }

  get isOver(): boolean {
    return this.#reason !== undefined;
  }

  get to(): string | undefined {
    return this.#course?.to;
  }

  /** Sends the first blocks, all that matches from the start on, and then whatever comes. */
  follow(output: Output, course: Course): void {
    if (this.isOver) return;
    this.#output = output;
    this.#course = course;
    this.#next = course.next;
    this.#toSeq = course.toSeq;
    this.#options.feed.watch(this);
    const { epoch, firstSeq: first_seq, next: next_seq, reset } = course;
    output.write(openBlock(this.#position, { epoch, first_seq, next_seq }));
    if (reset !== undefined) {
      output.write(resetBlock(this.#position, { reason: reset, epoch, first_seq, next_seq }));
    }
    this.#run(output, course.epoch).catch((error: unknown) => {
      this.#options.onFault(error);
      this.end('failed');
    });
  }

  /** Takes an event that matches from the feed. */
  take(event: AuditEvent, block: Buffer): void {
    // It may have begun beyond what the feed has handed on.
    if (this.#output === undefined || event.seq < this.#next) return;
    if (this.#held !== undefined) this.#hold(this.#held, event, block);
    else if (this.#output.queued > MAX_QUEUED_BYTES) this.#leaveFeed(event.seq);
    else this.#show(event, block);
  }

  onIntervalOver(event: AuditEvent): void {
    this.#toSeq ??= event.seq;
    // Else what comes before it is read first.
    if (this.#live !== undefined) this.#finish(event.seq);
  }

  /** Tells how far it has come. */
  beat(): void {
    // A way that is full has something on it that tells as much.
    if (this.#output?.room === undefined) this.#output?.write(heartbeatBlock(this.#position));
  }

  /** Ends it. */
  end(reason: StreamEndReason): void {
    if (this.isOver) return;
    this.#reason = reason;
    this.#options.feed.forget(this);
    this.#output?.end();
    this.#live?.resolve();
    this.#over.resolve(reason);
  }

  /** Everything up to here was looked at. */
  get #position(): Position {
    const next = this.#live === undefined ? this.#next : Math.max(this.#next, this.#options.feed.next);
    return { epoch: this.#course?.epoch ?? '', seq: next - 1 };
  }

  async #run(output: Output, epoch: string): Promise<void> {
    while (!this.isOver) {
      await this.#readUpTo(this.#options.feed.next, output, epoch);
      await this.#join(output, epoch);
      await this.#live?.promise;
      await output.room;
    }
  }

  /** Reads pages of the database, up to a seq or the end of the interval, at the pace of the reader. */
  async #readUpTo(fence: number, output: Output, epoch: string): Promise<void> {
    for (;;) {
      const until = Math.min(fence, this.#toSeq ?? Number.POSITIVE_INFINITY);
      if (this.isOver || this.#next >= until) return;
      const range = { from: this.#next, to: Math.min(until, this.#next + this.#window) };
      const page = await this.#read(range, epoch);
      if (page === undefined) continue;
      for (const { event, block } of page.shown) {
        if (this.isOver) return;
        this.#show(event, block);
        if (output.room !== undefined) await output.room;
      }
      if (!page.hasMore) this.#next = range.to;
    }
  }

  /** Follows the feed from a fence on, once all before it is read. Without the fence a busy log would never be caught up with. */
  async #join(output: Output, epoch: string): Promise<void> {
    const { feed } = this.#options;
    if (this.#toSeq !== undefined) {
      // The feed may not have come so far yet: what others committed reaches it later than the database.
      await this.#readUpTo(this.#toSeq, output, epoch);
      this.#finish(this.#toSeq);
      return;
    }
    let held: Shown[] | undefined;
    while (held === undefined) {
      if (this.isOver) return;
      this.#held = [];
      this.#heldBytes = 0;
      feed.add(this);
      await this.#readUpTo(feed.next, output, epoch);
      held = this.#held;
    }
    this.#held = undefined;
    for (const { event, block } of held) this.#show(event, block);
    if (this.#toSeq !== undefined) this.#finish(this.#toSeq);
    if (!this.isOver) this.#live = Promise.withResolvers();
  }

  #hold(held: Shown[], event: AuditEvent, block: Buffer): void {
    if (this.#heldBytes + block.length > MAX_HELD_BYTES) {
      this.#options.feed.remove(this);
      this.#held = undefined;
      return;
    }
    held.push({ event, block });
    this.#heldBytes += block.length;
  }

  /** Undefined: it took too long, and the next attempt will search less. */
  async #read(range: SeqRange, epoch: string): Promise<BlockPage | undefined> {
    try {
      return await this.#options.readPage(range, epoch);
    } catch (error) {
      const size = range.to - range.from;
      const isTooLong = error instanceof CodedError && error.code === 'too_slow' && size > MIN_WINDOW;
      if (!isTooLong) throw error;
      this.#window = Math.max(MIN_WINDOW, Math.ceil(size / NARROWING));
      return undefined;
    }
  }

  #show(event: AuditEvent, block: Buffer): void {
    if (this.isOver) return;
    const { from, to } = this.#course ?? {};
    if (to !== undefined && event.timestamp >= to) {
      this.#finish(event.seq);
      return;
    }
    this.#next = event.seq + 1;
    if (from !== undefined && event.timestamp < from) return;
    this.rows += 1;
    this.#output?.write(block);
  }

  #leaveFeed(next: number): void {
    this.#options.feed.remove(this);
    this.#next = next;
    this.#live?.resolve();
    this.#live = undefined;
  }

  /** The interval is over. @param next the first seq at or after its end */
  #finish(next: number): void {
    if (this.isOver || this.#course?.to === undefined) return;
    const { epoch, to } = this.#course;
    // Never below what its reader has seen.
    this.#output?.write(endBlock({ epoch, seq: Math.max(next, this.#next) - 1 }, { to }));
    this.end('to');
  }
}
