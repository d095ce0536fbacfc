import type { Clock } from '../../common/time.ts';

/** The most bars that are drawn. */
export const MAX_BARS = 120;

/** Events over time, in equal parts. */
export type Histogram = {
  /** The start of the first part, in milliseconds since 1970. */
  startMs: number;
  /** How long each part is. */
  widthMs: number;
  /** How many events in each part. */
  counts: readonly number[];
  /** How many of these were refusals. */
  refused: readonly number[];
  /** False: counting stopped, and what is oldest is missing. */
  isComplete: boolean;
};

/** What was asked and did not happen. */
export const isRefusal = (action: string): boolean =>
  action.endsWith('_REFUSED') || action === 'ACCESS_DENIED';

type TimeStats = {
  data: readonly { start: string; count: number }[];
  complete: boolean;
  from?: string;
  to?: string;
};

/** @returns undefined when there is nothing to draw: no time at all passes between the first and the last */
export function histogramOf(stats: TimeStats): Histogram | undefined {
  const { data, complete, from, to } = stats;
  if (from === undefined || to === undefined || data.length === 0) return undefined;
  const startMs = Date.parse(from);
  const widthMs = (Date.parse(to) - startMs) / data.length;
  if (widthMs <= 0) return undefined;
  const counts = data.map(({ count }) => count);
  return { startMs, widthMs, counts, refused: counts.map(() => 0), isComplete: complete };
}

export const endMs = ({ startMs, widthMs, counts }: Histogram): number => startMs + widthMs * counts.length;

export const totalOf = ({ counts }: Histogram): number => counts.reduce((sum, count) => sum + count, 0);

/** Two parts each become one. */
function halved(values: readonly number[]): number[] {
  const half: number[] = [];
  for (let index = 0; index < values.length; index += 2) {
    half.push((values[index] ?? 0) + (values[index + 1] ?? 0));
  }
  return half;
}

/** Counts events that came since; where the interval must grow for them, parts are added, or made twice as long. */
export function countOn(
  histogram: Histogram,
  events: readonly { timestamp: string; action: string }[],
): Histogram {
  let { widthMs } = histogram;
  let counts = [...histogram.counts];
  let refused = [...histogram.refused];
  for (const { timestamp, action } of events) {
    const since = Math.max(0, Date.parse(timestamp) - histogram.startMs);
    while (Math.floor(since / widthMs) >= MAX_BARS) {
      counts = halved(counts);
      refused = halved(refused);
      widthMs *= 2;
    }
    const index = Math.floor(since / widthMs);
    while (counts.length <= index) {
      counts.push(0);
      refused.push(0);
    }
    counts[index] = (counts[index] ?? 0) + 1;
    if (isRefusal(action)) refused[index] = (refused[index] ?? 0) + 1;
  }
  return { ...histogram, widthMs, counts, refused };
}

/** The interval of some parts, both included, as `from` and `to` of the API: whole milliseconds that hold them. */
export function intervalOf({ startMs, widthMs }: Histogram, first: number, last: number) {
  const [low, high] = first < last ? [first, last] : [last, first];
  return {
    from: new Date(Math.floor(startMs + widthMs * low)).toISOString(),
    to: new Date(Math.ceil(startMs + widthMs * (high + 1))).toISOString(),
  };
}

/** The interval before (-1) or after (1) one, as long as it. */
export function shifted(startMs: number, endMs: number, by: -1 | 1) {
  const start = Math.floor(startMs);
  const end = Math.ceil(endMs);
  const move = by * (end - start);
  return { from: new Date(start + move).toISOString(), to: new Date(end + move).toISOString() };
}

const SECOND = 1_000;
const HOUR = 3_600 * SECOND;
const DAY = 24 * HOUR;
const STEPS = [
  ...[1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1_800].map((seconds) => seconds * SECOND),
  ...[1, 2, 3, 6, 12].map((hours) => hours * HOUR),
  ...[1, 2, 7, 14, 28, 91, 182, 365].map((days) => days * DAY),
];

export type Tick = { ms: number; label: string };

/** Round times on the clock of a zone, at most so many, for the axis. */
export function ticksOf(histogram: Histogram, clock: Clock, most: number): Tick[] {
  const { startMs } = histogram;
  const end = endMs(histogram);
  const step = STEPS.find((one) => (end - startMs) / one <= most) ?? (end - startMs) / most;
  const ticks: Tick[] = [];
  // Round on the wall: the offset of the zone is worked in, and out again at each tick, for it may change between.
  const wall = (ms: number) => ms + clock.offsetAt(ms) * 60_000;
  for (let at = Math.ceil(wall(startMs) / step) * step; ; at += step) {
    const guess = at - clock.offsetAt(startMs) * 60_000;
    const ms = at - clock.offsetAt(guess) * 60_000;
    if (ms > end) return ticks;
    const { date, time } = clock.read(new Date(ms).toISOString());
    const isDay = time === '00:00:00';
    ticks.push({ ms, label: isDay ? date.slice(5) : step < 60_000 ? time : time.slice(0, 5) });
  }
}
