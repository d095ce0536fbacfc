/**
 * The log's times for people. They come as RFC 3339 in UTC with six decimals, more than a Date holds; so the decimals
 * are carried over as text, and only the rest is worked out.
 */

/** Whose clock times are shown by. */
export type Zone = 'local' | 'utc';

/** The IANA name of a zone, here and now. */
export const timeZoneOf = (zone: Zone): string =>
  zone === 'utc' ? 'UTC' : new Intl.DateTimeFormat().resolvedOptions().timeZone;

/** A time as a clock and a calendar on the wall show it. */
export type WallTime = {
  /** YYYY-MM-DD */
  date: string;
  /** HH:MM:SS */
  time: string;
  /** Six digits. */
  fraction: string;
  /** `Z`, or such as `+01:00`. */
  offset: string;
};

const MINUTE_MS = 60_000;
const DAY_MS = 86_400_000;
const LOG_TIME = /^(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)(?:\.(\d{1,6}))?Z$/;

const pad = (value: number): string => String(value).padStart(2, '0');

function offsetText(minutes: number): string {
  const size = Math.abs(minutes);
  return `${minutes < 0 ? '-' : '+'}${pad(Math.floor(size / 60))}:${pad(size % 60)}`;
}

/** What clocks show in one time zone. Make one and keep it: it costs more than its use. */
export class Clock {
  readonly timeZone: string;
  readonly #wall: Intl.DateTimeFormat;
  readonly #weekday: Intl.DateTimeFormat;
  readonly #day: Intl.DateTimeFormat;

  /** @param timeZone an IANA name */
  constructor(timeZone: string) {
    this.timeZone = timeZone;
    this.#wall = new Intl.DateTimeFormat('en-GB', {
      timeZone,
      calendar: 'gregory',
      numberingSystem: 'latn',
      hourCycle: 'h23',
      year: 'numeric',
      month: '2-digit',
      day: '2-digit',
      hour: '2-digit',
      minute: '2-digit',
      second: '2-digit',
    });
    this.#weekday = new Intl.DateTimeFormat('en-GB', { timeZone, weekday: 'long' });
    this.#day = new Intl.DateTimeFormat('en-GB', {
      timeZone,
      day: 'numeric',
      month: 'long',
      year: 'numeric',
    });
  }

  /** `YYYY-MM-DD HH:MM:SS` of a point in time. */
  #wallText(ms: number): string {
    const part = Object.fromEntries(this.#wall.formatToParts(ms).map(({ type, value }) => [type, value]));
    return `${part.year}-${part.month}-${part.day} ${part.hour}:${part.minute}:${part.second}`;
  }

  /** Minutes that clocks here are ahead of UTC at a point in time, in milliseconds since 1970. */
  offsetAt(ms: number): number {
    const second = Math.floor(ms / 1_000) * 1_000;
    return Math.round((Date.parse(`${this.#wallText(second).replace(' ', 'T')}Z`) - second) / MINUTE_MS);
  }

  /** Reads a time of the log. @throws RangeError when it is none */
  read(text: string): WallTime {
    const match = LOG_TIME.exec(text);
    if (match === null) throw new RangeError(`“${text}” is no time of the log`);
    const [, second = '', fraction = ''] = match;
    const ms = Date.parse(`${second}Z`);
    const [date = '', time = ''] = this.#wallText(ms).split(' ');
    const offset = this.timeZone === 'UTC' ? 'Z' : offsetText(this.offsetAt(ms));
    return { date, time, fraction: fraction.padEnd(6, '0'), offset };
  }

  /** RFC 3339 with the offset of this zone: the same point in time, with all its microseconds. */
  iso(text: string): string {
    const { date, time, fraction, offset } = this.read(text);
    return `${date}T${time}.${fraction}${offset}`;
  }

  /** For reading: `2026-11-22 10:30:00.123456 +01:00`, or with `UTC` at the end. */
  full(text: string): string {
    const { date, time, fraction, offset } = this.read(text);
    return `${date} ${time}.${fraction} ${offset === 'Z' ? 'UTC' : offset}`;
  }

  /** To the minute, for what people decide: `2026-11-22 10:30 +01:00`. */
  minute(text: string): string {
    const { date, time, offset } = this.read(text);
    return `${date} ${time.slice(0, 5)} ${offset === 'Z' ? 'UTC' : offset}`;
  }

  /** The day of a time of the log: `Today`, `Yesterday`, or with its date. */
  day(text: string, nowMs: number): string {
    const { date } = this.read(text);
    const today = this.#wallText(nowMs).slice(0, 10);
    // Calendar days, whatever their hours are.
    const ago = (Date.parse(today) - Date.parse(date)) / DAY_MS;
    if (ago === 0) return 'Today';
    if (ago === 1) return 'Yesterday';
    const at = Date.parse(text);
    return `${this.#weekday.format(at)} ${this.#day.format(at)}`;
  }

  /**
   * The point in time, in milliseconds since 1970, at which clocks here show `YYYY-MM-DDTHH:MM` (as an input of type
   * datetime-local has it) or the start of `YYYY-MM-DD`. Where clocks are put back, the first of the two; where they are
   * put forward over it, as long after the change. NaN when the text is none.
   */
  parse(wall: string): number {
    const asUtc = Date.parse(wall.includes('T') ? `${wall}Z` : `${wall}T00:00Z`);
    if (Number.isNaN(asUtc)) return Number.NaN;
    // The offset is one of those a day before and after: no zone changes twice within two days.
    const [before, after] = [this.offsetAt(asUtc - DAY_MS), this.offsetAt(asUtc + DAY_MS)];
    const early = asUtc - before * MINUTE_MS;
    if (this.offsetAt(early) === before) return early;
    const late = asUtc - after * MINUTE_MS;
    return this.offsetAt(late) === after ? late : early;
  }

  /** What an input of type datetime-local shows for a point in time. */
  input(ms: number): string {
    return this.#wallText(ms).slice(0, 16).replace(' ', 'T');
  }
}

const relative = new Intl.RelativeTimeFormat('en', { numeric: 'always' });
const STEPS = [
  ['day', 86_400],
  ['hour', 3_600],
  ['minute', 60],
  ['second', 1],
] as const;

/** How long ago, or how far ahead, in words: `3 minutes ago`, `in 2 days`, `just now`. */
export function relativeWords(text: string, nowMs: number): string {
  const seconds = Math.trunc((Date.parse(text) - nowMs) / 1_000);
  const step = STEPS.find(([, size]) => Math.abs(seconds) >= size);
  if (step === undefined) return 'just now';
  const [unit, size] = step;
  return relative.format(Math.trunc(seconds / size), unit);
}
