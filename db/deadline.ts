import { CodedError } from '../src/core/errors.ts';

/** As long as a read may take in all, in milliseconds; each of its statements has a bound of its own. */
const MAX_READ_MS = 5_000;

/** Bounds the time that a read takes by all its statements. */
export class Deadline {
  readonly #end: number;

  constructor(ms: number = MAX_READ_MS) {
    this.#end = performance.now() + ms;
  }

  get isOver(): boolean {
    return performance.now() >= this.#end;
  }

  /** @throws CodedError `too_slow` when the time is up */
  check(): void {
    if (!this.isOver) return;
    throw new CodedError('too_slow', 'This query takes too long; narrow it by time, room or user.');
  }
}
