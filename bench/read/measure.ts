import type { AuditPage, Problem } from '../../src/core/schemas.ts';
import { Latencies, type Latency } from '../stats.ts';
import type { Answer, Reader } from './reader.ts';

/** What one path took, asked over and over. */
export type Reading = {
  latency: Latency;
  /** Events, or rows of statistics, in an answer. */
  rows: number;
  /** Answers that were `too_slow`; their time counts as well. */
  tooSlow: number;
};

export type Effort = {
  /** How many requests, and after how many seconds there are no more. */
  requests: number;
  seconds: number;
};

/** Not counted: the first ones fill caches. */
const WARM_UP = 2;
/** Made whatever time they take. */
const LEAST = 10;

const isTooSlow = ({ status, body }: Answer): boolean =>
  status === 503 && (JSON.parse(body) as Problem).code === 'too_slow';

/**
 * Asks for a path as often as the effort says, each reader one at a time.
 *
 * @throws Error when an answer is neither a page nor `too_slow`
 */
export async function measure(
  readers: readonly Reader[],
  path: string,
  { requests, seconds }: Effort,
): Promise<Reading> {
  const latencies = new Latencies();
  let rows = 0;
  let tooSlow = 0;
  const ask = async (reader: Reader): Promise<number> => {
    const answer = await reader.get(path);
    if (answer.status === 200) rows = (JSON.parse(answer.body) as Pick<AuditPage, 'data'>).data.length;
    else if (isTooSlow(answer)) tooSlow += 1;
    else throw new Error(`GET ${path} answered ${answer.status}: ${answer.body}`);
    return answer.ms;
  };
  for (let n = 0; n < Math.min(WARM_UP, requests - 1); n += 1) await Promise.all(readers.map(ask));
  tooSlow = 0;
  const end = performance.now() + seconds * 1_000;
  const least = Math.min(LEAST, requests);
  let begun = 0;
  const askOn = async (reader: Reader): Promise<void> => {
    while (begun < requests && (begun < least || performance.now() < end)) {
      begun += 1;
      latencies.add(await ask(reader));
    }
  };
  await Promise.all(readers.map(askOn));
  return { latency: latencies.summary(), rows, tooSlow };
}
