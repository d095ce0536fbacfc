import { residentBytesOf } from '../machine.ts';
import { users } from '../seed/cast.ts';
import type { Query } from './cases.ts';
import type { LogFacts } from './facts.ts';
import { type Effort, measure, type Reading } from './measure.ts';
import { pathOf } from './pages.ts';
import type { Reader } from './reader.ts';

/** Statistics that are asked for, by what stands in the table. */
export function statsOf({ times }: Pick<LogFacts, 'times'>): [name: string, query: Query][] {
  const groups: Query[] = [
    { group_by: 'time', buckets: '100' },
    ...['action', 'user_id', 'room'].map((name) => ({ group_by: name })),
  ];
  const filters: [string, Query][] = [
    ['no filter', {}],
    ['a busy user', { user_id: [users.third] }],
    ['a rare user', { user_id: [users.rare] }],
    ['messages in a third of the time', { action: ['MESSAGE_SENT'], ...times.common }],
  ];
  return groups.flatMap((group) =>
    filters.map(([name, filter]): [string, Query] => [`${group.group_by}, ${name}`, { ...group, ...filter }]),
  );
}

export type StatsReading = { name: string; reading: Reading };

export async function measureStats(reader: Reader, facts: LogFacts, effort: Effort): Promise<StatsReading[]> {
  const readings: StatsReading[] = [];
  for (const [name, query] of statsOf(facts)) {
    readings.push({ name, reading: await measure([reader], pathOf('/audit/stats', query), effort) });
  }
  return readings;
}

export const exportFormats = ['ndjson', 'csv'] as const;
export type ExportFormat = (typeof exportFormats)[number];

export type ExportReading = {
  format: ExportFormat;
  /** Events; null where a line may be less than one. */
  rows: number | null;
  bytes: number;
  seconds: number;
  /** Resident memory of the server, in bytes. */
  before: number;
  peak: number;
};

const SAMPLE_MS = 50;
const NEWLINE = 10;
/** The last line is shorter, in bytes. */
const MOST_OF_END = 4_096;

function countLines(chunk: Buffer): number {
  let lines = 0;
  for (let at = chunk.indexOf(NEWLINE); at !== -1; at = chunk.indexOf(NEWLINE, at + 1)) lines += 1;
  return lines;
}

/** What came of an export. */
type Received = { lines: number; bytes: number; end: string };

async function receive(reader: Reader, format: ExportFormat): Promise<Received> {
  const response = await reader.send(pathOf('/audit/export', { format }));
  if (response.statusCode !== 200) throw new Error(`The export answered ${response.statusCode}.`);
  let lines = 0;
  let bytes = 0;
  let last: Buffer = Buffer.alloc(0);
  for await (const chunk of response as AsyncIterable<Buffer>) {
    lines += countLines(chunk);
    bytes += chunk.length;
    last = Buffer.concat([last, chunk]).subarray(-MOST_OF_END);
  }
  return { lines, bytes, end: last.toString().trimEnd().split('\n').at(-1) ?? '' };
}

/** The events of an export that is whole. @throws Error when it is not */
function rowsOf(format: ExportFormat, { lines, end }: Received): number | null {
  if (format === 'csv') {
    if (!end.includes('#end')) throw new Error(`The export is cut: it ends with ${end}`);
    return null;
  }
  const { count } = JSON.parse(end) as { count?: number };
  if (count !== lines - 1) throw new Error(`The export ends with ${end}, but ${lines - 1} events came.`);
  return count;
}

/** Exports everything, and watches the server's memory meanwhile. @throws Error when the export is not whole */
export async function measureExport(
  reader: Reader,
  pid: number,
  format: ExportFormat,
): Promise<ExportReading> {
  const before = residentBytesOf(pid);
  let peak = before;
  const timer = setInterval(() => {
    peak = Math.max(peak, residentBytesOf(pid));
  }, SAMPLE_MS);
  const startedAt = performance.now();
  try {
    const received = await receive(reader, format);
    const seconds = (performance.now() - startedAt) / 1_000;
    return { format, rows: rowsOf(format, received), bytes: received.bytes, seconds, before, peak };
  } finally {
    clearInterval(timer);
  }
}
