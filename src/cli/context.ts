import { InvalidArgumentError } from 'commander';

/** What a command has of the process it runs in. */
export type Context = {
  environment: Record<string, string | undefined>;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
};

/** Reads a number of the command line: whole, and more than nothing. */
export function count(text: string): number {
  if (!/^[1-9]\d{0,8}$/.test(text)) throw new InvalidArgumentError('It must be a whole number, 1 or more.');
  return Number(text);
}
