import { foldCase } from './case-folding.ts';
import { BLOCK_SIZE } from './offsets.ts';

/** How many events share a bit: what the index says of a text, it says of so many events together. */
export const GRANULE_SIZE = 128;
const GRANULES = BLOCK_SIZE / GRANULE_SIZE;
/** A row of bits, one for each granule of the block, in bytes. */
const ROW_BYTES = GRANULES / 8;
/** How many rows there are; the hash of a gram names one. */
const ROWS = 32_768;
/** Each gram sets the bits of this many rows, so that others rarely set all of them by chance. */
const HASHES = 3;
/** Rows that stand together in the database. */
export const ROWS_PER_PART = 64;
export const PART_BYTES = ROWS_PER_PART * ROW_BYTES;
export const PARTS = ROWS / ROWS_PER_PART;
/** A long text is looked up by some of its grams. */
const MAX_ROWS_ASKED = 24;

/** Where a row of bits stands: in which part, and from which bit of it on (from 0). */
export type GramRow = { part: number; firstBit: number };

/** A number of 32 bits for the gram of these UTF-16 code units; absent ones are 0, which no text holds. */
function hashOf(first: number, second: number, third: number): number {
  let hash = Math.imul(first, 0x9e37_79b1) ^ Math.imul(second + 0x7f4a, 0x85eb_ca77);
  hash = Math.imul(hash ^ (hash >>> 15), 0x2c1b_3c6d) ^ Math.imul(third + 0x1656, 0xc2b2_ae3d);
  hash = Math.imul(hash ^ (hash >>> 13), 0x297a_2d39);
  return hash ^ (hash >>> 16);
}

/** From one row of a gram to the next (double hashing: Kirsch and Mitzenmacher, 2006). */
const stepOf = (hash: number): number => (hash >>> 17) | 1;

/**
 * Which granules of a block hold which grams: runs of one, two and three UTF-16 code units of a folded text, so that
 * a single character of any script can be looked up. A bit may be set by chance, none is missing.
 */
export class Grams {
  readonly bits = Buffer.alloc(ROWS * ROW_BYTES);

  /** Adds the text of the event at a position in the block. */
  add(offset: number, text: string): void {
    const folded = foldCase(text);
    const granule = Math.floor(offset / GRANULE_SIZE);
    // The first granule is the first bit, as Postgres counts them.
    const [byte, bit] = [granule >> 3, 0x80 >> (granule & 7)];
    let [second, third] = [0, 0];
    for (let at = folded.length - 1; at >= 0; at -= 1) {
      const first = folded.charCodeAt(at);
      this.#set(hashOf(first, 0, 0), byte, bit);
      if (second !== 0) this.#set(hashOf(first, second, 0), byte, bit);
      if (third !== 0) this.#set(hashOf(first, second, third), byte, bit);
      third = second;
      second = first;
    }
  }

  #set(hash: number, byte: number, bit: number): void {
    const step = stepOf(hash);
    for (let n = 0, row = hash; n < HASHES; n += 1, row += step) {
      const index = (row & (ROWS - 1)) * ROW_BYTES + byte;
      this.bits[index] = (this.bits[index] ?? 0) | bit;
    }
  }
}

/** The rows whose bits a granule must have set where one of its texts contains this one. */
export function gramRows(text: string): GramRow[] {
  const folded = foldCase(text);
  const size = Math.min(3, folded.length);
  const rows = new Set<number>();
  const grams = folded.length - size + 1;
  // Spread over the text, for neighbours say nearly the same.
  const step = Math.max(1, Math.ceil((grams * HASHES) / MAX_ROWS_ASKED));
  for (let at = 0; at < grams; at += step) addGram(folded.slice(at, at + size));
  // Of a short one, the pairs as well: chance sets them apart.
  if (size === 3 && grams <= 2)
    for (let at = 0; at < folded.length - 1; at += 1) addGram(folded.slice(at, at + 2));
  return [...rows].map((row) => ({
    part: Math.floor(row / ROWS_PER_PART),
    firstBit: (row % ROWS_PER_PART) * GRANULES,
  }));

  function addGram(gram: string): void {
    const [one = 0, two = 0, three = 0] = [0, 1, 2].map((at) => gram.charCodeAt(at) || 0);
    const hash = hashOf(one, two, three);
    for (let n = 0; n < HASHES; n += 1) rows.add((hash + n * stepOf(hash)) & (ROWS - 1));
  }
}
