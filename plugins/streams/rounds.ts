import type { Budget } from '../limits.ts';

/** What writes when a round comes. */
export type Writer = {
  readonly budget: Budget;
  /** Writes all that has gathered; gives how many bytes that was. */
  flush: () => number;
};

/** How long the next round waits for each that wrote in this one, and at most. */
const MS_FOR_EACH = 0.5;
const MOST_MS = 20;
/** How often it is looked whether those that have used up their budget have some again. */
const BROKE_MS = 20;

/**
 * When those who have something to write do: all together, at once where few have written lately, else a moment later. A
 * write costs as much as some thousand bytes, whatever it holds, so that the more there are, the more gathers for
 * each. Whoever has no budget left waits for another round.
 */
export class Rounds {
  /** In the order in which they came, so that each who shares a budget has its turn. */
  readonly #waiting = new Set<Writer>();
  #isDue = false;
  /** No round begins before. */
  #notBefore = 0;

  /** Adds a writer to the next round. */
  add(writer: Writer): void {
    this.#waiting.add(writer);
    this.#callIn(this.#notBefore - performance.now());
  }

  remove(writer: Writer): void {
    this.#waiting.delete(writer);
  }

  #callIn(ms: number): void {
    if (this.#isDue) return;
    this.#isDue = true;
    if (ms <= 0) queueMicrotask(() => this.#begin());
    else setTimeout(() => this.#begin(), ms);
  }

  #begin(): void {
    this.#isDue = false;
    let writes = 0;
    for (const writer of this.#waiting) {
      if (!writer.budget.isLeft()) continue;
      this.#waiting.delete(writer);
      writer.budget.spend(writer.flush());
      writes += 1;
    }
    const pause = Math.min(writes * MS_FOR_EACH, MOST_MS);
    this.#notBefore = performance.now() + pause;
    if (this.#waiting.size > 0) this.#callIn(Math.max(pause, BROKE_MS));
  }
}

/** Joins lists of blocks. Those who ask for the same one after the other get the same bytes, which are copied once. */
export class Joiner {
  #blocks: readonly Buffer[] = [];
  #bytes: Buffer = Buffer.alloc(0);

  /** @param length of all the blocks, in bytes */
  join(blocks: readonly Buffer[], length: number): Buffer {
    const [only] = blocks;
    if (only !== undefined && blocks.length === 1) return only;
    if (!this.#isLast(blocks)) {
      this.#blocks = blocks;
      this.#bytes = Buffer.concat(blocks, length);
    }
    return this.#bytes;
  }

  #isLast(blocks: readonly Buffer[]): boolean {
    return (
      blocks.length === this.#blocks.length && blocks.every((block, index) => block === this.#blocks[index])
    );
  }
}
