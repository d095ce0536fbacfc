import type { Clock } from '../../common/time.ts';

const HOUR_MS = 3_600_000;
const DAY_MS = 24 * HOUR_MS;

/** When bans end, as they are offered; `date`: at a time of one's own. */
export const banEnds = {
  '1h': { words: 'in an hour', ms: HOUR_MS },
  '1d': { words: 'in a day', ms: DAY_MS },
  '7d': { words: 'in a week', ms: 7 * DAY_MS },
  '30d': { words: 'in 30 days', ms: 30 * DAY_MS },
  date: { words: 'at a time of your own' },
  lifted: { words: 'when it is lifted' },
} as const satisfies Record<string, { words: string; ms?: number }>;

export type BanEndChoice = keyof typeof banEnds;
/** `until` as the API takes it, undefined: when it is lifted; or what is wrong. */
export type BanEnd = { until: string | undefined } | { fault: string };

/**
 * The end of a ban.
 *
 * @param wall with `date`: what an input of type datetime-local holds, by that clock
 */
export function banEnd(choice: BanEndChoice, wall: string, clock: Clock, nowMs: number): BanEnd {
  if (choice === 'lifted') return { until: undefined };
  if (choice !== 'date') return { until: new Date(nowMs + banEnds[choice].ms).toISOString() };
  const at = clock.parse(wall);
  if (Number.isNaN(at)) return { fault: 'Say when the ban ends.' };
  if (at <= nowMs) return { fault: 'The end of a ban must be in the future.' };
  return { until: new Date(at).toISOString() };
}
