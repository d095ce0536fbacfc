import { createHash } from 'node:crypto';
import type { ExportFormat } from './actions.ts';
import type { Trailer } from './export-lines.ts';
import { ExportReader } from './export-reader.ts';

/** What a whole export says of itself, or what is wrong with one. */
export type ExportVerdict = { ok: true; trailer: Trailer } | { ok: false; reason: string };

/**
 * Checks an export while its bytes go by, whatever their number: that its last line is there, and that count and hash
 * are those of what came before it.
 */
export class ExportCheck {
  readonly #reader: ExportReader;
  readonly #hash = createHash('sha256');

  constructor(format: ExportFormat) {
    this.#reader = new ExportReader(format);
  }

  /** Takes the next bytes. */
  add(chunk: Uint8Array): void {
    this.#hash.update(this.#reader.add(chunk));
  }

  /** Judges when all has come. */
  end(): ExportVerdict {
    const { rest, trailer } = this.#reader.end();
    if (trailer === undefined) {
      return { ok: false, reason: 'it is cut off: its last line, which says how much it holds, is missing' };
    }
    if (trailer.sha256 !== this.#hash.update(rest).digest('hex')) {
      return { ok: false, reason: 'it was changed: its SHA-256 is not the one that its last line names' };
    }
    const { count } = this.#reader;
    if (trailer.count !== count) {
      return { ok: false, reason: `it holds ${count} events, and its last line says ${trailer.count}` };
    }
    return { ok: true, trailer };
  }
}
