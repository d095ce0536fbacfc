import type { AuditEvent } from '../schemas.ts';
import { Grams } from './grams.ts';
import { BLOCK_SIZE, isListed, listBytes } from './offsets.ts';
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

/** What is looked at as it comes, in UTF-16 units: some 50 µs at most. */
const SHORT_TEXT = 1_024;
/** How many longer ones are kept for later. */
const MAX_LONG_TEXTS = 64;
/** No filter can ask for a longer value, and no index of Postgres could hold a much longer one. */
const MAX_VALUE_LENGTH = 512;

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

  /** How many events have each value, in the order of `names`. */
  counts(): number[] {
    const counts = new Uint16Array(this.names.length + 1);
    for (const number of this.numbers) counts[number] = (counts[number] ?? 0) + 1;
    return Array.from(counts.subarray(1));
  }

  /** The positions of each value, in the order of `names`, one list after the other, as `Offsets.addList` reads them. */
  lists(counts: readonly number[]): Buffer {
    const ends = new Uint32Array(counts.length);
    let bytes = 0;
    for (const [n, count] of counts.entries()) {
      ends[n] = bytes;
      bytes += listBytes(count);
    }
    const lists = Buffer.alloc(bytes);
    for (let offset = 0; offset < BLOCK_SIZE; offset += 1) {
      const n = (this.numbers[offset] ?? 0) - 1;
      const end = ends[n];
      if (end === undefined) continue;
      if (isListed(counts[n] ?? 0)) {
        lists[end] = offset & 0xff;
        lists[end + 1] = offset >> 8;
        ends[n] = end + 2;
      } else {
        const byte = end + (offset >> 3);
        lists[byte] = (lists[byte] ?? 0) | (1 << (offset & 7));
      }
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
  /** Looked at one by one in `steps`, for each takes long. */
  readonly #longTexts = new Map<number, string>();

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
      if (value !== null && value.length <= MAX_VALUE_LENGTH) this.#columns[column].set(offset, value);
    }
    const { message } = event;
    if (message === null) return;
    if (message.length <= SHORT_TEXT || this.#longTexts.size === MAX_LONG_TEXTS)
      this.#grams.add(offset, message);
    else this.#longTexts.set(offset, message);
  }

  /** Makes the index, in steps of a millisecond or so; a text of 64 KiB takes some more. */
  *steps(): Generator<void, BlockIndex> {
    const { action, room } = this.#columns;
    for (const [offset, text] of this.#longTexts) {
      this.#grams.add(offset, text);
      yield;
    }
    const lists: Buffer[] = [];
    const index: Omit<BlockIndex, 'lists'> = {
      block: this.block,
      fields: [],
      values: [],
      counts: [],
      actions: [],
      rooms: [],
      grams: this.#grams.bits,
    };
    for (const { number, column } of fields) {
      const values = this.#columns[column];
      const counts = values.counts();
      lists.push(values.lists(counts));
      index.fields.push(...counts.map(() => number));
      index.values.push(...values.names);
      index.counts.push(...counts);
      yield;
      index.actions.push(...values.masks(action));
      index.rooms.push(...values.masks(room));
      yield;
    }
    return { ...index, lists: Buffer.concat(lists) };
  }
}

/** Takes all steps at once. */
export function finish(builder: BlockBuilder): BlockIndex {
  const steps = builder.steps();
  for (;;) {
    const { done, value } = steps.next();
    if (done) return value;
  }
}
