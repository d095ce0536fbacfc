/** How many events are indexed together. A position among them fits in 16 bits, and all of them in 2 KiB of bits. */
export const BLOCK_SIZE = 16_384;

const WORDS = BLOCK_SIZE / 32;

/** The bytes of a list that has a bit for each event of the block. */
const BITS_BYTES = BLOCK_SIZE / 8;

/**
 * Whether a posting list of so many positions holds them one by one, two bytes each; one that would take as much room
 * as a bit for each event of the block is kept as these bits. So the length of a list tells which it is.
 */
export const isListed = (count: number): boolean => 2 * count < BITS_BYTES;

/** The bytes of a posting list of so many positions. */
export const listBytes = (count: number): number => (isListed(count) ? 2 * count : BITS_BYTES);

/** A set of positions in a block, from 0 to `BLOCK_SIZE - 1`. */
export class Offsets {
  readonly #words = new Uint32Array(WORDS);

  /** All of a block. */
  static all(): Offsets {
    const offsets = new Offsets();
    offsets.#words.fill(0xffff_ffff);
    return offsets;
  }

  /** All from one position to before another; both may lie beyond the block. */
  static range(from: number, to: number): Offsets {
    const offsets = new Offsets();
    for (let at = Math.max(0, from); at < Math.min(BLOCK_SIZE, to); at += 1) offsets.add(at);
    return offsets;
  }

  get count(): number {
    return this.countIn(0, BLOCK_SIZE);
  }

  /** How many there are from one position to before another; both may lie beyond the block. */
  countIn(from: number, to: number): number {
    const [start, end] = [Math.max(0, from), Math.min(BLOCK_SIZE, to)];
    if (start >= end) return 0;
    const [first, last] = [start >> 5, (end - 1) >> 5];
    let count = 0;
    for (let at = first; at <= last; at += 1) {
      let word = this.#words[at] ?? 0;
      if (at === first) word &= -1 << (start & 31);
      if (at === last) word &= -1 >>> (31 - ((end - 1) & 31));
      count += ones(word);
    }
    return count;
  }

  add(offset: number): void {
    this.#words[offset >> 5] = (this.#words[offset >> 5] ?? 0) | (1 << (offset & 31));
  }

  /** Adds those of a posting list. */
  addList(list: Buffer): void {
    if (list.length === BITS_BYTES) {
      for (let word = 0; word < WORDS; word += 1) {
        this.#words[word] = (this.#words[word] ?? 0) | list.readUInt32LE(4 * word);
      }
      return;
    }
    for (let at = 0; at < list.length; at += 2) this.add(list.readUInt16LE(at));
  }

  /** How many of a posting list are in the set. */
  countOf(list: Buffer): number {
    let count = 0;
    if (list.length === BITS_BYTES) {
      for (let word = 0; word < WORDS; word += 1) {
        count += ones((this.#words[word] ?? 0) & list.readUInt32LE(4 * word));
      }
      return count;
    }
    for (let at = 0; at < list.length; at += 2) {
      const offset = list.readUInt16LE(at);
      count += ((this.#words[offset >> 5] ?? 0) >>> (offset & 31)) & 1;
    }
    return count;
  }

  /** Keeps what is in the other set as well. */
  keep(other: Offsets): void {
    for (let word = 0; word < WORDS; word += 1) {
      this.#words[word] = (this.#words[word] ?? 0) & (other.#words[word] ?? 0);
    }
  }

  /** The positions, in rising order. */
  *[Symbol.iterator](): Generator<number> {
    for (let at = 0; at < WORDS; at += 1) {
      let word = this.#words[at] ?? 0;
      while (word !== 0) {
        const lowest = word & -word;
        yield 32 * at + 31 - Math.clz32(lowest);
        word ^= lowest;
      }
    }
  }

  /** The positions, in falling order. */
  *reversed(): Generator<number> {
    for (let at = WORDS - 1; at >= 0; at -= 1) {
      let word = this.#words[at] ?? 0;
      while (word !== 0) {
        const bit = 31 - Math.clz32(word);
        yield 32 * at + bit;
        word ^= 1 << bit;
      }
    }
  }
}

function ones(word: number): number {
  let bits = word - ((word >>> 1) & 0x5555_5555);
  bits = (bits & 0x3333_3333) + ((bits >>> 2) & 0x3333_3333);
  return Math.imul((bits + (bits >>> 4)) & 0x0f0f_0f0f, 0x0101_0101) >>> 24;
}
