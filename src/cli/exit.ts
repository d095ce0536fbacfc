/** Exit codes, for scripts; docs/cli.md lists them. */
export const exitCodes = {
  ok: 0,
  /** A check of `doctor` failed, or something else did. */
  failed: 1,
  /** The command line, or a filter, is not valid. */
  usage: 2,
  /** The server cannot be reached, or cannot answer now. */
  unavailable: 3,
  /** There is no token, or it does not give the right. */
  denied: 4,
  /** An export is cut off or was changed. */
  incomplete: 5,
  /** Ctrl-C, before all was done: 128 and the number of SIGINT, as shells have it. */
  interrupted: 130,
} as const;

export type ExitCode = (typeof exitCodes)[keyof typeof exitCodes];

/** Ends the command with a sentence for whoever typed it. */
export class CliError extends Error {
  readonly exitCode: ExitCode;

  constructor(exitCode: ExitCode, message: string, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CliError';
    this.exitCode = exitCode;
  }
}
