import { PATIENCE_MS, type Stage } from './stage.ts';

/** Longer than for something broken: this must be answered (promise 2: within 5 s). */
const ANSWER_MS = 20 * PATIENCE_MS;

/** What a good request may be refused with: a limit, a ban, or too much to do. */
const refusals = new Set(['rate_limited', 'banned', 'overloaded', 'too_slow']);

/** Whether a code says that the request was good, and that there is too much of them or of the log. */
export const isDocumentedRefusal = (code: string | undefined): boolean => refusals.has(code ?? '');

export type Asked<Body> = { status: number; body: Body };
type Problem = { code?: string };

/** Counts an answer that is no success. @param expected what beside a documented refusal is no fault */
export async function countProblem(
  { tally }: Stage,
  kind: string,
  what: string,
  answer: Response,
  expected: readonly number[] = [],
): Promise<void> {
  const { code } = (await answer.json()) as Problem;
  tally.add(kind, `${answer.status} ${code}`);
  if (!isDocumentedRefusal(code) && !expected.includes(answer.status)) {
    tally.fault(`${kind}: ${what} was answered ${answer.status} ${code}`);
  }
}

/**
 * A good request with a token, and its answer as JSON; undefined when there was none.
 *
 * @param kind what the answer is counted under; what is not among `expected`, nor a documented refusal, is a fault
 */
export async function ask<Body>(
  { url, tally }: Stage,
  kind: string,
  [method, path]: [method: string, path: string],
  { authorization, body, expected }: { authorization: string; body?: unknown; expected: readonly number[] },
): Promise<Asked<Body> | undefined> {
  try {
    const answer = await fetch(url + path, {
      method,
      headers: { authorization, ...(body === undefined ? {} : { 'content-type': 'application/json' }) },
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const { status } = answer;
    const read = (await answer.json()) as Body & Problem;
    tally.add(kind, `${status} ${status < 400 ? '' : read.code}`.trim());
    if (!isDocumentedRefusal(read.code) && !expected.includes(status)) {
      tally.fault(`${kind}: ${method} ${path} was answered ${status} ${read.code}`);
    }
    return { status, body: read };
  } catch (error) {
    tally.fault(`${kind}: ${method} ${path}: ${(error as Error).message}`);
    return undefined;
  }
}
