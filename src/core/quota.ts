/** How a key stands to its quota, after it asked for one more. */
export type Standing = {
  /** Whether it got it. */
  allowed: boolean;
  /** What it may still ask for in this window. */
  left: number;
  /** Whole seconds until its window ends and the whole quota is there again. */
  resetSeconds: number;
};

type Window = { endsAt: number; used: number };

/**
 * So many acts of a key in a window of time, which begins with the first of them.
 *
 * Whatever keys come, no more than `maxKeys` are remembered: beyond, the one whose window ends first is forgotten, and
 * has its whole quota again. Nobody gains by that, who needs so many other keys for it.
 */
export class Quota {
  readonly #name: string;
  readonly #limit: number;
  readonly #windowMs: number;
  readonly #maxKeys: number;
  /** In the order in which they end, for all are as long; those that are over stand in front. */
  readonly #windows = new Map<string, Window>();

  /** @param name what the header fields call it  @param limit at least 1 */
  constructor(name: string, limit: number, windowMs: number, maxKeys: number) {
    this.#name = name;
    this.#limit = limit;
    this.#windowMs = windowMs;
    this.#maxKeys = maxKeys;
  }

  /** How many keys are remembered. */
  get size(): number {
    return this.#windows.size;
  }

  /** The `RateLimit-Policy` field (draft-ietf-httpapi-ratelimit-headers-11, 3). */
  get policyField(): string {
    return `"${this.#name}";q=${this.#limit};w=${this.#windowMs / 1_000}`;
  }

  /** The `RateLimit` field of a standing (the same, 4). */
  limitField({ left, resetSeconds }: Standing): string {
    return `"${this.#name}";r=${left};t=${resetSeconds}`;
  }

  /** How a key would stand if it asked for one more, which it does not. @param now milliseconds of a monotonic clock */
  look(key: string, now: number): Standing {
    const window = this.#windows.get(key);
    if (window !== undefined && window.endsAt > now) {
      return this.#standing(window, window.used < this.#limit, now);
    }
    return this.#standing({ endsAt: now + this.#windowMs, used: 0 }, true, now);
  }

  /** Asks for one more. @param now milliseconds of a monotonic clock */
  take(key: string, now: number): Standing {
    let window = this.#windows.get(key);
    if (window === undefined || window.endsAt <= now) {
      this.#forget(key, now);
      window = { endsAt: now + this.#windowMs, used: 0 };
      this.#windows.set(key, window);
    }
    const allowed = window.used < this.#limit;
    if (allowed) window.used += 1;
    return this.#standing(window, allowed, now);
  }

  #standing({ endsAt, used }: Window, allowed: boolean, now: number): Standing {
    return { allowed, left: this.#limit - used, resetSeconds: Math.ceil((endsAt - now) / 1_000) };
  }

  /** Makes room for a window of a key, at the end. */
  #forget(key: string, now: number): void {
    this.#windows.delete(key);
    for (const [other, { endsAt }] of this.#windows) {
      if (endsAt > now && this.#windows.size < this.#maxKeys) return;
      this.#windows.delete(other);
    }
  }
}
