import { CompiledQuery, type RawBuilder, sql } from 'kysely';
import type { ExportFormat } from '../src/core/actions.ts';
import { eventFields } from '../src/core/event-fields.ts';
import type { ExportPage } from '../src/core/export.ts';
import type { Filter } from '../src/core/filter.ts';
import type { AuditEvent } from '../src/core/schemas.ts';
import type { CopyTarget, Db } from './client.ts';
import { Deadline } from './deadline.ts';
import { eventColumns, pageRows, type SeqRange } from './events.ts';

const MIB = 1024 * 1024;
/** A page holds no more events, and ends early, never empty, when their messages and details weigh more. */
const PAGE_EVENTS = 1_000;
const PAGE_BYTES = 4 * MIB;

/** A page, and whether more events of the range match. */
export type FoundPage = ExportPage & { hasMore: boolean };

const NOTHING: FoundPage = {
  bytes: Buffer.alloc(0),
  count: 0,
  firstSeq: null,
  lastSeq: null,
  hasMore: false,
};

/** All that a text is looked at for: whether it may stand in a cell as it is, which most may. */
const NOT_PLAIN = sql.lit(String.raw`^$|[",\r\n]|^[=+\-@\t\uff1d\uff0b\uff0d\uff20']`);
/**
 * What a spreadsheet takes for the start of a formula: the four signs, also as wide as a Chinese character, and what
 * some of them skip before one. And the quote itself, so that who takes one away gets back what was there.
 */
const FORMULA = sql.lit(String.raw`^[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20']`);
/** RFC 4180 2.6 asks for quotes; an empty text has them, for it is not null. */
const QUOTED = sql.lit(String.raw`^$|[",\r\n]`);

/** A text as a cell: made harmless, and quoted where it has to be. */
function textCell(field: keyof AuditEvent): RawBuilder<string> {
  const text = sql`event.${sql.ref(field)}::text`;
  const harmless = sql`case when ${text} ~ ${FORMULA} then '''' else '' end || ${text}`;
  return sql`case
    when ${text} is null then ''
    when ${text} !~ ${NOT_PLAIN} then ${text}
    when ${text} ~ ${QUOTED} then '"' || replace(${harmless}, '"', '""') || '"'
    else ${harmless}
  end`;
}

/** What holds neither a text of somebody's nor a comma. */
const PLAIN: ReadonlySet<keyof AuditEvent> = new Set([
  'seq',
  'timestamp',
  'occurred_at',
  'action',
  'session_id',
  'erased_by',
]);

/** The line of an `event`. The database makes it, for events as objects are garbage that grows to much. */
const lines: Record<ExportFormat, RawBuilder<string>> = {
  ndjson: sql`row_to_json(event)::text || E'\n'`,
  // RFC 4180 2.1: records end with CRLF.
  csv: sql`concat_ws(',', ${sql.join(
    eventFields.map((field) =>
      PLAIN.has(field) ? sql`coalesce(event.${sql.ref(field)}::text, '')` : textCell(field),
    ),
  )}) || E'\r\n'`,
};

const INT16 = 2;
const INT32 = 4;
const INT64 = 8;
/** What stands before the first row: a signature of 11 bytes, flags, and the length of an extension, of which there is none. */
const HEADER_BYTES = 11 + 2 * INT32;
/** Where things stand in a row: the number of fields, and for each its length and it itself. The line is the last. */
const SEQ_AT = INT16 + INT32;
const FOUND_AT = SEQ_AT + INT64 + INT32;
const LENGTH_AT = FOUND_AT + INT64;
const LINE_AT = LENGTH_AT + INT32;

/** The rows of a page as `COPY` sends them, in binary: seq, found, line. The lines are moved together where they are. */
function pageOf(bytes: Buffer): FoundPage {
  let end = 0;
  let count = 0;
  let found = 0;
  let firstSeq: number | null = null;
  let lastSeq: number | null = null;
  // After the last row stands a number of fields that is negative.
  for (let at = HEADER_BYTES; bytes.readInt16BE(at) >= 0; ) {
    lastSeq = Number(bytes.readBigInt64BE(at + SEQ_AT));
    firstSeq ??= lastSeq;
    found = Number(bytes.readBigInt64BE(at + FOUND_AT));
    const start = at + LINE_AT;
    at = start + bytes.readInt32BE(at + LENGTH_AT);
    bytes.copyWithin(end, start, at);
    end += at - start;
    count += 1;
  }
  return { bytes: bytes.subarray(0, end), count, firstSeq, lastSeq, hasMore: found > count };
}

/**
 * The next events of a range that match, oldest first, as lines. Not one of them becomes an object or a text here.
 *
 * @param target holds the lines, until the next page is read into it
 * @throws CodedError `too_slow`
 */
export async function readExportPage(
  db: Db,
  target: CopyTarget,
  format: ExportFormat,
  filter: Filter,
  range: SeqRange,
): Promise<FoundPage> {
  const page = await pageRows(db, filter, range, 'asc', PAGE_EVENTS, PAGE_BYTES, Deadline.of(db));
  if (page === undefined) return NOTHING;
  // As bytes, and in binary: every other form of `COPY` escapes what stands in a text.
  const copy = sql`copy (
    select event.seq, found::bigint, convert_to(${lines[format]}, 'UTF8')
    from (${page}) page cross join lateral (select ${eventColumns}) event
    order by page.seq
  ) to stdout (format binary)`;
  await db.executeQuery(CompiledQuery.raw(copy.compile(db).sql, [target]));
  return pageOf(target.bytes);
}
