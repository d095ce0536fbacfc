import { CodedError } from '../../src/core/errors.ts';
import type { ClientFrame } from '../../src/core/frame-schemas.ts';
import { FrameError, parseFrame } from '../../src/core/frames.ts';
import { DEADLINE_MS } from '../../src/core/group-commit.ts';
import { TokenBucket } from '../../src/core/token-bucket.ts';

/** Frames that may wait before the socket is no longer read; TCP then slows the sender down. */
const MAX_WAITING = 64;

/** A frame, and when it came, in milliseconds of the monotonic clock. */
type Arrival = { text: string; at: number };

/** Whose frames they are. */
export type InboxOwner = {
  /** Whether their sender may have one more frame handled, by all that it has open. */
  takeFrame: (now: number) => boolean;
  /** Handles one frame, which came at a time of the monotonic clock; a promise when the next one must wait for it. Throws what its sender is to be told. */
  onFrame: (frame: ClientFrame, at: number) => Promise<unknown> | undefined;
  /** A frame was refused, or could not be handled. */
  tellError: (error: unknown, ref: string | undefined) => void;
  /** An error that is nobody's but ours. */
  onFault: (error: unknown) => void;
  /** Everything that was received is handled. */
  onInboxDone: () => void;
};

/** Where they come from. */
type Source = {
  /** Stops reading. */
  pause: () => void;
  /** Reads on. */
  resume: () => void;
};

/** The label of a frame that is refused unread, so that its sender knows which one it was. */
function refIn(text: string): string | undefined {
  try {
    return parseFrame(text).ref;
  } catch (error) {
    return (error as FrameError).ref;
  }
}

/** The frames of one session that are not handled yet, and the one worker that handles them in order. */
export class Inbox {
  readonly #owner: InboxOwner;
  readonly #source: Source;
  readonly #bucket: TokenBucket;
  /** Oldest first. */
  #waiting: Arrival[] = [];
  /** Runs out when the oldest has waited too long; set only while frames wait for another. */
  #expiry: NodeJS.Timeout | undefined;
  #working = false;
  /** Whether frames are handled already; until then they are kept. */
  #started = false;
  #draining = false;

  /** @param framesPerSecond how many frames are taken in the long run, twice as many at once; 0: no limit */
  constructor(owner: InboxOwner, source: Source, framesPerSecond: number) {
    this.#owner = owner;
    this.#source = source;
    this.#bucket = new TokenBucket(framesPerSecond, 2 * framesPerSecond, performance.now());
  }

  /** Whether everything that was received is handled. */
  get isDone(): boolean {
    return this.#waiting.length === 0 && !this.#working;
  }

  /** A text frame came. */
  add(text: string): void {
    this.#waiting.push({ text, at: performance.now() });
    if (this.#waiting.length >= MAX_WAITING) this.#source.pause();
    if (this.#started) this.work();
    this.#armExpiry();
  }

  /** Handles what came so far, and from now on what comes. */
  start(): void {
    this.#started = true;
    this.work();
  }

  /** Handles what is waiting, in order. */
  work(): void {
    if (this.#working) return;
    this.#working = true;
    for (let next = this.#waiting.shift(); next !== undefined; next = this.#waiting.shift()) {
      if (this.#waiting.length < MAX_WAITING / 2) this.#source.resume();
      const pending = this.#handle(next);
      if (pending !== undefined) {
        void pending
          .catch((error: unknown) => this.#owner.onFault(error))
          .then(() => {
            this.#working = false;
            this.work();
          });
        return;
      }
    }
    this.#working = false;
    this.#owner.onInboxDone();
  }

  /** Refuses, from now on, whatever is not handled yet. */
  drain(): void {
    this.#draining = true;
  }

  /** Forgets what is waiting. What is still to come is read, for the answer to a close frame is behind it. */
  clear(): void {
    this.#waiting = [];
    this.#source.resume();
  }

  /**
   * Refuses the frames that waited for one that could not be recorded: each has waited as long, and would wait
   * once more before its sender heard anything (promise 2: an answer within 5 s).
   */
  refuseWaiting(): void {
    this.#refuse(this.#waiting.length);
  }

  /** Refuses the oldest. */
  #refuse(count: number): void {
    for (const { text } of this.#waiting.splice(0, count)) {
      this.#owner.tellError(
        new CodedError('audit_unavailable', 'The audit log cannot be written now; nothing was done.'),
        refIn(text),
      );
    }
    this.#source.resume();
  }

  /** Whoever waits behind a slow command is answered in time all the same. */
  #armExpiry(): void {
    const oldest = this.#waiting[0];
    if (oldest === undefined || !this.#started || this.#expiry !== undefined) return;
    const left = oldest.at + DEADLINE_MS - performance.now();
    this.#expiry = setTimeout(() => this.#expire(), Math.max(1, Math.ceil(left))).unref();
  }

  #expire(): void {
    this.#expiry = undefined;
    const before = performance.now() - DEADLINE_MS;
    const young = this.#waiting.findIndex(({ at }) => at > before);
    this.#refuse(young === -1 ? this.#waiting.length : young);
    this.#armExpiry();
  }

  #handle({ text, at }: Arrival): Promise<unknown> | undefined {
    try {
      if (this.#draining) throw new FrameError('overloaded', 'The server is shutting down.', refIn(text));
      const now = performance.now();
      if (!this.#bucket.take(now) || !this.#owner.takeFrame(now)) {
        throw new FrameError('rate_limited', 'Too many frames; wait a moment.', refIn(text));
      }
      return this.#owner.onFrame(parseFrame(text), at);
    } catch (error) {
      this.#owner.tellError(error, error instanceof FrameError ? error.ref : undefined);
      return undefined;
    }
  }
}
