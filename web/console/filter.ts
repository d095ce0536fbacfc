import type { ExportQuery } from '../../src/core/schemas.ts';

/** What the log is filtered by, in the API's own names and forms. */
export type Filter = Omit<ExportQuery, 'format'>;

/** What a chip can be of; the interval has a chip of its own. */
export const chipNames = [
  'action',
  'user_id',
  'room',
  'involves',
  'target_user_id',
  'session_id',
  'ip',
  'q',
] as const;
export type ChipName = (typeof chipNames)[number];
export type FilterName = ChipName | 'from' | 'to';

const filterNames: readonly FilterName[] = [...chipNames, 'from', 'to'];
/** May be given more than once, for OR. */
const isMany = (name: FilterName): boolean => name === 'action' || name === 'user_id';

export type Chip = { name: ChipName; value: string };

/** The values of a name; none: it does not filter. */
export function valuesOf(filter: Filter, name: FilterName): readonly string[] {
  const value = filter[name] as string | string[] | undefined;
  if (value === undefined) return [];
  return typeof value === 'string' ? [value] : value;
}

/** The same filter with exactly these values of a name. */
export function withValues(filter: Filter, name: FilterName, values: readonly string[]): Filter {
  const { [name]: _, ...rest } = filter;
  const [first] = values;
  if (first === undefined) return rest;
  return { ...rest, [name]: isMany(name) ? [...new Set(values)] : first };
}

/** The same filter with one value more; names that take only one have it instead of theirs. */
export const withValue = (filter: Filter, name: FilterName, value: string): Filter =>
  withValues(filter, name, isMany(name) ? [...valuesOf(filter, name), value] : [value]);

export const withoutValue = (filter: Filter, name: FilterName, value: string): Filter =>
  withValues(
    filter,
    name,
    valuesOf(filter, name).filter((one) => one !== value),
  );

/** Whether a name can have a second value beside its first. */
export const canAdd = (name: FilterName): boolean => isMany(name);

export const chipsOf = (filter: Filter): Chip[] =>
  chipNames.flatMap((name) => valuesOf(filter, name).map((value) => ({ name, value })));

/** Adds a filter to a query string, in a fixed order: equal filters give equal strings. */
export function writeFilter(filter: Filter, params: URLSearchParams): void {
  for (const name of filterNames) for (const value of valuesOf(filter, name)) params.append(name, value);
}

/** Reads a filter out of a query string; other names, and empty values, are left alone. */
export function readFilter(params: URLSearchParams): Filter {
  let filter: Filter = {};
  for (const name of filterNames) {
    filter = withValues(
      filter,
      name,
      params.getAll(name).filter((value) => value !== ''),
    );
  }
  return filter;
}

/** Equal for equal filters. */
export function keyOf(filter: Filter): string {
  const params = new URLSearchParams();
  writeFilter(filter, params);
  return params.toString();
}

/** How a chip is written: `user_id:ann`, `q:"two words"`. */
export const chipText = ({ name, value }: Chip): string =>
  name === 'q' ? `q:"${value}"` : `${name}:${value}`;

/**
 * Reads what was typed: `name:value` is a chip of that name, anything else is looked for in the messages.
 *
 * @returns undefined when there is no value
 */
export function readChip(text: string): Chip | undefined {
  const typed = text.trim();
  const name = chipNames.find((one) => typed.startsWith(`${one}:`));
  const rest = name === undefined ? typed : typed.slice(name.length + 1).trim();
  const isQuoted = rest.length > 2 && rest.startsWith('"') && rest.endsWith('"');
  const value = isQuoted && (name === undefined || name === 'q') ? rest.slice(1, -1) : rest;
  return value === '' ? undefined : { name: name ?? 'q', value };
}

const SPAN = /^-(\d{1,6})([smhdw])$/;
const UNIT_MS = { s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000, w: 604_800_000 } as const;

/** How far back a span such as `-15m` goes, in milliseconds; undefined: it is none. */
export function spanMs(text: string): number | undefined {
  const match = SPAN.exec(text);
  if (match === null) return undefined;
  return Number(match[1]) * UNIT_MS[match[2] as keyof typeof UNIT_MS];
}

/** The same filter with points in time for its spans: what it shows stays the same. */
export function frozen(filter: Filter, nowMs: number): Filter {
  const at = (text: string): string => {
    const span = spanMs(text);
    return span === undefined ? text : new Date(nowMs - span).toISOString();
  };
  const { from, to } = filter;
  if (from === undefined) return to === undefined ? filter : { ...filter, to: at(to) };
  if (to !== undefined) return { ...filter, from: at(from), to: at(to) };
  // A span back from now ends now.
  return spanMs(from) === undefined ? filter : { ...filter, from: at(from), to: at('-0s') };
}
