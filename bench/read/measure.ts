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

/** A path, and who asks for it. */
export type Asked = { reader: Reader; path: string };

/** Not counted: the first ones fill caches. */
const WARM_UP = 2;
/** Made whatever time they take. */
const LEAST = 10;

const isTooSlow = ({ status, body }: Answer): boolean =>
  status === 503 && (JSON.parse(body) as Problem).code === 'too_slow';

/** Adds up what the answers to one path took. */
class Tally {
  readonly #latencies = new Latencies();
  #rows = 0;
  #tooSlow = 0;

  /** @throws Error when the answer is neither a page nor `too_slow` */
  async ask({ reader, path }: Asked): Promise<void> {
    const answer = await reader.get(path);
    if (answer.status === 200) this.#rows = (JSON.parse(answer.body) as Pick<AuditPage, 'data'>).data.length;
    else if (isTooSlow(answer)) this.#tooSlow += 1;
    else throw new Error(`GET ${path} answered ${answer.status}: ${answer.body}`);
    this.#latencies.add(answer.ms);
  }

  reading(): Reading {
    return { latency: this.#latencies.summary(), rows: this.#rows, tooSlow: this.#tooSlow };
  }
}

/** Whether there is one more request, after so many. */
const limitOf = ({ requests, seconds }: Effort): ((made: number) => boolean) => {
  const end = performance.now() + seconds * 1_000;
  const least = Math.min(LEAST, requests);
  return (made) => made < requests && (made < least || performance.now() < end);
};

const warmUps = ({ requests }: Effort): number => Math.min(WARM_UP, requests - 1);

/**
 * Asks for a path as often as the effort says, each reader one at a time, all of them at once.
 *
 * @throws Error when an answer is neither a page nor `too_slow`
 */
export async function measure(readers: readonly Reader[], path: string, effort: Effort): Promise<Reading> {
  for (let n = 0; n < warmUps(effort); n += 1) {
    await Promise.all(readers.map((reader) => new Tally().ask({ reader, path })));
  }
  const tally = new Tally();
  const goesOn = limitOf(effort);
  let begun = 0;
  const askOn = async (reader: Reader): Promise<void> => {
    while (goesOn(begun)) {
      begun += 1;
      await tally.ask({ reader, path });
    }
  };
  await Promise.all(readers.map(askOn));
  return tally.reading();
}

/**
 * Asks for each path as often as the effort says, one request at a time and by turns: what disturbs the machine
 * for a while disturbs all of them. The seconds are for each, and what one leaves of them is the others'.
 *
 * @returns what was asked, in the same order, with what it took
 * @throws Error when an answer is neither a page nor `too_slow`
 */
export async function measureByTurns<A extends Asked>(
  all: readonly A[],
  effort: Effort,
): Promise<[asked: A, reading: Reading][]> {
  for (let n = 0; n < warmUps(effort); n += 1) {
    for (const asked of all) await new Tally().ask(asked);
  }
  const tallies = all.map((asked) => ({ asked, tally: new Tally() }));
  const goesOn = limitOf({ ...effort, seconds: effort.seconds * all.length });
  for (let round = 0; goesOn(round); round += 1) {
    for (const { asked, tally } of tallies) await tally.ask(asked);
  }
  return tallies.map(({ asked, tally }) => [asked, tally.reading()]);
}
