import type { ExportFormat } from './actions.ts';
import { eventFields } from './event-fields.ts';
import type { AuditEvent } from './schemas.ts';

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

/**
 * What a spreadsheet takes for the start of a formula: the four signs, also as wide as a Chinese character, and what
 * some of them skip before one. And the quote itself, so that who takes one away gets back what was there.
 */
const DEFUSED = /^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20']/;
const QUOTED = /[",\r\n]/;

/** A text as one cell: made harmless, and quoted where RFC 4180 2.6 asks for it. An empty one is not null. */
function textCell(text: string): string {
  const cell = DEFUSED.test(text) ? `'${text}` : text;
  return cell === '' || QUOTED.test(cell) ? `"${cell.replaceAll('"', '""')}"` : cell;
}

function cellOf(value: AuditEvent[keyof AuditEvent]): string {
  if (value === null) return '';
  if (typeof value === 'number') return String(value);
  return textCell(typeof value === 'string' ? value : JSON.stringify(value));
}

// RFC 4180 2.1: records end with CRLF.
const csvRecord = (cells: readonly string[]): string => `${cells.join(',')}\r\n`;

/** The lines of an export in one format. */
type Lines = { head: string; event: (event: AuditEvent) => string; end: (trailer: Trailer) => string };

export const lines: Record<ExportFormat, Lines> = {
  ndjson: {
    head: '',
    event: (event) => `${JSON.stringify(event)}\n`,
    end: (trailer) => `${JSON.stringify({ end: true, ...trailer })}\n`,
  },
  csv: {
    head: csvRecord(eventFields),
    event: (event) => csvRecord(eventFields.map((field) => cellOf(event[field]))),
    end: ({ count, first_seq, last_seq, sha256 }) => {
      const cells = [CSV_END, cellOf(count), cellOf(first_seq), cellOf(last_seq), sha256];
      return csvRecord([...cells, ...Array<string>(eventFields.length - cells.length).fill('')]);
    },
  },
};

/** The last line of an export. */
export const trailerLine = (format: ExportFormat, trailer: Trailer): string => lines[format].end(trailer);
