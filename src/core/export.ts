import { createHash } from 'node:crypto';
import type { ExportFormat } from './actions.ts';
import { lines } from './export-lines.ts';
import type { AuditEvent } from './schemas.ts';

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

  #bytes(text: string): Buffer {
    const bytes = Buffer.from(text);
    this.#hash.update(bytes);
    return bytes;
  }

  /** What stands before the first event; may be nothing. */
  head(): Buffer {
    return this.#bytes(this.#lines.head);
  }

  /** The next events, in pieces of about so many bytes: at least that, but for the last, and one event more at most. */
  *events(events: readonly AuditEvent[], pieceBytes: number): Generator<Buffer> {
    let text = '';
    for (const event of events) {
      text += this.#lines.event(event);
      this.#count += 1;
      this.#first ??= event.seq;
      this.#last = event.seq;
      if (text.length < pieceBytes) continue;
      yield this.#bytes(text);
      text = '';
    }
    if (text !== '') yield this.#bytes(text);
  }

  /** The last line. Nothing can be written after it. */
  end(): Buffer {
    const trailer = { count: this.#count, first_seq: this.#first, last_seq: this.#last };
    return Buffer.from(this.#lines.end({ ...trailer, sha256: this.#hash.digest('hex') }));
  }
}
