import { arms } from './arms.ts';
import type { Slice } from './load/orders.ts';
import type { FanoutSeries } from './parts/fanout.ts';
import type { OpenSeries } from './parts/open.ts';
import type { WriteSeries } from './parts/write.ts';
import { type Spread, spread } from './stats.ts';
import { digits, table } from './table.ts';

export const rateOf = ({ messages, seconds }: Slice): number => messages / seconds;

/** The median, and how far the rounds lie apart. */
export const withRange = (values: Spread | null): string =>
  values === null || values.min === values.max
    ? middle(values)
    : `${digits(values.median)} (${digits(values.min)}..${digits(values.max)})`;
export const middle = (values: Spread | null): string => (values === null ? '-' : digits(values.median));

/** Microseconds of CPU for each message: of the server, of Postgres, of both. */
export function cpuPerMessage({ used, messages }: Slice): {
  server: number;
  postgres: number | null;
  both: number | null;
} {
  const server = used.server / messages;
  const postgres = used.postgres === null ? null : used.postgres / messages;
  return { server, postgres, both: postgres === null ? null : server + postgres };
}

/** How much of one core. */
const share = (part: number, { seconds }: Slice): number => (100 * part) / (seconds * 1_000_000);

/** What other programs used meanwhile, in percent of one core. */
function othersShare(slice: Slice): number | null {
  const { machine, server, postgres, generator } = slice.used;
  return postgres === null ? null : share(machine - server - postgres - generator, slice);
}

const over = (slices: readonly Slice[], figure: (slice: Slice) => number | null): Spread | null =>
  spread(slices.map(figure));

const commonHead = [
  'p50 ms',
  'p99 ms',
  'max ms',
  'CPU µs: server',
  'Postgres',
  'both',
  'generator %',
  'others %',
];
const commonCells = (slices: readonly Slice[]): string[] => [
  withRange(over(slices, ({ latency }) => latency.p50)),
  withRange(over(slices, ({ latency }) => latency.p99)),
  middle(over(slices, ({ latency }) => latency.max)),
  middle(over(slices, (slice) => cpuPerMessage(slice).server)),
  middle(over(slices, (slice) => cpuPerMessage(slice).postgres)),
  withRange(over(slices, (slice) => cpuPerMessage(slice).both)),
  middle(over(slices, (slice) => share(slice.used.generator, slice))),
  middle(over(slices, othersShare)),
];

export function writeTable(all: readonly WriteSeries[]): string {
  const rows = all.map(({ arm, connections, slices }) => [
    arms[arm],
    String(connections),
    withRange(over(slices, rateOf)),
    ...commonCells(slices),
  ]);
  return table(['arm', 'connections', 'messages/s', ...commonHead], rows);
}

export function openTable(all: readonly OpenSeries[]): string {
  const rows = all.map(({ arm, rate, slices }) => [
    arms[arm],
    digits(rate),
    withRange(over(slices, rateOf)),
    middle(spread(slices.map(({ unanswered }) => unanswered))),
    middle(spread(slices.map(({ late }) => late.p99))),
    ...commonCells(slices),
  ]);
  return table(['arm', 'due/s', 'answered/s', 'unanswered', 'sent late, p99 ms', ...commonHead], rows);
}

export function fanoutTable(all: readonly FanoutSeries[]): string {
  const rows = all.map(({ arm, members, slices }) => [
    arms[arm],
    digits(members),
    withRange(over(slices, rateOf)),
    ...commonCells(slices),
  ]);
  return table(['arm', 'members', 'deliveries/s', ...commonHead], rows);
}
