export type SampledOptions<T> = {
  read: () => Promise<T>;
  /** The least time between two reads, in milliseconds, whether they succeed or not. */
  everyMs: number;
  /** How long `refresh` waits for a read at most, in milliseconds; the read itself goes on. */
  patienceMs: number;
  /** A read failed; the value stays what it was. */
  onError: (error: unknown) => void;
};

/** A value that is dear to read: read now and then, when somebody asks, and otherwise as it was last known. */
export class Sampled<T> {
  readonly #options: SampledOptions<T>;
  /** What the last read that succeeded gave. */
  #value: T | undefined;
  /** When the last read was begun, in milliseconds of the monotonic clock. */
  #readAt = Number.NEGATIVE_INFINITY;
  /** The read under way; never rejects. */
  #reading: Promise<void> | undefined;

  constructor(options: SampledOptions<T>) {
    this.#options = options;
  }

  /** As last known; undefined before the first read that succeeded. */
  get value(): T | undefined {
    return this.#value;
  }

  /** Reads again if it is time to. Resolves when that is done or takes too long; never rejects. */
  async refresh(): Promise<void> {
    const { everyMs, patienceMs } = this.#options;
    if (this.#reading === undefined) {
      if (performance.now() - this.#readAt < everyMs) return;
      this.#readAt = performance.now();
      this.#reading = this.#read().finally(() => {
        this.#reading = undefined;
      });
    }
    const { promise: late, resolve } = Promise.withResolvers<void>();
    const timer = setTimeout(resolve, patienceMs);
    await Promise.race([this.#reading, late]);
    clearTimeout(timer);
  }

  async #read(): Promise<void> {
    try {
      this.#value = await this.#options.read();
    } catch (error) {
      this.#options.onError(error);
    }
  }
}
