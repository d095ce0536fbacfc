import { KeyedBuckets } from './keyed-buckets.ts';
import { OpenCounts } from './open-counts.ts';

export type PaceBounds = {
  /** How many acts of one key a second; 0: no limit, and nobody waits. */
  perSecond: number;
  /** How many of one key may come at once. */
  burst: number;
  /** How many keys are remembered. */
  maxKeys: number;
  /** How many acts of one key may wait. */
  maxWaiting: number;
  /** How many of all keys; where as many do, nobody else waits any more, and those for whom some wait are full. */
  maxWaitingOfAll: number;
};

/** Lets each key act at once up to a rate, with bursts; what is beyond waits for its turn, in the order in which it came. */
export class Pace {
  readonly #bounds: PaceBounds;
  readonly #buckets: KeyedBuckets;
  readonly #counts: OpenCounts;
  /** Begins each act that waits. */
  readonly #waiting = new Set<() => void>();
  #ended = false;

  constructor(bounds: PaceBounds) {
    this.#bounds = bounds;
    this.#buckets = new KeyedBuckets(bounds.perSecond, bounds.burst, bounds.maxKeys);
    this.#counts = new OpenCounts(bounds.maxWaiting);
  }

  /** How many acts wait. */
  get waiting(): number {
    return this.#waiting.size;
  }

  /** Whether as many acts of a key wait as may. */
  isFull(key: string): boolean {
    const most = this.#waiting.size >= this.#bounds.maxWaitingOfAll;
    return most ? this.#counts.has(key) : !this.#counts.hasRoom(key);
  }

  /**
   * Resolves when it is the turn of one more act of a key; undefined: it is so now, or too many wait.
   *
   * @param now milliseconds of a monotonic clock
   */
  turn(key: string, now: number): Promise<void> | undefined {
    if (this.#ended || this.#waiting.size >= this.#bounds.maxWaitingOfAll || this.isFull(key))
      return undefined;
    const ms = this.#buckets.borrow(key, now);
    if (ms === 0) return undefined;
    const { promise, resolve } = Promise.withResolvers<void>();
    const begin = (): void => {
      clearTimeout(timer);
      this.#waiting.delete(begin);
      this.#counts.remove(key);
      resolve();
    };
    const timer = setTimeout(begin, ms);
    this.#waiting.add(begin);
    this.#counts.add(key);
    return promise;
  }

  /** It is the turn of all that wait, and from now on nobody does. */
  end(): void {
    this.#ended = true;
    for (const begin of this.#waiting) begin();
  }
}
