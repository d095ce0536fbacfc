import type { Slice } from './load/orders.ts';
import { type Spread, spread } from './stats.ts';
import { digits } from './table.ts';

export const rateOf = ({ messages, seconds }: Slice): number => messages / seconds;

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

/** In percent of one core. */
const share = (us: number, { seconds }: Slice): number => (100 * us) / (seconds * 1_000_000);

export const generatorShare = (slice: Slice): number => share(slice.used.generator, slice);

/** What other programs on the machine used meanwhile, in percent of one core. */
export function othersShare(slice: Slice): number | null {
  const { machine, server, postgres, generator } = slice.used;
  return postgres === null ? null : share(machine - server - postgres - generator, slice);
}

/** One figure over the rounds. */
export const over = <S extends Slice>(
  slices: readonly S[],
  figure: (slice: S) => number | null,
): Spread | null => spread(slices.map(figure));

export const middle = (values: Spread | null): string => (values === null ? '-' : digits(values.median));

/** The median, and how far the rounds lie apart. */
export const withRange = (values: Spread | null): string =>
  values === null || values.min === values.max
    ? middle(values)
    : `${digits(values.median)} (${digits(values.min)}..${digits(values.max)})`;

/** What every table of slices ends with. */
export const commonHead = [
  'p50 ms',
  'p99 ms',
  'max ms',
  'CPU µs/message: server',
  'Postgres',
  'both',
  'generator, % of a core',
  'others, %',
];

export const commonCells = (slices: readonly Slice[]): string[] => [
  withRange(over(slices, ({ latency }) => latency.p50)),
  withRange(over(slices, ({ latency }) => latency.p99)),
  middle(over(slices, ({ latency }) => latency.max)),
  middle(over(slices, (slice) => cpuPerMessage(slice).server)),
  middle(over(slices, (slice) => cpuPerMessage(slice).postgres)),
  withRange(over(slices, (slice) => cpuPerMessage(slice).both)),
  middle(over(slices, generatorShare)),
  middle(over(slices, othersShare)),
];
