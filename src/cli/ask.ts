import { setTimeout as delay } from 'node:timers/promises';
import type { Problem } from '../core/schemas.ts';
import type { Connection } from './connection.ts';
import { CliError, type ExitCode, exitCodes } from './exit.ts';

/** How often a page is asked for again, and how long for at most, where the server says when it may be. */
const MAX_RETRIES = 5;
const MAX_RETRY_SECONDS = 60;

/** The server’s refusal, in its own words. */
export class RefusedError extends CliError {
  readonly status: number;
  /** Seconds until it is worth trying again, where the server says so. */
  readonly retryAfter: number | undefined;

  constructor(status: number, message: string, retryAfter: number | undefined) {
    super(exitCodeOf(status), message);
    this.status = status;
    this.retryAfter = retryAfter;
  }
}

function exitCodeOf(status: number): ExitCode {
  if (status === 401 || status === 403) return exitCodes.denied;
  return status === 429 || status >= 500 ? exitCodes.unavailable : exitCodes.usage;
}

async function refusal(response: Response): Promise<RefusedError> {
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN);
  let detail = `The server answered ${response.status}.`;
  if (response.headers.get('content-type')?.startsWith('application/problem+json')) {
    // Of one that is cut off, the status says enough.
    const problem = (await response.json().catch(() => undefined)) as Problem | undefined;
    detail = problem?.detail ?? detail;
  } else if (response.status === 404) {
    detail = 'There is no Minutebook at this address, or it is too old for this command.';
  }
  return new RefusedError(response.status, detail, Number.isNaN(retryAfter) ? undefined : retryAfter);
}

export type AskOptions = { signal: AbortSignal; headers?: Record<string, string> };

/** Asks the server for something. @throws RefusedError when it refuses; CliError when it cannot be reached */
export async function ask(
  { base, token }: Connection,
  path: string,
  parameters: URLSearchParams,
  { signal, headers = {} }: AskOptions,
): Promise<Response> {
  const authorization = `Bearer ${await token()}`;
  const query = parameters.size === 0 ? '' : `?${parameters}`;
  let response: Response;
  try {
    response = await fetch(`${base}${path}${query}`, { headers: { ...headers, authorization }, signal });
  } catch (error) {
    if (signal.aborted) throw error;
    const { code, message } = ((error as Error).cause ?? error) as NodeJS.ErrnoException;
    throw new CliError(
      exitCodes.unavailable,
      `${base} cannot be reached (${code ?? message}). Is the server running there? --url or MINUTEBOOK_URL names another.`,
      error,
    );
  }
  if (!response.ok) throw await refusal(response);
  return response;
}

/** For what answers, but not as a Minutebook does. */
export const strangeAnswer = ({ base }: Connection, cause?: unknown): CliError =>
  new CliError(
    exitCodes.unavailable,
    `What answers at ${base} is no Minutebook. --url or MINUTEBOOK_URL names another.`,
    cause,
  );

/** Reads a body to its end. @throws CliError when the connection breaks before, or it is no JSON */
async function jsonOf<T>(response: Response, connection: Connection, signal: AbortSignal): Promise<T> {
  try {
    return (await response.json()) as T;
  } catch (error) {
    if (signal.aborted) throw error;
    if (error instanceof SyntaxError) throw strangeAnswer(connection, error);
    throw new CliError(exitCodes.unavailable, `The connection to ${connection.base} broke.`, error);
  }
}

/** Asks for JSON; where the server says when to come again, waits and does. @throws CliError as `ask` */
export async function askJson<T>(
  connection: Connection,
  path: string,
  parameters: URLSearchParams,
  signal: AbortSignal,
): Promise<T> {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const response = await ask(connection, path, parameters, { signal });
      return await jsonOf<T>(response, connection, signal);
    } catch (error) {
      const seconds = error instanceof RefusedError ? error.retryAfter : undefined;
      if (seconds === undefined || seconds > MAX_RETRY_SECONDS || attempt >= MAX_RETRIES) throw error;
      await delay(seconds * 1_000, undefined, { signal });
    }
  }
}
