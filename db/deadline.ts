import { CodedError } from '../src/core/errors.ts';
import { type Db, readMsOf } from './client.ts';

/** Bounds the time that a read takes by all its statements. */
export class Deadline {
  readonly #end: number;

  constructor(ms: number) {
    this.#end = performance.now() + ms;
  }

  /** Of a whole read over a client; each of its statements has the same bound by itself. */
  static of(db: Db): Deadline {
    return new Deadline(readMsOf(db));
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
