import { InvalidArgumentError } from 'commander';

/** What a command has of the process it runs in. */
export type Context = {
  environment: Record<string, string | undefined>;
  /** Aborted by Ctrl-C. */
  signal: AbortSignal;
  /** What has to be put away before the process ends because nobody takes its output; more than once does no harm. */
  closers: Set<() => Promise<void>>;
};

/** Reads a number of the command line: whole, and no less than asked. */
const countFrom =
  (least: number) =>
  (text: string): number => {
    if (/^(0|[1-9]\d{0,8})$/.test(text) && Number(text) >= least) return Number(text);
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more.`);
  };

export const count = countFrom(1);
/** For what may also be left out altogether. */
export const countOrNone = countFrom(0);
