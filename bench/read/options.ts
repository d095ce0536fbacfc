import { parseArgs } from 'node:util';
import { UsageError } from '../options.ts';
import { MIN_EVENTS } from '../seed/story.ts';

export const partNames = ['filters', 'pairs', 'total', 'traps', 'stats', 'export', 'size'] as const;
export type Part = (typeof partNames)[number];

export const USAGE = `npm run bench:read -- [OPTION...]

Measures how fast the log is read over HTTP, as an administrator reads it, in logs of several lengths, and ends with
a table. The logs are made once and kept; what is read is a copy, for every read adds an event.

  --events N,...   how long the logs are (default: 100000,1000000,10000000)
  --data-dir DIR   where they are kept (default: data/bench-read)
  --only PART,...  of: ${partNames.join(', ')} (default: all)
  --requests N     of each kind: one at a time to all logs by turns, and then four at a time to each (default: 100)
  --seconds N      no more time than this for them in each log; ten are made in any case (default: 3)
  --json FILE      writes everything measured there
  --help`;

export type ReadOptions = {
  events: readonly number[];
  dataDir: string;
  parts: readonly Part[];
  requests: number;
  seconds: number;
  json: string | undefined;
};

function whole(option: string, text: string, least: number): number {
  if (!/^\d{1,12}$/.test(text) || Number(text) < least) {
    throw new UsageError(`--${option}: “${text}” is not a whole number from ${least} on.`);
  }
  return Number(text);
}

function partsOf(text: string): readonly Part[] {
  const wanted = text.split(',').map((name) => name.trim());
  const unknown = wanted.find((name) => !partNames.some((part) => part === name));
  if (unknown !== undefined)
    throw new UsageError(`--only: “${unknown}” is none of: ${partNames.join(', ')}.`);
  return partNames.filter((part) => wanted.includes(part));
}

function parse(args: readonly string[]) {
  const text = (preset: string) => ({ type: 'string', default: preset }) as const;
  try {
    return parseArgs({
      args: [...args],
      options: {
        events: text('100000,1000000,10000000'),
        'data-dir': text('data/bench-read'),
        only: text(partNames.join(',')),
        requests: text('100'),
        seconds: text('3'),
        json: { type: 'string' },
        help: { type: 'boolean', default: false },
      },
    }).values;
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

/** Reads the command line; undefined when help was asked for. @throws UsageError */
export function readOptions(args: readonly string[]): ReadOptions | undefined {
  const values = parse(args);
  if (values.help) return undefined;
  const events = values.events.split(',').map((one) => whole('events', one.trim(), MIN_EVENTS));
  return {
    events: [...new Set(events)].sort((a, b) => a - b),
    dataDir: values['data-dir'],
    parts: partsOf(values.only),
    requests: whole('requests', values.requests, 1),
    seconds: whole('seconds', values.seconds, 1),
    json: values.json,
  };
}
