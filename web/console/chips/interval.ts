import type { Clock } from '../../common/time.ts';
import { type Filter, spanMs } from '../filter.ts';

const units = { s: 'second', m: 'minute', h: 'hour', d: 'day', w: 'week' } as const;

function spanWords(span: string): string {
  const count = Number(span.slice(1, -1));
  return `${count} ${units[span.at(-1) as keyof typeof units]}${count === 1 ? '' : 's'}`;
}

/** One end, for reading; what is no time of the API is shown as it is. */
function endWords(text: string, clock: Clock): string {
  if (spanMs(text) !== undefined) return `${spanWords(text)} ago`;
  const ms = Date.parse(text);
  return Number.isNaN(ms) ? text : clock.minute(new Date(ms).toISOString());
}

/** The interval in words: `Last 24 hours`, `2026-11-22 10:30 +01:00 – 2026-11-22 12:00 +01:00`. */
export function intervalWords({ from, to }: Filter, clock: Clock): string {
  if (from === undefined && to === undefined) return 'All time';
  if (from !== undefined && to === undefined) {
    return spanMs(from) === undefined
      ? `Since ${endWords(from, clock)}`
      : `Last ${spanWords(from).replace(/^1 /, '')}`;
  }
  const end = endWords(to ?? '', clock);
  return from === undefined ? `Until ${end}` : `${endWords(from, clock)} – ${end}`;
}

/** A calendar day of a zone, so many days ago, from midnight to midnight; also where clocks change within it. */
export function dayInterval(clock: Clock, nowMs: number, ago: number) {
  const today = clock.input(nowMs).slice(0, 10);
  const midnight = (days: number) => {
    const date = new Date(Date.parse(today) + days * 86_400_000).toISOString().slice(0, 10);
    return clock.iso(new Date(clock.parse(date)).toISOString()).replace(/\.\d+/, '');
  };
  return { from: midnight(-ago), to: midnight(1 - ago) };
}
