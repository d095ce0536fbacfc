import { parseArgs } from 'node:util';

export const USAGE = `npm run fuzz -- [OPTION...]

Starts the server on a throw-away Postgres, and sends it good, changed and broken frames and requests, half-open,
slow and reset connections, and many sessions at once, while administrators kick and ban, auditors read in every way,
and some come with tickets.
Then it looks whether the server lives, holds no more than it did, and has all of it on record. Ends with 1 when
anything is wrong. Linux only.

  --minutes N    how long (default: 60); at least 1; a tenth of it, at least 30 s, warms the server up first
  --seed N       makes the same traffic again (default: another each time; the report names it)
  --workers N    how many connections are busy at a time, about (default: 12)
  --help`;

/** Something is wrong with the command line. */
export class UsageError extends Error {}

export type Options = { minutes: number; seed: number; workers: number };

function number(option: string, text: string | undefined, preset: number, pattern: RegExp): number {
  if (text === undefined) return preset;
  if (!pattern.test(text)) throw new UsageError(`--${option}: “${text}” is not a number that it takes.`);
  return Number(text);
}

/** Reads the command line; undefined when help was asked for. @throws UsageError */
export function readOptions(args: readonly string[]): Options | undefined {
  const text = { type: 'string' } as const;
  const parse = () => {
    try {
      const options = { minutes: text, seed: text, workers: text, help: { type: 'boolean' } } as const;
      return parseArgs({ args: [...args], options }).values;
    } catch (error) {
      throw new UsageError((error as Error).message);
    }
  };
  const values = parse();
  if (values.help) return undefined;
  const aSeed = Math.floor(Math.random() * 2 ** 31);
  return {
    minutes: number('minutes', values.minutes, 60, /^[1-9]\d{0,3}(\.\d{1,3})?$/),
    seed: number('seed', values.seed, aSeed, /^\d{1,10}$/),
    workers: number('workers', values.workers, 12, /^[1-9]\d{0,2}$/),
  };
}
