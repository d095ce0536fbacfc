import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import type { Test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { tokenFor } from './token.ts';

/** A block as it came: `id` and `event` are undefined where it has none. */
export type Block = {
  event: string | undefined;
  id: string | undefined;
  data: string | undefined;
  comment: boolean;
};

export type StreamOptions = {
  token?: string;
  user?: string;
  lastEventId?: string | undefined;
  headers?: Record<string, string>;
};

/** Reads a block by the letter of WHATWG HTML 9.2.6: lines end with CR LF, LF or CR. */
function parseBlock(text: string): Block {
  const block: Block = { event: undefined, id: undefined, data: undefined, comment: false };
  for (const line of text.split(/\r\n|\n|\r/)) {
    const [, name = '', value = ''] = /^([^:]*)(?:: ?(.*))?$/s.exec(line) ?? [];
    if (name === '') block.comment = true;
    if (name === 'event') block.event = value;
    if (name === 'id') block.id = value;
    if (name === 'data') block.data = block.data === undefined ? value : `${block.data}\n${value}`;
  }
  return block;
}

/** A reader of a live stream, over a real connection. */
export class StreamReader {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** Every block that came whole, in order. */
  readonly blocks: Block[] = [];
  /** The last id that came with a whole block. */
  lastId: string | undefined;
  /** Whether the response is over, in order or not. */
  ended = false;
  /** Whether it ended in order: with the last chunk of RFC 9112 7.1. */
  complete = false;
  readonly closed: Promise<void>;
  /** Every byte, as text. */
  text = '';
  readonly #request: ClientRequest;
  readonly #response: IncomingMessage;
  #rest = '';
  #taken = 0;
  #wake: () => void = () => {};

  constructor(outgoing: ClientRequest, response: IncomingMessage) {
    this.#request = outgoing;
    this.#response = response;
    this.status = response.statusCode ?? 0;
    this.headers = response.headers;
    response.setEncoding('utf8');
    response.on('data', (chunk: string) => this.#take(chunk));
    response.on('error', () => {});
    this.closed = new Promise((resolve) => {
      response.on('close', () => {
        this.ended = true;
        this.complete = response.complete;
        this.#wake();
        resolve();
      });
    });
  }

  #take(chunk: string): void {
    this.text += chunk;
    const blocks = (this.#rest + chunk).split('\n\n');
    this.#rest = blocks.pop() ?? '';
    for (const text of blocks) {
      const block = parseBlock(text);
      if (block.id !== undefined) this.lastId = block.id;
      this.blocks.push(block);
    }
    this.#wake();
  }

  /** The next block of a type that was not asked for yet, waiting for it. */
  async next(event: string): Promise<{ id: string; data: Record<string, unknown> }> {
    for (;;) {
      while (this.#taken < this.blocks.length) {
        const block = this.blocks[this.#taken++];
        if (block?.event === event) return { id: block.id ?? '', data: JSON.parse(block.data ?? 'null') };
      }
      if (this.ended) throw new Error(`the stream ended while waiting for ${event}`);
      await this.changed();
    }
  }

  /** Resolves when something more has come, or the end. */
  changed(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve;
    });
  }

  /** The events that were shown so far. */
  get events(): AuditEvent[] {
    return this.blocks
      .filter(({ event }) => event === 'audit')
      .map(({ data }) => JSON.parse(data ?? '') as AuditEvent);
  }

  /** Takes nothing more from the connection, until `resume`. */
  pause(): void {
    this.#response.pause();
  }

  resume(): void {
    this.#response.resume();
  }

  /** Goes away without a word. */
  cut(): void {
    this.#request.destroy();
  }
}

/** Opens a stream as an auditor; cut when the test ends. Also answers that are no stream. */
export async function openStream(
  t: Test,
  target: { url: string },
  query = '',
  { token, user = 'auditor', lastEventId, headers = {} }: StreamOptions = {},
): Promise<StreamReader> {
  const authorization = `Bearer ${token ?? (await tokenFor(user, 'audit:read'))}`;
  return new Promise((resolve, reject) => {
    const outgoing = request(`${target.url}/audit/stream?${query}`, {
      agent: false,
      headers: {
        authorization,
        ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }),
        ...headers,
      },
    });
    t.teardown(() => outgoing.destroy());
    outgoing.on('response', (response) => resolve(new StreamReader(outgoing, response)));
    outgoing.on('error', reject);
    outgoing.end();
  });
}
