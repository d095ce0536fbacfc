import { PATIENCE_MS, type Stage } from './stage.ts';

/** Longer than for something broken: this must be answered (promise 2: within 5 s). */
const ANSWER_MS = 20 * PATIENCE_MS;

export type Asked<Body> = { status: number; body: Body };

/**
 * A good request with a token, and its answer as JSON; undefined when there was none.
 *
 * @param kind what the answer is counted under; what is not among `expected`, nor a limit or a ban, is a fault
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
    const read = (await answer.json()) as Body & { code?: string };
    tally.add(kind, `${status} ${status < 400 ? '' : read.code}`.trim());
    const isHeldBack = read.code === 'rate_limited' || read.code === 'banned';
    if (!isHeldBack && !expected.includes(status)) {
      tally.fault(`${kind}: ${method} ${path} was answered ${status} ${read.code}`);
    }
    return { status, body: read };
  } catch (error) {
    tally.fault(`${kind}: ${method} ${path}: ${(error as Error).message}`);
    return undefined;
  }
}
