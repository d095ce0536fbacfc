import type { ServerResponse } from 'node:http';
import { Readable } from 'node:stream';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ExportOutcome } from '../../../src/core/actions.ts';
import { CodedError } from '../../../src/core/errors.ts';
import type { ExportPage, ExportWriter } from '../../../src/core/export.ts';

const KIB = 1024;
/** What is made and handed on at a time; after each piece others have their turn. */
const PIECE_BYTES = 64 * KIB;

/** What somebody is told whose export ends before its first byte. */
const refusals: Partial<Record<ExportOutcome, () => CodedError>> = {
  denied: () => new CodedError('forbidden', 'The right to read the log has ended.'),
  shutdown: () => new CodedError('overloaded', 'The server is shutting down.'),
};

export type ExportRunOptions = {
  response: ServerResponse;
  /** When the right to read ends, in milliseconds since 1970; undefined: never. */
  expiresAt: number | undefined;
  /** How long a client may take over so many bytes, in milliseconds; while it waits for us, it takes no time. */
  pace: { bytes: number; ms: number };
};

/**
 * One export under way. It runs until `outcome` is set: to `complete` when all was handed to the client's connection,
 * else to what has ended it, and then the connection is destroyed, so that no end looks like a good one.
 */
export class ExportRun {
  /** Resolves with how it ended, once its connection takes nothing more of it. */
  readonly ended: Promise<ExportOutcome>;
  readonly #response: ServerResponse;
  readonly #expiresAt: number | undefined;
  readonly #pace: ExportRunOptions['pace'];
  /** What its client has left of the time, and has taken of the bytes, of its pace. */
  #leftMs: number;
  #takenBytes = 0;
  /** Runs while its client has something to take. */
  #stall: NodeJS.Timeout | undefined;
  /** Undefined while it runs. */
  #outcome: ExportOutcome | undefined;
  /** Undefined until the first byte may be sent. */
  #body: Readable | undefined;

  constructor({ response, expiresAt, pace }: ExportRunOptions) {
    this.#response = response;
    this.#expiresAt = expiresAt;
    this.#pace = pace;
    this.#leftMs = pace.ms;
    this.ended = new Promise((resolve) => {
      const close = (): void => {
        clearTimeout(this.#stall);
        this.#outcome ??= response.writableFinished ? 'complete' : 'client_gone';
        resolve(this.#outcome);
      };
      // Of a response that is over already, no end would be told.
      if (response.destroyed) close();
      else response.once('close', close);
    });
  }

  /** Ends it before its time. */
  stop(outcome: ExportOutcome): void {
    if (this.#outcome !== undefined) return;
    this.#outcome = outcome;
    this.#body?.destroy(this.#reason(outcome));
  }

  #reason(outcome: ExportOutcome): Error {
    return refusals[outcome]?.() ?? new CodedError('audit_unavailable', `The export has ended: ${outcome}.`);
  }

  /** Ends it if its bearer’s token has expired. */
  checkExpiry(): void {
    if (this.#expiresAt !== undefined && Date.now() >= this.#expiresAt) this.stop('denied');
  }

  /** Goes on only while it runs, and its bearer may read. @throws CodedError */
  check(): void {
    this.checkExpiry();
    if (this.#outcome !== undefined) throw this.#reason(this.#outcome);
  }

  /** A piece goes out, and the next one is asked for when its client has taken it. */
  #handOn(): number {
    this.#stall = setTimeout(() => this.stop('stalled'), this.#leftMs);
    return performance.now();
  }

  /** Its client has taken a piece, and has time anew when it has taken as much as it must. */
  #taken(bytes: number, handedOnAt: number): void {
    clearTimeout(this.#stall);
    this.#leftMs -= performance.now() - handedOnAt;
    this.#takenBytes += bytes;
    if (this.#takenBytes < this.#pace.bytes) return;
    this.#takenBytes = 0;
    this.#leftMs = this.#pace.ms;
  }

  /**
   * Waits until all that the response was given has left for the client, for the next page takes the place of this one in
   * memory. A write is told of when it is over: done, or in vain since the connection is.
   */
  async #sent(): Promise<void> {
    const handedOnAt = this.#handOn();
    await new Promise((resolve) => this.#response.write('', resolve));
    this.#taken(0, handedOnAt);
  }

  /** The bytes of the answer, made as fast as the client takes them. */
  body(writer: ExportWriter, pages: AsyncIterable<ExportPage>): Readable {
    this.#body = Readable.from(this.#pieces(writer, pages), {
      objectMode: false,
      // A piece is asked for once the one before is with the response.
      highWaterMark: 1,
    });
    return this.#body;
  }

  async *#pieces(writer: ExportWriter, pages: AsyncIterable<ExportPage>): AsyncGenerator<Buffer> {
    try {
      yield writer.head();
      for await (const page of pages) {
        for (const piece of writer.page(page, PIECE_BYTES)) {
          this.check();
          const handedOnAt = this.#handOn();
          yield piece;
          this.#taken(piece.length, handedOnAt);
          await nextTurn();
        }
        await this.#sent();
        this.check();
      }
      // What is left is less than the pace is of, and nothing comes after it.
      this.#handOn();
      yield writer.end();
    } catch (error) {
      // Else it was stopped, and this is how it hears of it.
      this.#outcome ??= 'failed';
      throw error;
    }
  }
}
