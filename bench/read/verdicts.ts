import type { Spread } from '../stats.ts';
import type { Verdict } from '../verdict.ts';
import type { Bound } from './cases.ts';
import type { CaseReading, LogReadings } from './results.ts';

/** Milliseconds of p99. */
export const bounds: Record<Bound, { atLeast: number; aim: number }> = {
  fast: { atLeast: 20, aim: 5 },
  bounded: { atLeast: 200, aim: 20 },
};
const MIB = 1024 * 1024;
/** Resident memory of the server, in MiB. */
const EXPORT_MIB = { atLeast: 150, aim: 100 };

type Figure = { value: number; of: string };

/** The p99 of each page, of those asked one at a time. What is answered `too_slow` may be so where there is a bound only. */
function p99s({ name, bound, pages }: CaseReading): Figure[] {
  return pages
    .filter(({ alone }) => bound === 'fast' || alone.tooSlow < alone.latency.count)
    .map(({ place, alone }) => ({ value: alone.latency.p99, of: `${name}, ${place} page` }));
}

function worst(figures: readonly Figure[]): Figure | undefined {
  return figures.reduce<Figure | undefined>(
    (most, figure) => (most === undefined || figure.value > most.value ? figure : most),
    undefined,
  );
}

/** From the best to the worst, which counts. */
function spreadOf(figures: readonly Figure[]): Spread | null {
  const values = figures.map(({ value }) => value);
  if (values.length === 0) return null;
  return { median: Math.max(...values), min: Math.min(...values), max: Math.max(...values) };
}

const count = (events: number): string => events.toLocaleString('en-US');

function latencies({ events, cases }: LogReadings, bound: Bound, what: string): Verdict {
  const figures = cases.filter((one) => one.bound === bound).flatMap(p99s);
  const slowest = worst(figures);
  const which = slowest === undefined ? '' : ` (slowest: ${slowest.of})`;
  return {
    what: `${what}, ${count(events)} events${which}`,
    measured: spreadOf(figures),
    ...bounds[bound],
    more: false,
    unit: 'ms',
  };
}

/** How the p99 of the same page compares in the longest log and in the shortest. */
export function growth(logs: readonly LogReadings[]): Figure[] {
  const [shortest, longest] = [logs[0], logs.at(-1)];
  if (shortest === undefined || longest === undefined || shortest === longest) return [];
  return longest.cases
    .filter(({ bound }) => bound === 'fast')
    .flatMap((one) => {
      const same = shortest.cases.find(({ name }) => name === one.name);
      return one.pages.flatMap(({ place, alone }) => {
        const before = same?.pages.find((page) => page.place === place)?.alone.latency.p99;
        if (before === undefined) return [];
        return [{ value: alone.latency.p99 / before, of: `${one.name}, ${place} page` }];
      });
    });
}

function growthVerdict(logs: readonly LogReadings[]): Verdict[] {
  const [shortest, longest] = [logs[0], logs.at(-1)];
  if (shortest === undefined || longest === undefined || shortest === longest) return [];
  const figures = growth(logs);
  return [
    {
      what: `the fast ones, ${count(longest.events)} events against ${count(shortest.events)} (worst: ${worst(figures)?.of ?? ''})`,
      measured: spreadOf(figures),
      atLeast: 2,
      aim: 1.2,
      more: false,
    },
  ];
}

function wholeVerdicts({ events, stats, exports, size }: LogReadings): Verdict[] {
  const verdicts: Verdict[] = [];
  if (stats !== 'not there' && stats.length > 0) {
    const figures = stats
      .filter(({ reading }) => reading.tooSlow < reading.latency.count)
      .map(({ name, reading }) => ({ value: reading.latency.p99, of: name }));
    verdicts.push({
      what: `GET /audit/stats p99, ${count(events)} events (slowest: ${worst(figures)?.of ?? 'none answered'})`,
      measured: spreadOf(figures),
      ...bounds.bounded,
      more: false,
      unit: 'ms',
    });
  }
  if (exports !== 'not there' && exports.length > 0) {
    verdicts.push({
      what: `resident memory during an export of ${count(events)} events`,
      measured: spreadOf(exports.map(({ format, peak }) => ({ value: peak / MIB, of: format }))),
      ...EXPORT_MIB,
      more: false,
      unit: 'MiB',
    });
  }
  if (size !== null) {
    const ratio = size.log.total / size.seed.asMany.total;
    verdicts.push({
      what: `bytes on disk per event against four columns with as many indexes, ${count(events)} events`,
      measured: { median: ratio, min: ratio, max: ratio },
      atLeast: 1.5,
      aim: 1.2,
      more: false,
    });
  }
  return verdicts;
}

/** Holds what was measured against the bounds. */
export function judgeReads(logs: readonly LogReadings[]): Verdict[] {
  return [
    ...logs.flatMap((log) =>
      log.cases.length === 0
        ? []
        : [
            latencies(log, 'fast', 'GET /audit p99: one filter, or two of action, user, room and time'),
            latencies(log, 'bounded', 'GET /audit p99: other pairs, involves, q, total, unless too_slow'),
          ],
    ),
    ...growthVerdict(logs),
    ...logs.flatMap(wholeVerdicts),
  ];
}
