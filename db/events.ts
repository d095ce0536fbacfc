import { sql } from 'kysely';
import { eventFields } from '../src/core/event-fields.ts';
import type { Filter } from '../src/core/filter.ts';
import type { AuditEvent } from '../src/core/schemas.ts';
import type { Order, Range } from '../src/core/search/ranges.ts';
import type { Instant } from '../src/core/timestamps.ts';
import type { Db } from './client.ts';
import { Deadline } from './deadline.ts';
import { findSeqs, isIndexed } from './search.ts';
import { utc } from './sql.ts';

/** A range of seq. */
export type SeqRange = Range;

const MIB = 1024 * 1024;
/** A page ends early, never empty, when its messages and details weigh more than this. */
const MAX_PAGE_BYTES = 4 * MIB;
/** What an event weighs in a page. */
const weight = sql`(coalesce(octet_length(message), 0) + coalesce(pg_column_size(details), 0))`;
/** Where `total` stops counting. */
export const MAX_TOTAL = 10_000;

/** Where the log stands, and what an interval of time means in it. */
export type LogState = {
  epoch: string;
  /** The first event still kept. */
  firstSeq: number;
  /** The number that the next event will get. */
  nextSeq: number;
  /** The interval as resolved, in the log’s text form, where one was asked. */
  from?: string;
  to?: string;
  /** The interval as a range of seq: inclusive, exclusive; absent where it has no bound. */
  fromSeq: number | undefined;
  toSeq: number | undefined;
};

export type Page = {
  events: AuditEvent[];
  /** Whether more events of the range match. */
  hasMore: boolean;
};

/** How many events match; or, not exact, where counting has stopped. */
export type Total = { value: number; exact: boolean };

/** What a select gives of an event, column by column; the times in the log’s text form. */
export const eventColumns = sql.join(
  eventFields.map((field) => {
    const column = sql.ref(field);
    if (field === 'timestamp' || field === 'occurred_at') return sql`${utc(column)} as ${column}`;
    return field === 'details' ? sql`coalesce(${column}, '{}') as ${column}` : column;
  }),
);

/** An event as the database gives it: as every API returns it, but for what pg gives in another form. */
type EventRow = Omit<AuditEvent, 'seq' | 'erased_by'> & { seq: string; erased_by: string | null };

/** A row as the event that every API returns. */
function toEvent(row: EventRow): AuditEvent {
  return {
    seq: Number(row.seq),
    timestamp: row.timestamp,
    occurred_at: row.occurred_at,
    action: row.action,
    user_id: row.user_id,
    message: row.message,
    room: row.room,
    session_id: row.session_id,
    target_user_id: row.target_user_id,
    instance: row.instance,
    ip: row.ip,
    erased_by: row.erased_by === null ? null : Number(row.erased_by),
    details: row.details,
  };
}

/** The key that cursors are signed with, the same on every instance. */
export async function readCursorKey(db: Db): Promise<Buffer> {
  const row = await db.selectFrom('audit_log').select('cursor_key').executeTakeFirstOrThrow();
  return row.cursor_key;
}

/** The number that the next event will get. */
export async function readNextSeq(db: Db): Promise<number> {
  const { rows } = await sql<{ next: string | null }>`
    select first_seq + count as next from public.audit_batch order by first_seq desc limit 1`.execute(db);
  return Number(rows[0]?.next ?? 0);
}

const instantSql = (instant: Instant | undefined) => {
  if (instant === undefined) return sql`null::timestamptz`;
  if ('at' in instant) return sql`${instant.at}::timestamptz`;
  // Never before 1970, however many weeks were asked.
  return sql`now - make_interval(secs => least(${instant.secondsAgo}::float8, extract(epoch from now)::float8))`;
};

