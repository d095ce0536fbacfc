import type { ServerResponse } from 'node:http';

/** A reader that does not take what is there for so long is stuck. */
const STUCK_MS = 10_000;
/** How long one may take to receive the end before its connection is cut. */
const CLOSE_GRACE_MS = 1_000;

export type OutputOptions = {
  /** The connection is closed, by whomever. */
  onClosed: () => void;
  /** Nothing was taken for too long. */
  onStuck: () => void;
};

/** The way to one reader: the only thing that writes to its response, and ends it. */
export class Output {
  readonly #response: ServerResponse;
  /** Settled when there is room again, or the end has come; undefined while there is room. */
  #room: PromiseWithResolvers<void> | undefined;
  /** Runs while the end is on its way. */
  #deadline: NodeJS.Timeout | undefined;
  #over = false;
  /** Blocks of this turn, which leave together: each write costs as much as some hundred bytes more. */
  #blocks: Buffer[] = [];
  /** The bytes of all of `#blocks`. */
  #blockBytes = 0;

  constructor(response: ServerResponse, options: OutputOptions) {
    this.#response = response;
    response.on('drain', () => this.#makeRoom());
    // Node looks whether anything was taken meanwhile; who is slow but reads is not stuck.
    response.on('timeout', () => options.onStuck());
    // Of a connection that breaks, `close` tells as well.
    response.on('error', () => {});
    response.on('close', () => {
      this.#over = true;
      this.#makeRoom();
      clearTimeout(this.#deadline);
      options.onClosed();
    });
  }

  /** Bytes that wait to be taken. */
  get queued(): number {
    return this.#response.writableLength + this.#blockBytes;
  }

  /** A promise for as long as there is no room: for the drain, the close or the end, whichever comes first. */
  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  /** Writes a block, which leaves in one piece with all that are written before anything is awaited. */
  write(block: Buffer): void {
    if (this.#over) return;
    this.#blocks.push(block);
    this.#blockBytes += block.length;
    if (this.#blocks.length === 1) queueMicrotask(() => this.#flush());
  }

  #flush(): void {
    if (this.#over || this.#blocks.length === 0) return;
    const bytes = this.#blocks.length === 1 ? this.#blocks[0] : Buffer.concat(this.#blocks, this.#blockBytes);
    this.#blocks = [];
    this.#blockBytes = 0;
    if (this.#response.write(bytes) || this.#room !== undefined) return;
    this.#room = Promise.withResolvers();
    this.#response.setTimeout(STUCK_MS);
  }

  /** Ends the response, and in the end the connection, whether the reader takes it or not. */
  end(): void {
    if (this.#over) return;
    this.#flush();
    this.#over = true;
    this.#makeRoom();
    this.#deadline = setTimeout(() => this.#response.destroy(), CLOSE_GRACE_MS);
    this.#response.end();
  }

  #makeRoom(): void {
    if (this.#room === undefined) return;
    this.#response.setTimeout(0);
    this.#room.resolve();
    this.#room = undefined;
  }
}
