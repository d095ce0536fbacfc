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
    return this.#response.writableLength;
  }

  /** A promise for as long as there is no room: for the drain, the close or the end, whichever comes first. */
  get room(): Promise<void> | undefined {
    return this.#room?.promise;
  }

  /** Writes a block, which leaves in one piece with all that one turn of the event loop writes. */
  write(bytes: Buffer): void {
    if (this.#over || this.#response.write(bytes) || this.#room !== undefined) return;
    this.#room = Promise.withResolvers();
    this.#response.setTimeout(STUCK_MS);
  }

  /** Ends the response, and in the end the connection, whether the reader takes it or not. */
  end(): void {
    if (this.#over) return;
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
