import { parseArgs } from 'node:util';
import { type Arm, armNames } from './arms.ts';
import { type ReadKind, readKinds } from './load/orders.ts';

export const partNames = [
  'write',
  'open',
  'fanout',
  'instances',
  'reads',
  'stream',
  'snapshot',
  'idle',
] as const;
export type Part = (typeof partNames)[number];

export const USAGE = `npm run bench -- [OPTION...]

Measures Minutebook against bare echo servers and against one INSERT per message, all on one Postgres, and ends
with a table. Everything it starts, it stops, and what it writes is removed.

  --quick                 short slices and one round: a minute or two instead of half an hour
  --only PART,...         of: ${partNames.join(', ')} (default: all)
  --arms ARM,...          of: ${armNames.join(', ')} (default: all)
  --reads KIND,...        for reads, of: ${readKinds.slice(0, 6).join(', ')},
                          ${readKinds.slice(6).join(', ')} (default: all)
  --connections N,...     for write (default: 1,10,50,500)
  --rates N,...           messages per second, for open (default: 200,2000,8000)
  --members N             in the room, for fanout (default: 1000)
  --idle N                connections, for idle (default: 10000)
  --rounds N              how often all arms take turns (default: 5)
  --seconds N             of each measurement (default: 3)
  --warmup N              seconds before each (default: 1)
  --snapshot-minutes N    how long the snapshot stays open, for snapshot (default: 10)
  --hold-seconds N        how long the idle connections are held, for idle (default: 70)
  --json FILE             writes everything measured there
  --profile FOLDER        runs Minutebook with --cpu-prof, keeps the profiles there, prints what took the time
                          (the profiler itself takes some: no rates for comparison)
  --use-database-url      measures on the Postgres of DATABASE_URL (a role that may create databases and
                          checkpoint) instead of one of its own
  --help`;

/** Something is wrong with the command line. */
export class UsageError extends Error {}

export type Options = {
  parts: readonly Part[];
  arms: readonly Arm[];
  reads: readonly ReadKind[];
  connections: readonly number[];
  rates: readonly number[];
  members: number;
  idle: number;
  rounds: number;
  seconds: number;
  warmup: number;
  snapshotMinutes: number;
  holdSeconds: number;
  json: string | undefined;
  profile: string | undefined;
  useDatabaseUrl: boolean;
};

type Presets = Omit<Options, 'json' | 'profile' | 'useDatabaseUrl'>;

const full: Presets = {
  parts: partNames,
  arms: armNames,
  reads: readKinds,
  connections: [1, 10, 50, 500],
  rates: [200, 2_000, 8_000],
  members: 1_000,
  idle: 10_000,
  rounds: 5,
  seconds: 3,
  warmup: 1,
  snapshotMinutes: 10,
  holdSeconds: 70,
};
const quick: Presets = {
  ...full,
  connections: [1, 50],
  rates: [2_000],
  idle: 2_000,
  rounds: 1,
  seconds: 1.5,
  warmup: 0.7,
  snapshotMinutes: 0.25,
  holdSeconds: 2,
};

function names<T extends string>(
  option: string,
  text: string | undefined,
  known: readonly T[],
): readonly T[] {
  if (text === undefined) return known;
  const wanted = text.split(',').map((name) => name.trim());
  for (const name of wanted) {
    if (!known.some((one) => one === name)) {
      throw new UsageError(`--${option}: “${name}” is none of: ${known.join(', ')}.`);
    }
  }
  // In the order of the tables, whatever order was asked for.
  return known.filter((name) => wanted.includes(name));
}

/** More from one address to one port, and the kernel runs out of ports. */
const MAX_COUNT = 20_000;

function number(option: string, text: string | undefined, preset: number, whole = true): number {
  if (text === undefined) return preset;
  const value = Number(text);
  if (value > MAX_COUNT) throw new UsageError(`--${option}: ${text} is more than ${MAX_COUNT}.`);
  if (!/^\d+(\.\d+)?$/.test(text) || !(value > 0) || (whole && !Number.isInteger(value))) {
    throw new UsageError(`--${option}: “${text}” is not a ${whole ? 'whole ' : ''}number above 0.`);
  }
  return value;
}

const numbers = (option: string, text: string | undefined, preset: readonly number[]): readonly number[] =>
  text === undefined
    ? preset
    : [...new Set(text.split(',').map((one) => number(option, one.trim(), 0)))].sort((a, b) => a - b);

function parse(args: readonly string[]) {
  const text = { type: 'string' } as const;
  const flag = { type: 'boolean', default: false } as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        quick: flag,
        only: text,
        arms: text,
        reads: text,
        connections: text,
        rates: text,
        members: text,
        idle: text,
        rounds: text,
        seconds: text,
        warmup: text,
        'snapshot-minutes': text,
        'hold-seconds': text,
        json: text,
        profile: text,
        'use-database-url': flag,
        help: flag,
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Reads the command line; undefined when help was asked for. @throws UsageError */
export function readOptions(args: readonly string[]): Options | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const preset = values.quick ? quick : full;
  const options: Options = {
    parts: names('only', values.only, partNames),
    arms: names('arms', values.arms, armNames),
    reads: names('reads', values.reads, readKinds),
    connections: numbers('connections', values.connections, preset.connections),
    rates: numbers('rates', values.rates, preset.rates),
    members: number('members', values.members, preset.members),
    idle: number('idle', values.idle, preset.idle),
    rounds: number('rounds', values.rounds, preset.rounds),
    seconds: number('seconds', values.seconds, preset.seconds, false),
    warmup: number('warmup', values.warmup, preset.warmup, false),
    snapshotMinutes: number('snapshot-minutes', values['snapshot-minutes'], preset.snapshotMinutes, false),
    holdSeconds: number('hold-seconds', values['hold-seconds'], preset.holdSeconds, false),
    json: values.json,
    profile: values.profile,
    useDatabaseUrl: values['use-database-url'],
  };
  if (options.profile !== undefined && !options.arms.includes('minutebook')) {
    throw new UsageError('--profile: Minutebook is not among the --arms.');
  }
  return options;
}
