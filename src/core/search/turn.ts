import { BLOCK_SIZE } from './offsets.ts';

/** What an instance sees when it asks whether it should make the index. */
export type Indexing = {
  /** How many instances are older; undefined: this one has no place in the log. */
  older: number | undefined;
  /** The first block that is not indexed. */
  nextBlock: number;
  /** The number that the next event will get. */
  nextSeq: number;
};

/** Whole blocks that may wait for the eldest instance. */
const MAX_WAITING = 2;
/** How many looks in a row find more waiting and nothing made before the next eldest stands in; the one after has twice as many. */
const PATIENCE = 3;

/**
 * Whose turn it is to make the index: the eldest instance's, and while that makes nothing of what waits, the next
 * eldest's, until nothing does. Two that make it at once do no harm, but double the work.
 */
export class IndexingTurn {
  /** How many looks in a row found that nothing was made of what waits. */
  #standing = 0;
  /** The next block as the last look found it; undefined: no more waited than may. */
  #due: number | undefined;
  /** Whether this instance stands in for an older one. */
  #standsIn = false;

  /** Looks again, which is done at even intervals. @returns whether it is this instance's turn */
  look({ older, nextBlock, nextSeq }: Indexing): boolean {
    const waiting = Math.floor(nextSeq / BLOCK_SIZE) - nextBlock;
    const due = waiting > MAX_WAITING ? nextBlock : undefined;
    this.#standing = due !== undefined && due === this.#due ? this.#standing + 1 : 0;
    this.#due = due;
    if (older === undefined) this.#standsIn = false;
    else if (this.#standsIn) this.#standsIn = older > 0 && waiting > 0;
    else this.#standsIn = older > 0 && this.#standing >= older * PATIENCE;
    return older === 0 || this.#standsIn;
  }
}
