import type { ErrorCode } from '../../src/core/errors.ts';
import type { Problem } from '../../src/core/schemas.ts';
import { identity } from './token.ts';

/** What a server refuses with (RFC 9457). */
export class ProblemError extends Error {
  readonly status: number;
  readonly code: ErrorCode;
  readonly parameter: string | undefined;
  /** Seconds after which it may go better, when the server says so. */
  readonly retryAfter: number | undefined;

  constructor(problem: Problem, retryAfter: number | undefined) {
    super(problem.detail);
    this.name = 'ProblemError';
    this.status = problem.status;
    this.code = problem.code as ErrorCode;
    this.parameter = problem.parameter;
    this.retryAfter = retryAfter;
  }
}

/** No answer came at all. */
export class ConnectionError extends Error {
  constructor(cause: unknown) {
    super('The server cannot be reached.', { cause });
    this.name = 'ConnectionError';
  }
}

/** The values of a query string; a list repeats its name, undefined leaves it out. */
export type Query = Record<string, string | number | readonly string[] | undefined>;

export type Call = {
  method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
};

export function queryString(query: Query = {}): string {
  const search = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (value === undefined) continue;
    for (const one of Array.isArray(value) ? value : [value]) search.append(name, String(one));
  }
  return search.size === 0 ? '' : `?${search}`;
}

/** An address of the API, wherever a proxy has put the pages. */
export const addressOf = (path: string, query?: Query): string =>
  new URL(`.${path}${queryString(query)}`, document.baseURI).href;

/** Asks the server. @throws ProblemError, ConnectionError; AbortError when the signal says so */
export async function call(path: string, { method = 'GET', query, body, signal, headers }: Call = {}) {
  const { token } = identity.value ?? {};
  let response: Response;
  try {
    response = await fetch(addressOf(path, query), {
      method,
      headers: {
        ...headers,
        ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        ...(body === undefined ? {} : { 'content-type': 'application/json' }),
      },
      cache: 'no-store',
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      ...(signal === undefined ? {} : { signal }),
    });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ConnectionError(error);
  }
  if (!response.ok) throw await problemOf(response);
  return response;
}

/** The same, for an answer in JSON. */
export async function callJson<T>(path: string, options?: Call): Promise<T> {
  const response = await call(path, options);
  return (await response.json()) as T;
}

async function problemOf(response: Response): Promise<Error> {
  const retry = Number(response.headers.get('retry-after') ?? Number.NaN);
  const retryAfter = Number.isFinite(retry) ? retry : undefined;
  if (response.headers.get('content-type')?.startsWith('application/problem+json')) {
    return new ProblemError((await response.json()) as Problem, retryAfter);
  }
  // A proxy between, which speaks for itself.
  return new ConnectionError(new Error(`${response.status} ${response.statusText}`));
}
