import { TokenBucket } from './token-bucket.ts';

/**
 * A token bucket for each key that was used of late. One that is full again is as good as a new one, so it is
 * forgotten; and beyond `maxKeys` the one that was made first is.
 */
export class KeyedBuckets {
  readonly #perSecond: number;
  readonly #burst: number;
  readonly #maxKeys: number;
  /** In the order in which they were made, or were found in use when room was made. */
  readonly #buckets = new Map<string, TokenBucket>();

  /** @param perSecond 0 switches the limit off */
  constructor(perSecond: number, burst: number, maxKeys: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#maxKeys = maxKeys;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#buckets.size;
  }

  /** Takes a token of a key; false when there is none. @param now milliseconds of a monotonic clock */
  take(key: string, now: number): boolean {
    return this.#perSecond === 0 || this.#bucketOf(key, now).take(now);
  }

  /**
   * Takes tokens of a key, if need be some that are yet to flow in; in how many milliseconds they will have.
   *
   * @param now milliseconds of a monotonic clock
   */
  borrow(key: string, now: number, tokens = 1): number {
    return this.#perSecond === 0 ? 0 : this.#bucketOf(key, now).borrow(now, tokens);
  }

  /** Whether a key has any token, or part of one. */
  hasAny(key: string, now: number): boolean {
    return this.#buckets.get(key)?.hasAny(now) ?? true;
  }

  #bucketOf(key: string, now: number): TokenBucket {
    const known = this.#buckets.get(key);
    if (known !== undefined) return known;
    this.#makeRoom(now);
    const bucket = new TokenBucket(this.#perSecond, this.#burst, now);
    this.#buckets.set(key, bucket);
    return bucket;
  }

  /** Looks at two for each new one, so that those out of use go faster than others come. */
  #makeRoom(now: number): void {
    let looked = 0;
    for (const [key, bucket] of this.#buckets) {
      if (looked === 2) break;
      looked += 1;
      this.#buckets.delete(key);
      if (!bucket.isFull(now)) this.#buckets.set(key, bucket);
    }
    const [first] = this.#buckets.keys();
    if (first !== undefined && this.#buckets.size >= this.#maxKeys) this.#buckets.delete(first);
  }
}
