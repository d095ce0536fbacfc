import type { ServerResponse } from 'node:http';
import type { Budget } from '../limits.ts';
import type { Joiner, Rounds, Writer } from './rounds.ts';

/** A reader that does not take what is there for so long is stuck. */
const STUCK_MS = 10_000;
/** How long one may take to receive the end before its connection is cut. */
const CLOSE_GRACE_MS = 1_000;
/** With so much gathered, whoever can wait does until the next round. */
const FULL_BYTES = 64 * 1024;

export type OutputOptions = {
  /** When it writes, and what makes one piece of what it writes; the same for all who may write the same. */
  rounds: Rounds;
  joiner: Joiner;
  budget: Budget;
  /** The connection is closed, by whomever. */
  onClosed: () => void;
  /** Nothing was taken for too long. */
  onStuck: () => void;
};

/** The way to one reader: the only thing that writes to its response, and ends it. */
export class Output implements Writer {
  readonly budget: Budget;
  readonly #response: ServerResponse;
  readonly #rounds: Rounds;
  readonly #joiner: Joiner;
  /** Settled when there is room again, or the end has come; undefined while there is room. */
  #room: PromiseWithResolvers<void> | undefined;
  /** Whether the response holds as much as it should, until its drain. */
  #isFull = false;
  /** Runs while the end is on its way. */
  #deadline: NodeJS.Timeout | undefined;
  #over = false;
  /** Blocks that leave together, in the next round. */
  #blocks: Buffer[] = [];
  /** The bytes of all of `#blocks`. */
  #blockBytes = 0;

  constructor(response: ServerResponse, options: OutputOptions) {
    this.#response = response;
    this.#rounds = options.rounds;
    this.#joiner = options.joiner;
    this.budget = options.budget;
    response.on('drain', () => {
      this.#isFull = false;
      response.setTimeout(0);
      if (this.#blockBytes < FULL_BYTES) this.#makeRoom();
    });
    // Node looks whether anything was taken meanwhile; who is slow but reads is not stuck.
    response.on('timeout', () => options.onStuck());
    // Of a connection that breaks, `close` tells as well.
    response.on('error', () => {});
    response.on('close', () => {
      this.#over = true;
      this.#rounds.remove(this);
      this.#makeRoom();
      clearTimeout(this.#deadline);
      options.onClosed();
    });
  }

  /** Bytes that wait to be taken. */
  get queued(): number {
    return this.#response.writableLength + this.#blockBytes;
  }

  /** A promise for as long as there is no room: for the round, the drain, the close or the end. */
  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  /** Writes a block, which leaves in one piece with those that come soon after it. */
  write(block: Buffer): void {
    if (this.#over) return;
    this.#blocks.push(block);
    this.#blockBytes += block.length;
    if (this.#blockBytes >= FULL_BYTES) this.#room ??= Promise.withResolvers();
    if (this.#blocks.length === 1) this.#rounds.add(this);
  }

  flush(): number {
    if (this.#over || this.#blocks.length === 0) return 0;
    const length = this.#blockBytes;
    const bytes = this.#joiner.join(this.#blocks, length);
    this.#blocks = [];
    this.#blockBytes = 0;
    if (!this.#response.write(bytes) && !this.#isFull) {
      this.#isFull = true;
      this.#room ??= Promise.withResolvers();
      this.#response.setTimeout(STUCK_MS);
    }
    if (!this.#isFull) this.#makeRoom();
    return length;
  }

  /** Ends the response, and in the end the connection, whether the reader takes it or not. */
  end(): void {
    if (this.#over) return;
    this.budget.spend(this.flush());
    this.#over = true;
    this.#rounds.remove(this);
    this.#makeRoom();
    this.#deadline = setTimeout(() => this.#response.destroy(), CLOSE_GRACE_MS);
    this.#response.end();
  }

  #makeRoom(): void {
    this.#room?.resolve();
    this.#room = undefined;
  }
}
