import { createHash } from 'node:crypto';
import type { ExportFormat } from './actions.ts';
import { CSV_END, type Trailer, trailerLine } from './export.ts';

/** More than any last line has bytes: three numbers of 16 digits, a hash, and what stands around them. */
const MAX_TRAILER_BYTES = 512;
const LF = 0x0a;
const QUOTE = 0x22;

/** What a whole export says of itself, or what is wrong with one. */
export type ExportVerdict = { ok: true; trailer: Trailer } | { ok: false; reason: string };

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

/**
 * Checks an export while its bytes go by, whatever their number: that its last line is there, and that count and hash
 * are those of what came before it.
 */
export class ExportCheck {
  readonly #format: ExportFormat;
  readonly #hash = createHash('sha256');
  /** The last bytes so far, among which the last line must be; not hashed or counted yet. */
  #held: Buffer = Buffer.alloc(0);
  #lines = 0;
  #quoted = false;

  constructor(format: ExportFormat) {
    this.#format = format;
  }

  /** Takes the next bytes. */
  add(chunk: Uint8Array): void {
    const all = Buffer.concat([this.#held, chunk]);
    const settled = Math.max(0, all.length - MAX_TRAILER_BYTES);
    this.#take(all.subarray(0, settled));
    this.#held = all.subarray(settled);
  }

  /** Counts lines; those of a CSV end where no quote is open. */
  #take(bytes: Buffer): void {
    this.#hash.update(bytes);
    const csv = this.#format === 'csv';
    for (let at = 0; at < bytes.length; at += 1) {
      if (csv && bytes[at] === QUOTE) this.#quoted = !this.#quoted;
      else if (bytes[at] === LF && !this.#quoted) this.#lines += 1;
    }
  }

  /** Judges when all has come. */
  end(): ExportVerdict {
    const cut = {
      ok: false,
      reason: 'it is cut off: its last line, which says how much it holds, is missing',
    } as const;
    if (this.#held.at(-1) !== LF) return cut;
    const start = this.#held.lastIndexOf(LF, -2) + 1;
    this.#take(this.#held.subarray(0, start));
    const line = this.#held.subarray(start).toString();
    const trailer = this.#format === 'csv' ? csvTrailer(line) : jsonTrailer(line);
    if (trailer === undefined || trailerLine(this.#format, trailer) !== line) return cut;
    if (trailer.sha256 !== this.#hash.digest('hex')) {
      return { ok: false, reason: 'it was changed: its SHA-256 is not the one that its last line names' };
    }
    const count = this.#lines - (this.#format === 'csv' ? 1 : 0);
    if (trailer.count !== count) {
      return { ok: false, reason: `it holds ${count} events, and its last line says ${trailer.count}` };
    }
    return { ok: true, trailer };
  }
}
