/** Lets so much work run at a time, and the rest in the order in which it came. */
export class Turns {
  /** How much more may run now. */
  #free: number;
  /** What waits; only while nothing is free. */
  readonly #waiting: (() => void)[] = [];

  /** @param limit the most that runs at a time */
  constructor(limit: number) {
    this.#free = limit;
  }

  /** Does the work when its turn has come. */
  async run<T>(work: () => T | Promise<T>): Promise<T> {
    if (this.#free === 0) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    else this.#free -= 1;
    try {
      return await work();
    } finally {
      const next = this.#waiting.shift();
      if (next === undefined) this.#free += 1;
      else next();
    }
  }
}
