/** How many of something each key has open, with a bound for each key; takes memory for what is open, no more. */
export class OpenCounts {
  readonly #limit: number;
  readonly #open = new Map<string, number>();

  /** @param limit the most that one key may have open; 0: no limit, and nothing is counted */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** How many keys have something open. */
  get size(): number {
    return this.#open.size;
  }

  /** Whether a key has something open. */
  has(key: string): boolean {
    return this.#open.has(key);
  }

  /** Whether a key may open one more. */
  hasRoom(key: string): boolean {
    return this.#limit === 0 || (this.#open.get(key) ?? 0) < this.#limit;
  }

  /** One more is open. */
  add(key: string): void {
    if (this.#limit > 0) this.#open.set(key, (this.#open.get(key) ?? 0) + 1);
  }

  /** One that was added is closed. */
  remove(key: string): void {
    const left = (this.#open.get(key) ?? 0) - 1;
    if (left > 0) this.#open.set(key, left);
    else this.#open.delete(key);
  }
}