/** Where the log stands now, with an interval turned into a range of seq. */
export async function readLogState(db: Db, filter: Pick<Filter, 'from' | 'to'> = {}): Promise<LogState> {
  const { rows } = await sql<{
    epoch: string;
    first_seq: string;
    next_seq: string | null;
    from: string | null;
    to: string | null;
    from_seq: string | null;
    to_seq: string | null;
  }>`
    with bounds as (
      select ${instantSql(filter.from)} as from_at, ${instantSql(filter.to)} as to_at
      from (select clock_timestamp() as now) as clock
    )
    select l.epoch, l.first_seq,
      (select b.first_seq + b.count from public.audit_batch b order by b.first_seq desc limit 1) as next_seq,
      ${utc(sql.ref('from_at'))} as "from", ${utc(sql.ref('to_at'))} as "to",
      (select b.first_seq from public.audit_batch b where b.timestamp >= from_at
        order by b.timestamp, b.first_seq limit 1) as from_seq,
      (select b.first_seq from public.audit_batch b where b.timestamp >= to_at
        order by b.timestamp, b.first_seq limit 1) as to_seq
    from public.audit_log l, bounds`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('audit_log is empty');
  const nextSeq = Number(row.next_seq ?? 0);
  return {
    epoch: row.epoch,
    firstSeq: Number(row.first_seq),
    nextSeq,
    ...(row.from === null ? {} : { from: row.from }),
    ...(row.to === null ? {} : { to: row.to }),
    // An interval that starts after the last event is a range that starts after it.
    fromSeq: row.from === null ? undefined : Number(row.from_seq ?? nextSeq),
    toSeq: row.to_seq === null ? undefined : Number(row.to_seq),
  };
}

/**
 * The rows of one page of the events that match, and with each how many were `found`: one more than `limit` where more
 * match. At most `limit` rows, and fewer when they weigh more than `maxBytes`, but never none while some match.
 *
 * The statement holds no parameters, for `COPY` takes none.
 *
 * @param deadline of the whole read, where the page is a part of it
 * @returns undefined when nothing matches
 * @throws CodedError `too_slow`
 */
export async function pageRows(
  db: Db,
  filter: Filter,
  range: SeqRange,
  order: Order,
  limit: number,
  maxBytes: number,
  deadline: Deadline,
) {
  if (!isIndexed(filter)) return rowsOf(db, range, order, limit, maxBytes);
  const seqs = await findSeqs(db, filter, range, order, limit + 1, deadline);
  return rowsOf(db, seqs, order, limit, maxBytes);
}

/** As `pageRows`, of the events that were found, in order, one more than `limit` where there are more; or of all in a range. */
function rowsOf(db: Db, found: readonly number[] | SeqRange, order: Order, limit: number, maxBytes: number) {
  let page = db.selectFrom('audit_event').selectAll().orderBy('seq', order);
  if ('from' in found) {
    const { from, to } = found;
    page = page.where('seq', '>=', sql.lit(`${from}`)).where('seq', '<', sql.lit(`${to}`));
    page = page.limit(sql.lit(limit + 1));
  } else {
    if (found.length === 0) return undefined;
    page = page.where('seq', '=', sql<string>`any(${sql.lit(`{${found}}`)}::bigint[])`);
  }
  const direction = sql.raw(order);
  const weighed = db
    .selectFrom(page.as('page'))
    .selectAll()
    .select([
      sql<string>`sum(${weight}) over (order by seq ${direction}) - ${weight}`.as('bytes_before'),
      sql<string>`count(*) over ()`.as('found'),
    ])
    .as('weighed');
  return (
    db
      .selectFrom(weighed)
      .selectAll()
      // What is too heavy stays in the database; the first event has nothing before it.
      .where('bytes_before', '<', sql.lit(`${maxBytes}`))
      .orderBy('seq', order)
      .limit(sql.lit(limit))
  );
}

/**
 * One page of the events that match, in order. At most `limit` events, and fewer when they are heavy, but
 * never none while some match.
 *
 * @param deadline of the whole read, where the page is a part of it
 * @param maxBytes what the page may weigh, as text
 * @throws CodedError `too_slow`
 */
export async function listEvents(
  db: Db,
  filter: Filter,
  range: SeqRange,
  order: Order,
  limit: number,
  deadline: Deadline = Deadline.of(db),
  maxBytes = MAX_PAGE_BYTES,
): Promise<Page> {
  return readRows(db, await pageRows(db, filter, range, order, limit, maxBytes, deadline), order);
}

