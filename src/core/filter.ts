import { canonicalAddress } from './address.ts';
import { CodedError } from './errors.ts';
import type { AuditQuery } from './schemas.ts';
import { isName, isStorable, MAX_NAME_BYTES } from './text.ts';
import { type Instant, parseInstant } from './timestamps.ts';

/** A filter whose every value was checked. Values of one name OR, different names AND; absent: no condition. */
export type Filter = {
  action?: string[];
  user_id?: string[];
  target_user_id?: string;
  involves?: string;
  room?: string;
  session_id?: string;
  ip?: string;
  /** What the message must contain, whatever the case; not empty. */
  q?: string;
  from?: Instant;
  to?: Instant;
};

type FilterQuery = Omit<AuditQuery, 'limit' | 'order' | 'cursor' | 'total'>;

const invalid = (parameter: string, message: string): never => {
  throw new CodedError('invalid_parameter', message, { parameter });
};

function checkName(parameter: string, value: string): string {
  if (!isName(value)) {
    invalid(
      parameter,
      `“${parameter}” must be 1-${MAX_NAME_BYTES} bytes of UTF-8 without control characters.`,
    );
  }
  return value;
}

function checkInstant(parameter: string, text: string): Instant {
  const instant = parseInstant(text);
  if (instant !== undefined) return instant;
  const hint = /T[\d:.]+ \d\d:\d\d$/i.test(text) ? ' A + must be sent as %2B.' : '';
  return invalid(
    parameter,
    `“${parameter}” must be an RFC 3339 date-time with an offset and at most six decimals, between the years ` +
      `1970 and 9999, or a span such as -15m (s, m, h, d, w).${hint}`,
  );
}

/** Refuses an interval that ends where it starts or before. */
export function checkInterval(from: string | undefined, to: string | undefined): void {
  if (from !== undefined && to !== undefined && from >= to) {
    invalid('from', '“from” must be before “to”; “from” is inclusive, “to” is not.');
  }
}

/**
 * Turns the filters of a query, already checked against its schema, into a Filter.
 *
 * @throws CodedError `invalid_parameter`, naming the parameter
 */
export function parseFilter(query: FilterQuery): Filter {
  const filter: Filter = {};
  if (query.action !== undefined) filter.action = [...new Set(query.action as string[])];
  if (query.user_id !== undefined) {
    filter.user_id = [...new Set((query.user_id as string[]).map((value) => checkName('user_id', value)))];
  }
  if (query.target_user_id !== undefined) {
    filter.target_user_id = checkName('target_user_id', query.target_user_id);
  }
  if (query.involves !== undefined) filter.involves = checkName('involves', query.involves);
  if (query.room !== undefined) filter.room = checkName('room', query.room);
  if (query.session_id !== undefined) filter.session_id = query.session_id.toLowerCase();
  if (query.ip !== undefined) {
    filter.ip = canonicalAddress(query.ip) ?? invalid('ip', '“ip” must be an IPv4 or IPv6 address.');
  }
  if (query.q !== undefined) {
    if (!isStorable(query.q)) invalid('q', '“q” holds NUL or a lone surrogate, which no message does.');
    filter.q = query.q;
  }
  if (query.from !== undefined) filter.from = checkInstant('from', query.from);
  if (query.to !== undefined) filter.to = checkInstant('to', query.to);
  const { from, to } = filter;
  if (from !== undefined && to !== undefined) {
    if ('at' in from && 'at' in to) checkInterval(from.at, to.at);
    if ('secondsAgo' in from && 'secondsAgo' in to && from.secondsAgo <= to.secondsAgo)
      checkInterval('1', '0');
  }
  return filter;
}
