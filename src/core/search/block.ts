import type { AuditEvent } from '../schemas.ts';
import { Grams } from './grams.ts';
import { BLOCK_SIZE, encodeList, listBytes } from './offsets.ts';
import { type Column, fields, pairOf } from './terms.ts';

/** The index of a block, as it is written: one posting list for each term, all lists in one piece. */
export type BlockIndex = {
  block: number;
  /** Which field and value each list is of, and how many positions it holds. */
  fields: number[];
  values: string[];
  counts: number[];
  /** The lists, one after the other. */
  lists: Buffer;
  grams: Buffer;
};

/** The values of one column in a block, each written once. */
class Values<Key> {
  /** For each event of the block the number of its value, from 1; 0: none. */
  readonly numbers = new Uint16Array(BLOCK_SIZE);
  readonly keys: Key[] = [];
  readonly #known = new Map<Key, number>();

  set(offset: number, key: Key): number {
    let number = this.#known.get(key);
    if (number === undefined) {
      number = this.keys.push(key);
      this.#known.set(key, number);
    }
    this.numbers[offset] = number;
    return number;
  }

  /** The rising positions of each value, in the order of `keys`. */
  lists(): Uint16Array[] {
    const ends = new Uint32Array(this.keys.length + 1);
    for (const number of this.numbers) ends[number] = (ends[number] ?? 0) + 1;
    const counts = ends.slice(1);
    const sorted = counts.map(() => 0);
    const lists = Array.from(counts, (count) => new Uint16Array(count));
    for (let offset = 0; offset < BLOCK_SIZE; offset += 1) {
      const n = (this.numbers[offset] ?? 0) - 1;
      const list = lists[n];
      if (list === undefined) continue;
      const at = sorted[n] ?? 0;
      list[at] = offset;
      sorted[n] = at + 1;
    }
    return lists;
  }
}

/** A field of the index while a block is gathered. */
type Single = { number: number; column: Column; values: Values<string> };
type Pair = { number: number; first: Values<string>; second: Values<string>; values: Values<number> };

/** Above every number of a value, so that the numbers of two values make one. */
const PAIR_BASE = 2 * BLOCK_SIZE;

/** Gathers the events of one block, in any order, and makes the index of them. */
export class BlockBuilder {
  readonly block: number;
  /** The first seq of the block, and the one after its last. */
  readonly from: number;
  readonly to: number;
  readonly #singles: Single[] = [];
  readonly #pairs: Pair[] = [];
  readonly #grams = new Grams();

  constructor(block: number) {
    this.block = block;
    this.from = block * BLOCK_SIZE;
    this.to = this.from + BLOCK_SIZE;
    const columns = new Map<Column, Values<string>>();
    for (const {
      number,
      columns: [column, second],
    } of fields) {
      const [first, other] = [columns.get(column), second === undefined ? undefined : columns.get(second)];
      if (first !== undefined && other !== undefined) {
        this.#pairs.push({ number, first, second: other, values: new Values() });
      } else {
        const values = new Values<string>();
        columns.set(column, values);
        this.#singles.push({ number, column, values });
      }
    }
  }

  /** @param event of this block; to add it again changes nothing */
  add(event: AuditEvent): void {
    const offset = event.seq - this.from;
    for (const { column, values } of this.#singles) {
      const value = event[column];
      if (value !== null) values.set(offset, value);
    }
    for (const { first, second, values } of this.#pairs) {
      const [one, other] = [first.numbers[offset] ?? 0, second.numbers[offset] ?? 0];
      if (one !== 0 && other !== 0) values.set(offset, one * PAIR_BASE + other);
    }
    if (event.message !== null) this.#grams.add(offset, event.message);
  }

  finish(): BlockIndex {
    const index: Omit<BlockIndex, 'lists' | 'grams'> = {
      block: this.block,
      fields: [],
      values: [],
      counts: [],
    };
    const lists: Uint16Array[] = [];
    const put = (number: number, value: string, list: Uint16Array): void => {
      index.fields.push(number);
      index.values.push(value);
      index.counts.push(list.length);
      lists.push(list);
    };
    for (const { number, values } of this.#singles) {
      for (const [n, list] of values.lists().entries()) put(number, values.keys[n] ?? '', list);
    }
    for (const { number, first, second, values } of this.#pairs) {
      for (const [n, list] of values.lists().entries()) {
        const key = values.keys[n] ?? 0;
        const one = first.keys[Math.floor(key / PAIR_BASE) - 1] ?? '';
        put(number, pairOf(one, second.keys[(key % PAIR_BASE) - 1] ?? ''), list);
      }
    }
    return { ...index, lists: concat(lists), grams: this.#grams.bits };
  }
}

function concat(lists: readonly Uint16Array[]): Buffer {
  const bytes = Buffer.alloc(lists.reduce((sum, list) => sum + listBytes(list.length), 0));
  let at = 0;
  for (const list of lists) {
    encodeList(list, bytes, at);
    at += listBytes(list.length);
  }
  return bytes;
}
