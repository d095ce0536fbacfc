/** A rate limit that allows bursts: `perSecond` tokens flow in, at most `burst` are kept, each act takes one or more. */
export class TokenBucket {
  readonly #perSecond: number;
  readonly #burst: number;
  #tokens: number;
  #at: number;

  /** @param perSecond 0 switches the limit off  @param now milliseconds of a monotonic clock */
  constructor(perSecond: number, burst: number, now: number) {
    this.#perSecond = perSecond;
    this.#burst = burst;
    this.#tokens = burst;
    this.#at = now;
  }

  /** Takes a token; false when there is none. */
  take(now: number): boolean {
    if (this.#perSecond === 0) return true;
    this.#tokens = this.#tokensAt(now);
    this.#at = now;
    if (this.#tokens < 1) return false;
    this.#tokens -= 1;
    return true;
  }

  /** Takes tokens, if need be some that are yet to flow in; in how many milliseconds they will have. */
  borrow(now: number, tokens = 1): number {
    if (this.#perSecond === 0) return 0;
    this.#tokens = this.#tokensAt(now) - tokens;
    this.#at = now;
    return this.#tokens >= 0 ? 0 : (-this.#tokens / this.#perSecond) * 1_000;
  }

  /** Whether there is any token, or part of one. */
  hasAny(now: number): boolean {
    return this.#perSecond === 0 || this.#tokensAt(now) > 0;
  }

  /** Whether nothing is missing, as if it were new. */
  isFull(now: number): boolean {
    return this.#tokensAt(now) === this.#burst;
  }

  #tokensAt(now: number): number {
    return Math.min(this.#burst, this.#tokens + ((now - this.#at) / 1_000) * this.#perSecond);
  }
}
