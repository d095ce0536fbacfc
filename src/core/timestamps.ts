/**
 * Instants as text. The log's times have microseconds, which a JavaScript Date cannot hold, so they travel
 * as `YYYY-MM-DDTHH:MM:SS.ffffffZ` from the database to the wire. In this one form, text order is time order.
 */

// RFC 3339 5.6 date-time, with at most six decimals.
const DATE_TIME =
  /^(\d{4})-(\d\d)-(\d\d)[Tt](\d\d):(\d\d):(\d\d)(?:\.(\d{1,6}))?(?:[Zz]|([+-])(\d\d):(\d\d))$/;
const SPAN = /^-(\d{1,6})([smhdw])$/;
const SECONDS = { s: 1, m: 60, h: 3_600, d: 86_400, w: 604_800 } as const;
// The years that both Postgres and the four-digit form hold without surprise.
const MIN_YEAR = 1970;
const MAX_YEAR = 9999;

/** A bound of an interval: a point in time, or so many seconds before the database's now. */
export type Instant = { at: string } | { secondsAgo: number };

/** Milliseconds since 1970 (an instance's own clock) in the form of the log, the last three digits being zero. */
export function formatMilliseconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, -1)}000Z`;
}

/** An RFC 3339 date-time with an offset as the same instant in UTC, or undefined when it is none. */
export function parseDateTime(text: string): string | undefined {
  const match = DATE_TIME.exec(text);
  if (match === null) return undefined;
  const [
    ,
    year,
    month,
    day,
    hour,
    minute,
    second,
    fraction = '',
    sign,
    offsetHour = '0',
    offsetMinute = '0',
  ] = match;
  // Leap seconds (:60) are refused: neither Postgres nor JavaScript can tell them from the next minute.
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 59) return undefined;
  if (Number(offsetHour) > 23 || Number(offsetMinute) > 59) return undefined;
  const local = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
  );
  const back = new Date(local);
  // Date.UTC carries 31 February over into March; such a date does not exist.
  if (back.getUTCMonth() !== Number(month) - 1 || back.getUTCDate() !== Number(day)) return undefined;
  const offset = (sign === '-' ? -1 : 1) * (Number(offsetHour) * 60 + Number(offsetMinute)) * 60_000;
  const utc = new Date(local - offset);
  if (utc.getUTCFullYear() < MIN_YEAR || utc.getUTCFullYear() > MAX_YEAR || Number(year) < MIN_YEAR) {
    return undefined;
  }
  return `${utc.toISOString().slice(0, 19)}.${fraction.padEnd(6, '0')}Z`;
}

/** Reads `from` or `to`; undefined when the text is neither an RFC 3339 date-time nor a span. */
export function parseInstant(text: string): Instant | undefined {
  const span = SPAN.exec(text);
  if (span !== null) {
    return { secondsAgo: Number(span[1]) * SECONDS[span[2] as keyof typeof SECONDS] };
  }
  const at = parseDateTime(text);
  return at === undefined ? undefined : { at };
}
