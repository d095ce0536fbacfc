import { parseArgs } from 'node:util';
import { UsageError } from '../options.ts';
import { MIN_EVENTS } from './story.ts';

export const USAGE = `npm run seed -- --events N [--database-url URL] [--seed N]

Fills a new log with made-up events of the last ninety days: users and rooms of which few are busy and most are not,
rare actions, bursts, one user with a third of all events and one with a single one. Every promise of the log holds
for them. No server may run on the database meanwhile.

  --events N          how many, from ${MIN_EVENTS}
  --database-url URL  the database, by its owner (default: DATABASE_URL, or the embedded Postgres in DATA_DIR)
  --seed N            the same number makes the same events (default: 1)
  --help`;

export type SeedOptions = { events: number; databaseUrl: string | undefined; seed: number };

function whole(option: string, text: string, least: number): number {
  if (!/^\d{1,15}$/.test(text) || Number(text) < least) {
    throw new UsageError(`--${option}: “${text}” is not a whole number from ${least} on.`);
  }
  return Number(text);
}

/** Reads the command line; undefined when help was asked for. @throws UsageError */
export function readSeedOptions(args: readonly string[]): SeedOptions | undefined {
  const text = { type: 'string' } as const;
  let values: { events?: string; 'database-url'?: string; seed?: string; help?: boolean };
  try {
    ({ values } = parseArgs({
      args: [...args],
      options: { events: text, 'database-url': text, seed: text, help: { type: 'boolean' } },
    }));
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  if (values.help) return undefined;
  if (values.events === undefined) throw new UsageError('--events says how many; it is needed.');
  return {
    events: whole('events', values.events, MIN_EVENTS),
    databaseUrl: values['database-url'],
    seed: whole('seed', values.seed ?? '1', 0),
  };
}