async function readRows(db: Db, page: ReturnType<typeof rowsOf>, order: Order): Promise<Page> {
  if (page === undefined) return { events: [], hasMore: false };
  const { rows } = await sql<EventRow & { found: string }>`
    select ${eventColumns}, found from (${page}) page order by seq ${sql.raw(order)}`.execute(db);
  return { events: rows.map(toEvent), hasMore: Number(rows[0]?.found ?? 0) > rows.length };
}

/**
 * The first page of a range, as of `listEvents`, and how many events of the range match, as of `countEvents`: by one search,
 * where there is one.
 *
 * @throws CodedError `too_slow`
 */
export async function listAndCount(
  db: Db,
  filter: Filter,
  range: SeqRange,
  order: Order,
  limit: number,
  deadline: Deadline,
): Promise<{ page: Page; total: Total }> {
  if (!isIndexed(filter)) {
    const page = await listEvents(db, filter, range, order, limit, deadline);
    return { page, total: await countEvents(db, filter, range, deadline) };
  }
  const seqs = await findSeqs(db, filter, range, order, MAX_TOTAL + 1, deadline);
  const rows = rowsOf(db, seqs.slice(0, limit + 1), order, limit, MAX_PAGE_BYTES);
  return { page: await readRows(db, rows, order), total: totalOf(seqs.length) };
}

/**
 * How many events of a range match, up to `MAX_TOTAL`; `exact` is false when there are more.
 *
 * @param deadline of the whole read, where counting is a part of it
 * @throws CodedError `too_slow`
 */
export async function countEvents(
  db: Db,
  filter: Filter,
  range: SeqRange,
  deadline: Deadline = Deadline.of(db),
): Promise<Total> {
  deadline.check();
  const count = isIndexed(filter)
    ? (await findSeqs(db, filter, range, 'desc', MAX_TOTAL + 1, deadline)).length
    : await countRange(db, range, MAX_TOTAL + 1);
  return totalOf(count);
}

const totalOf = (count: number): Total => ({ value: Math.min(count, MAX_TOTAL), exact: count <= MAX_TOTAL });

async function countRange(db: Db, { from, to }: SeqRange, most: number): Promise<number> {
  const { rows } = await sql<{ count: string }>`
    select count(*) from (
      select from public.audit_event where seq >= ${from} and seq < ${to} limit ${most}
    ) counted`.execute(db);
  return Number(rows[0]?.count ?? 0);
}

/** One event, or undefined when there is none of this number, or it is no longer kept. */
export async function getEvent(db: Db, seq: number): Promise<AuditEvent | undefined> {
  const { rows } = await sql<EventRow>`
    select ${eventColumns} from public.audit_event
    where seq = ${seq} and seq >= (select first_seq from public.audit_log)`.execute(db);
  return rows[0] === undefined ? undefined : toEvent(rows[0]);
}

/**
 * Committed events from a seq on, in order, at most `limit` and no more than a page weighs: what the tail reads. `isEnd`
 * tells whether they are all that were committed when it was asked.
 */
export async function eventsFrom(
  db: Db,
  from: number,
  limit: number,
): Promise<{ events: AuditEvent[]; isEnd: boolean }> {
  // Prepared: it runs after every batch of another instance, and to plan it takes longer than to execute it.
  const { rows } = await sql<EventRow & { bytes: string }>`/* tail_read */
    select ${eventColumns}, bytes
    from (
      select *, sum(${weight}) over (order by seq) as bytes
      from (select * from public.audit_event where seq >= ${from} order by seq limit ${limit}) page
    ) weighed
    where bytes - ${weight} < ${sql.lit(MAX_PAGE_BYTES)} order by seq`.execute(db);
  const last = rows.at(-1);
  const isWhole = last === undefined || Number(last.bytes) < MAX_PAGE_BYTES;
  return { events: rows.map(toEvent), isEnd: isWhole && rows.length < limit };
}

/** The messages of a room in a range of seq, oldest first, at most `limit`: what `since` replays. */
export async function roomMessages(db: Db, room: string, range: SeqRange, limit: number): Promise<Page> {
  return listEvents(db, { action: ['MESSAGE_SENT'], room: room }, range, 'asc', limit);
}
