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

/**
 * When those who have something to write do: all together, at once where few have written lately, else a moment later. A
 * write costs as much as some thousand bytes, whatever it holds, so that the more there are, the more gathers for
 * each. Whoever has no budget left waits for another round, and nobody waits for them.
 */
export class Rounds {
  /** Those who write in the next round. */
  readonly #next = new Set<Writer>();
  /** Those without budget, by whose it is, in the order in which they came. */
  readonly #broke = new Map<string, Set<Writer>>();
  #isDue = false;
  #isRetryDue = false;
  /** No round begins before. */
  #notBefore = 0;

  /** Adds a writer to the next round. */
  add(writer: Writer): void {
    this.#next.add(writer);
    if (this.#isDue) return;
    this.#isDue = true;
    const wait = this.#notBefore - performance.now();
    if (wait <= 0) queueMicrotask(() => this.#begin());
    else setTimeout(() => this.#begin(), wait);
  }

  remove(writer: Writer): void {
    this.#next.delete(writer);
    this.#broke.get(writer.budget.owner)?.delete(writer);
  }

  #begin(): void {
    this.#isDue = false;
    let writes = 0;
    for (const writer of this.#next) {
      const { budget } = writer;
      const before = this.#broke.get(budget.owner);
      if (before !== undefined) before.add(writer);
      else if (budget.isLeft()) {
        budget.spend(writer.flush());
        writes += 1;
      } else this.#broke.set(budget.owner, new Set([writer]));
    }
    this.#next.clear();
    this.#notBefore = performance.now() + Math.min(writes * MS_FOR_EACH, MOST_MS);
    this.#retryLater();
  }

  #retryLater(): void {
    if (this.#isRetryDue || this.#broke.size === 0) return;
    this.#isRetryDue = true;
    setTimeout(() => this.#retry(), MOST_MS);
  }

  #retry(): void {
    this.#isRetryDue = false;
    for (const [owner, line] of this.#broke) {
      for (const writer of line) {
        if (!writer.budget.isLeft()) break;
        line.delete(writer);
        writer.budget.spend(writer.flush());
      }
      if (line.size === 0) this.#broke.delete(owner);
    }
    this.#retryLater();
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
