import { digits, table } from '../table.ts';
import { verdictTable } from '../verdict.ts';
import type { Case, Place } from './cases.ts';
import type { Reading } from './measure.ts';
import type { CaseReading, LogReadings, ReadResults } from './results.ts';
import type { Sizes } from './size.ts';
import { bounds, growth } from './verdicts.ts';

const MIB = 1024 * 1024;
const places: readonly Place[] = ['first', 'middle', 'end'];
const count = (value: number): string => value.toLocaleString('en-US');

/** In short: 100k, 1M. */
const short = (events: number): string =>
  events % 1_000_000 === 0
    ? `${events / 1_000_000}M`
    : events % 1_000 === 0
      ? `${events / 1_000}k`
      : `${events}`;

function times({ latency, tooSlow }: Reading): string {
  const both = `${digits(latency.p50)} / ${digits(latency.p99)}`;
  return tooSlow === 0 ? both : `${both}, ${tooSlow} of ${latency.count} too_slow`;
}

const at = ({ pages }: CaseReading, place: Place) => pages.find((page) => page.place === place);

/** The slowest page by several at a time. */
const together = ({ pages }: CaseReading): string =>
  digits(Math.max(...pages.map((page) => page.together.latency.p99)));

/** How one question stands to its bound in every log: too_slow is an answer where one may be given. */
function standing(readings: readonly CaseReading[]): string {
  const { bound } = readings[0] ?? { bound: 'bounded' };
  const { atLeast, aim } = bounds[bound];
  const pages = readings.flatMap((reading) => reading.pages.map(({ alone }) => alone));
  const late = pages.filter(
    ({ latency, tooSlow }) => latency.p99 > atLeast && (bound === 'fast' || tooSlow < latency.count),
  );
  if (late.length > 0 || (bound === 'fast' && pages.some(({ tooSlow }) => tooSlow > 0))) return 'NOT MET';
  return pages.every(({ latency }) => latency.p99 <= aim) ? 'aim reached' : 'met';
}

function caseTable(logs: readonly LogReadings[], part: Case['part']): string {
  const ratios = new Map(growth(logs).map(({ of, value }) => [of, value]));
  const head = ['asked', 'events on the first page'];
  for (const { events } of logs) {
    for (const place of places) head.push(`${short(events)}, ${place}`);
    head.push(`${short(events)}, four at a time`);
  }
  head.push('longest against shortest', '');
  const names = [
    ...new Set(logs.flatMap(({ cases }) => cases.filter((one) => one.part === part).map(({ name }) => name))),
  ];
  const rows = names.map((name) => {
    const readings = logs.flatMap(({ cases }) => cases.filter((one) => one.name === name));
    const cells = logs.flatMap(({ cases }) => {
      const one = cases.find((each) => each.name === name);
      if (one === undefined) return ['', '', '', ''];
      const pages = places.map((place) => at(one, place)?.alone);
      return [...pages.map((page) => (page === undefined ? '' : times(page))), together(one)];
    });
    const worst = Math.max(...places.map((place) => ratios.get(`${name}, ${place} page`) ?? 0));
    const found = at(readings.at(-1) as CaseReading, 'first')?.alone.rows ?? 0;
    return [name, String(found), ...cells, worst > 0 ? digits(worst) : '', standing(readings)];
  });
  return table(head, rows);
}

function statsTable(logs: readonly LogReadings[]): string {
  const rows = logs.flatMap(({ events, stats }) =>
    stats === 'not there'
      ? [[short(events), 'not there', '', '', '']]
      : stats.map(({ name, reading }) => [
          short(events),
          name,
          String(reading.rows),
          digits(reading.latency.p50),
          `${digits(reading.latency.p99)}${reading.tooSlow > 0 ? `, ${reading.tooSlow} too_slow` : ''}`,
        ]),
  );
  return table(['log', 'asked', 'rows', 'p50 ms', 'p99 ms'], rows);
}

function exportTable(logs: readonly LogReadings[]): string {
  const rows = logs.flatMap(({ events, exports }) =>
    exports === 'not there'
      ? [[short(events), 'not there', '', '', '', '', '']]
      : exports.map(({ format, rows: found, bytes, seconds, before, peak }) => [
          short(events),
          format,
          found === null ? '' : count(found),
          digits(bytes / MIB),
          digits(seconds),
          digits(before / MIB),
          digits(peak / MIB),
        ]),
  );
  return table(['log', 'format', 'events', 'MiB', 's', 'memory before, MiB', 'at most, MiB'], rows);
}

function sizeTable(logs: readonly LogReadings[]): string {
  const parts = [
    'heap',
    'primary key',
    'other indexes of the table',
    'toast',
    'index in blocks',
    'batches and the rest',
  ];
  const row = (log: string, what: string, sizes: Sizes, against: number | null): string[] => [
    log,
    what,
    ...parts.map((part) => digits(sizes.parts.find(([name]) => name === part)?.[1] ?? 0)),
    digits(sizes.total),
    against === null ? '' : digits(against / sizes.total),
  ];
  const rows = logs.flatMap(({ events, size }) =>
    size === null
      ? []
      : [
          row(short(events), 'the log', size.log, null),
          row(short(events), 'four columns, an index on each but the message', size.seed.own, size.log.total),
          row(short(events), 'four columns, as many indexes', size.seed.asMany, size.log.total),
        ],
  );
  return table(['log', 'bytes per event', ...parts, 'in all', 'the log against it'], rows);
}

function conditions({ machine, postgres, fsync, load, options }: ReadResults): string {
  const disk = ({ p50, p99 }: { p50: number; p99: number }): string =>
    `p50 ${digits(p50)} ms, p99 ${digits(p99)} ms`;
  return [
    `- ${machine.at}, commit ${machine.git}`,
    `- ${machine.cpu}, ${machine.cpus} cores, ${machine.memoryGiB} GiB, ${machine.system}`,
    `- Node ${machine.node}, fastify ${machine.fastify}, pg ${machine.pg}, Postgres ${postgres}`,
    `- fdatasync of 8 KiB: before ${disk(fsync.before)}; after ${disk(fsync.after)}`,
    `- load average: before ${load.before.toFixed(2)}, after ${load.after.toFixed(2)}`,
    `- ${options.requests} requests of each kind to each log, or as many as go into ${options.seconds} s, all logs by turns; every cell is p50 / p99 in ms`,
  ].join('\n');
}

const titles: readonly [Case['part'], string][] = [
  ['traps', 'Traps'],
  ['filters', 'One filter'],
  ['pairs', 'Two filters'],
  ['total', 'With total=exact'],
];

/** The whole result as Markdown that can be read as it is. */
export function describeReads(results: ReadResults): string {
  const { logs, verdicts, options } = results;
  const sections: [title: string, text: string][] = [
    ['Against the bounds', verdictTable(verdicts)],
    ['Measured with', conditions(results)],
  ];
  for (const [part, title] of titles) {
    if (logs.some(({ cases }) => cases.some((one) => one.part === part)))
      sections.push([title, caseTable(logs, part)]);
  }
  if (options.parts.includes('stats')) sections.push(['Statistics', statsTable(logs)]);
  if (options.parts.includes('export')) sections.push(['Export of everything', exportTable(logs)]);
  if (options.parts.includes('size')) sections.push(['Bytes on disk', sizeTable(logs)]);
  return sections.map(([title, text]) => `### ${title}\n\n${text}`).join('\n\n');
}
