import type { AuditEvent } from '../schemas.ts';
import { Grams } from './grams.ts';
import { BLOCK_SIZE, encodeList, listBytes } from './offsets.ts';
import { bitOf, type Column, fields } from './terms.ts';

/** The index of a block, as it is written: for each value of each field which events have it. */
export type BlockIndex = {
  block: number;
  fields: number[];
  values: string[];
  /** How many events each value has, and what they did and where: masks of `bitOf`. */
  counts: number[];
  actions: bigint[];
  rooms: bigint[];
  /** The lists of positions, one after the other. */
  lists: Buffer;
  grams: Buffer;
};

/** The values of one column in a block. */
class Values {
  /** For each event of the block the number of its value, from 1; 0: none. */
  readonly numbers = new Uint16Array(BLOCK_SIZE);
  readonly names: string[] = [];
  readonly #known = new Map<string, number>();

  set(offset: number, name: string): void {
    let number = this.#known.get(name);
    if (number === undefined) {
      number = this.names.push(name);
      this.#known.set(name, number);
    }
    this.numbers[offset] = number;
  }

  /** The rising positions of each value, in the order of `names`. */
  lists(): Uint16Array[] {
    const counts = new Uint16Array(this.names.length + 1);
    for (const number of this.numbers) counts[number] = (counts[number] ?? 0) + 1;
    const lists = Array.from(counts.subarray(1), (count) => new Uint16Array(count));
    const ends = new Uint16Array(this.names.length);
    for (let offset = 0; offset < BLOCK_SIZE; offset += 1) {
      const n = (this.numbers[offset] ?? 0) - 1;
      const list = lists[n];
      if (list === undefined) continue;
      const end = ends[n] ?? 0;
      list[end] = offset;
      ends[n] = end + 1;
    }
    return lists;
  }

  /** For each value, in the order of `names`, the bits of what another column has in the same events. */
  masks(other: Values): bigint[] {
    const bits = other.names.map(bitOf);
    const halves = new Uint32Array(2 * this.names.length);
    for (let offset = 0; offset < BLOCK_SIZE; offset += 1) {
      const n = (this.numbers[offset] ?? 0) - 1;
      const bit = bits[(other.numbers[offset] ?? 0) - 1];
      if (n < 0 || bit === undefined) continue;
      const half = 2 * n + (bit >> 5);
      halves[half] = (halves[half] ?? 0) | (1 << (bit & 31));
    }
    return this.names.map((_, n) =>
      BigInt.asIntN(64, (BigInt(halves[2 * n + 1] ?? 0) << 32n) | BigInt(halves[2 * n] ?? 0)),
    );
  }
}

/** Gathers the events of one block, in any order, and makes the index of them. */
export class BlockBuilder {
  readonly block: number;
  /** The first seq of the block, and the one after its last. */
  readonly from: number;
  readonly to: number;
  readonly #columns = Object.fromEntries(fields.map(({ column }) => [column, new Values()])) as Record<
    Column,
    Values
  >;
  readonly #grams = new Grams();

  constructor(block: number) {
    this.block = block;
    this.from = block * BLOCK_SIZE;
    this.to = this.from + BLOCK_SIZE;
  }

  /** @param event of this block; to add it again changes nothing */
  add(event: AuditEvent): void {
    const offset = event.seq - this.from;
    for (const { column } of fields) {
      const value = event[column];
      if (value !== null) this.#columns[column].set(offset, value);
    }
    if (event.message !== null) this.#grams.add(offset, event.message);
  }

  finish(): BlockIndex {
    const { action, room } = this.#columns;
    const lists: Uint16Array[] = [];
    const index: BlockIndex = {
      block: this.block,
      fields: [],
      values: [],
      counts: [],
      actions: [],
      rooms: [],
      lists: Buffer.alloc(0),
      grams: this.#grams.bits,
    };
    for (const { number, column } of fields) {
      const values = this.#columns[column];
      index.values.push(...values.names);
      index.actions.push(...values.masks(action));
      index.rooms.push(...values.masks(room));
      for (const list of values.lists()) {
        index.fields.push(number);
        index.counts.push(list.length);
        lists.push(list);
      }
    }
    index.lists = concat(lists);
    return index;
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
