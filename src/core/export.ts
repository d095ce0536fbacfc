import { createHash } from 'node:crypto';
import type { ExportFormat } from './actions.ts';
import { lines } from './export-lines.ts';

/** Events of an export as the bytes that stand for them in it. */
export type ExportPage = {
  /** The whole lines of the events; empty where there are none. */
  bytes: Buffer;
  count: number;
  /** The first and the last of the events; null where there are none. */
  firstSeq: number | null;
  lastSeq: number | null;
};

/** Writes an export piece by piece, and keeps what its last line will say. */
export class ExportWriter {
  readonly #lines: (typeof lines)[ExportFormat];
  readonly #hash = createHash('sha256');
  #count = 0;
  #first: number | null = null;
  #last: number | null = null;

  constructor(format: ExportFormat) {
    this.#lines = lines[format];
  }

  /** How many events were written. */
  get count(): number {
    return this.#count;
  }

  #hashed(bytes: Buffer): Buffer {
    this.#hash.update(bytes);
    return bytes;
  }

  /** What stands before the first event; may be nothing. */
  head(): Buffer {
    return this.#hashed(Buffer.from(this.#lines.head));
  }

  /** The next events, in pieces of so many bytes; the last may be less. */
  *page({ bytes, count, firstSeq, lastSeq }: ExportPage, pieceBytes: number): Generator<Buffer> {
    this.#count += count;
    this.#first ??= firstSeq;
    this.#last = lastSeq ?? this.#last;
    for (let at = 0; at < bytes.length; at += pieceBytes) {
      yield this.#hashed(bytes.subarray(at, at + pieceBytes));
    }
  }

  /** The last line. Nothing can be written after it. */
  end(): Buffer {
    const trailer = { count: this.#count, first_seq: this.#first, last_seq: this.#last };
    return Buffer.from(this.#lines.end({ ...trailer, sha256: this.#hash.digest('hex') }));
  }
}
