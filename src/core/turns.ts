import type { CodedError } from './errors.ts';

export type TurnBounds = {
  /** How many turns one key may have at a time. */
  most: number;
  /** How many of one key may wait for a turn; who comes beyond is refused at once. */
  maxWaiting: number;
  /** How long one waits before it is refused, in milliseconds. */
  waitMs: number;
  /**
   * Called when some work begins; what it gives is called when that is over, and tells for how many milliseconds its turn
   * rests before another one has it. Without it turns do not rest.
   */
  rest?: () => () => number;
  /** What they are told who are refused. */
  refuse: () => CodedError;
};

/** `taken` is at least 1: a key without a turn has no line. */
type Line = { taken: number; waiting: ((mine: boolean) => void)[] };

/**
 * Lets each key do only so much at a time; what is more waits, in the order in which it came. Nobody waits for a rest but
 * the next.
 */
export class Turns {
  readonly #bounds: TurnBounds;
  readonly #lines = new Map<string, Line>();

  constructor(bounds: TurnBounds) {
    this.#bounds = bounds;
  }

  /** How many keys have a turn. */
  get size(): number {
    return this.#lines.size;
  }

  /**
   * Does some work when it is this key's turn.
   *
   * @param work calls what it is given where it begins only then, for it had to wait: its turn need not rest for that
   * @throws CodedError the refusal, when there was no turn in time
   */
  async run<T>(key: string, work: (begin: () => void) => Promise<T>): Promise<T> {
    if (!(await this.#take(key))) throw this.#bounds.refuse();
    let restMs: (() => number) | undefined;
    const begin = (): void => {
      restMs = this.#bounds.rest?.();
    };
    begin();
    try {
      return await work(begin);
    } finally {
      const ms = restMs?.() ?? 0;
      if (ms > 0) setTimeout(() => this.#give(key), ms).unref();
      else this.#give(key);
    }
  }

  async #take(key: string): Promise<boolean> {
    const line = this.#lines.get(key);
    if (line === undefined) {
      this.#lines.set(key, { taken: 1, waiting: [] });
      return true;
    }
    const { most, maxWaiting, waitMs } = this.#bounds;
    if (line.taken < most) {
      line.taken += 1;
      return true;
    }
    if (line.waiting.length >= maxWaiting) return false;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    line.waiting.push(resolve);
    const late = setTimeout(() => {
      line.waiting.splice(line.waiting.indexOf(resolve), 1);
      resolve(false);
    }, waitMs);
    return promise.finally(() => clearTimeout(late));
  }

  /** Hands the turn on to the next one that waits. */
  #give(key: string): void {
    const line = this.#lines.get(key);
    if (line === undefined) return;
    const next = line.waiting.shift();
    if (next !== undefined) next(true);
    else if (line.taken > 1) line.taken -= 1;
    else this.#lines.delete(key);
  }
}
