import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify';
import { Deadline } from '../../db/deadline.ts';
import {
  countEvents,
  type LogState,
  listAndCount,
  listEvents,
  type Page,
  readLogState,
  type SeqRange,
  type Total,
} from '../../db/events.ts';
import { read } from '../../db/read.ts';
import { type Cursor, checkEpoch, decodeCursor, encodeCursor, filterKey } from '../../src/core/cursor.ts';
import { CodedError } from '../../src/core/errors.ts';
import { checkInterval, type Filter, parseFilter } from '../../src/core/filter.ts';
import type { AuditEvent, AuditPage, AuditQuery } from '../../src/core/schemas.ts';
import { recordRead } from './record-read.ts';

/** Clients and proxies take the headers of an answer up to 4 to 16 KiB; of a longer query, `next_cursor` says as much. */
const MAX_LINK_BYTES = 2_048;

/** What a page is taken from. */
export type PageScope = {
  path: string;
  /** Conditions beside those of the query, which bind its cursors as well: a name that no filter has. */
  binding: Record<string, string>;
  filter: Filter;
};

/** Reads a page as the query asks, records the read, and says where the next page is. */
export async function readPage(
  { audit, database, checkUnread }: FastifyInstance,
  request: FastifyRequest,
  reply: FastifyReply,
  { path, binding, filter: scope }: PageScope,
): Promise<AuditPage> {
  checkUnread(request);
  const {
    limit = 50,
    order = 'desc',
    cursor: given,
    total,
    ...query
  } = request.query as AuditQuery & { order?: 'asc' | 'desc' };
  const filter = { ...parseFilter(query), ...scope };
  const expected = { epoch: audit.epoch, order, filters: filterKey({ ...query, ...binding }) };
  const cursor = given === undefined ? undefined : decodeCursor(audit.cursorKey, given, expected);
  const state = await read(readLogState(database.read, cursor === undefined ? filter : intervalOf(cursor)));
  checkInterval(state.from, state.to);
  if (cursor !== undefined) {
    // Another instance may have begun an epoch that this one has not heard of yet.
    checkEpoch(cursor, state.epoch);
    checkKept(cursor, state);
  }

  const range = rangeOf(order, state, cursor);
  // The page and the count are one read.
  const deadline = Deadline.of(database.read);
  const readBoth = async (): Promise<{ page: Page; total?: Total }> => {
    // The first page is of all that is counted.
    if (total === 'exact' && cursor === undefined)
      return listAndCount(database.read, filter, range, order, limit, deadline);
    const page = await listEvents(database.read, filter, range, order, limit, deadline);
    if (total !== 'exact') return { page };
    return { page, total: await countEvents(database.read, filter, wholeRange(state), deadline) };
  };
  const { page, total: count } = await read(readBoth());
  await recordRead(audit, request, path, query, page.events.length);

  const next = nextCursor({ ...expected, epoch: state.epoch }, state, range, page, cursor);
  const next_cursor = next === null ? null : encodeCursor(audit.cursorKey, next);
  if (page.hasMore && next_cursor !== null) {
    const link = linkTo(request, next_cursor);
    if (link.length <= MAX_LINK_BYTES) reply.header('link', link);
  }
  return {
    data: page.events,
    has_more: page.hasMore,
    next_cursor,
    first_seq: state.firstSeq,
    ...(state.from === undefined ? {} : { from: state.from }),
    ...(state.to === undefined ? {} : { to: state.to }),
    ...(count === undefined ? {} : { total: count }),
  };
}

/** The interval as the first page resolved it. */
function intervalOf({ from, to }: Cursor): Pick<Filter, 'from' | 'to'> {
  return {
    ...(from === undefined ? {} : { from: { at: from } }),
    ...(to === undefined ? {} : { to: { at: to } }),
  };
}

/** Refuses a cursor into what retention has dropped, rather than skipping it silently. */
function checkKept(cursor: Cursor, { firstSeq }: LogState): void {
  const wanted = cursor.order === 'asc' ? cursor.seq + 1 : cursor.seq;
  if (firstSeq > 0 && wanted < firstSeq) {
    throw new CodedError(
      'expired',
      `The log keeps events from seq ${firstSeq} on; the cursor points below.`,
      {
        parameter: 'cursor',
      },
    );
  }
}

/** The interval as a range of seq, as far as it is kept; all that is kept where none was asked. */
export function wholeRange({ firstSeq, nextSeq, fromSeq, toSeq }: LogState): SeqRange {
  const from = Math.max(firstSeq, fromSeq ?? firstSeq);
  return { from, to: Math.max(from, toSeq ?? nextSeq) };
}

/** What is left to be read of the interval. */
function rangeOf(order: 'asc' | 'desc', state: LogState, cursor: Cursor | undefined): SeqRange {
  const whole = wholeRange(state);
  if (cursor === undefined) return whole;
  if (order === 'desc') return { from: whole.from, to: Math.min(whole.to, cursor.seq) };
  // The head that the walk began with, so that its own AUDIT_READs do not keep it going for ever.
  const head = cursor.head === undefined ? whole.to : cursor.head + 1;
  return { from: Math.max(whole.from, cursor.seq + 1), to: Math.min(whole.to, head) };
}

/** Where the next page starts; null after the last one of a walk down. */
function nextCursor(
  { epoch, order, filters }: { epoch: string; order: 'asc' | 'desc'; filters: string },
  { from, to }: LogState,
  range: SeqRange,
  { events, hasMore }: { events: AuditEvent[]; hasMore: boolean },
  cursor: Cursor | undefined,
): Cursor | null {
  const last = events.at(-1);
  const common = { epoch, order, filters, from, to };
  if (order === 'desc') return hasMore && last !== undefined ? { ...common, seq: last.seq } : null;
  if (hasMore && last !== undefined) return { ...common, seq: last.seq, head: cursor?.head ?? range.to - 1 };
  // All of the range was looked at; the next page begins after it and takes the head of its time.
  return { ...common, seq: Math.max(range.from, range.to) - 1 };
}

/** RFC 8288: where the next page is, relative to this server. */
function linkTo(request: FastifyRequest, cursor: string): string {
  const url = new URL(request.url, 'http://localhost');
  url.searchParams.set('cursor', cursor);
  return `<${url.pathname}${url.search}>; rel="next"`;
}
