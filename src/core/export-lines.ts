import type { ExportFormat } from './actions.ts';
import { eventFields } from './event-fields.ts';

/** What the last line of an export says of all before it. */
export type Trailer = {
  /** How many events the export holds. */
  count: number;
  /** The first and the last of them; null where there are none. */
  first_seq: number | null;
  last_seq: number | null;
  /** Of every byte before the line, in hexadecimal. */
  sha256: string;
};

/** The first cell of the last record, where every other record has its seq. */
export const CSV_END = '#end';

// RFC 4180 2.1: records end with CRLF.
const csvRecord = (cells: readonly string[]): string => `${cells.join(',')}\r\n`;

/** What stands around the lines of the events in one format; those the database makes (`db/export.ts`). */
type Lines = { head: string; end: (trailer: Trailer) => string };

export const lines: Record<ExportFormat, Lines> = {
  ndjson: {
    head: '',
    end: (trailer) => `${JSON.stringify({ end: true, ...trailer })}\n`,
  },
  csv: {
    head: csvRecord(eventFields),
    end: ({ count, first_seq, last_seq, sha256 }) => {
      const cells = [CSV_END, `${count}`, `${first_seq ?? ''}`, `${last_seq ?? ''}`, sha256];
      return csvRecord([...cells, ...Array<string>(eventFields.length - cells.length).fill('')]);
    },
  },
};

/** The last line of an export. */
export const trailerLine = (format: ExportFormat, trailer: Trailer): string => lines[format].end(trailer);
