import type { ExportFormat } from './actions.ts';
import { CSV_END, type Trailer, trailerLine } from './export-lines.ts';

/** More than any last line has bytes: three numbers of 16 digits, a hash, and what stands around them. */
const MAX_TRAILER_BYTES = 512;
const LF = 0x0a;
const QUOTE = 0x22;

const asCount = (cell: string | undefined): number | null =>
  cell !== undefined && /^\d{1,16}$/.test(cell) ? Number(cell) : null;

function csvTrailer(line: string): Trailer | undefined {
  const [end, count, first, last, sha256 = ''] = line.trimEnd().split(',');
  const counted = asCount(count);
  if (end !== CSV_END || counted === null) return undefined;
  return { count: counted, first_seq: asCount(first), last_seq: asCount(last), sha256 };
}

function jsonTrailer(line: string): Trailer | undefined {
  try {
    const { count, first_seq, last_seq, sha256 } = JSON.parse(line) as Trailer;
    return { count, first_seq, last_seq, sha256 };
  } catch {
    return undefined;
  }
}

/** How an export ends. */
export type ExportEnd = {
  /** The bytes before the last line that were not given back yet. */
  rest: Uint8Array;
  /** What the last line says; undefined: there is none, the export is cut off. */
  trailer: Trailer | undefined;
};

/** Reads an export while its bytes go by, whatever their number: how many events it holds, and its last line. */
export class ExportReader {
  readonly #format: ExportFormat;
  /** The last bytes so far, among which the last line must be; not counted yet. */
  #held: Uint8Array = new Uint8Array();
  #lines = 0;
  #quoted = false;

  constructor(format: ExportFormat) {
    this.#format = format;
  }

  /** How many events were read, but for those among the last bytes, of which it is open what they are. */
  get count(): number {
    return Math.max(0, this.#lines - (this.#format === 'csv' ? 1 : 0));
  }

  /** Takes the next bytes. @returns those of them and before that are certainly not of the last line */
  add(chunk: Uint8Array): Uint8Array {
    const all = new Uint8Array(this.#held.length + chunk.length);
    all.set(this.#held);
    all.set(chunk, this.#held.length);
    const settled = Math.max(0, all.length - MAX_TRAILER_BYTES);
    this.#held = all.subarray(settled);
    return this.#take(all.subarray(0, settled));
  }

  /** Counts lines; those of a CSV end where no quote is open. */
  #take(bytes: Uint8Array): Uint8Array {
    const csv = this.#format === 'csv';
    for (let at = 0; at < bytes.length; at += 1) {
      if (csv && bytes[at] === QUOTE) this.#quoted = !this.#quoted;
      else if (bytes[at] === LF && !this.#quoted) this.#lines += 1;
    }
    return bytes;
  }

  /** Says how it ends when all has come. */
  end(): ExportEnd {
    const held = this.#held;
    if (held.at(-1) !== LF) return { rest: this.#take(held), trailer: undefined };
    const start = held.lastIndexOf(LF, -2) + 1;
    const line = new TextDecoder().decode(held.subarray(start));
    const trailer = this.#format === 'csv' ? csvTrailer(line) : jsonTrailer(line);
    if (trailer === undefined || trailerLine(this.#format, trailer) !== line) {
      return { rest: this.#take(held), trailer: undefined };
    }
    return { rest: this.#take(held.subarray(0, start)), trailer };
  }
}
