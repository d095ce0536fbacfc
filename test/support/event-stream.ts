import { type ClientRequest, type IncomingHttpHeaders, type IncomingMessage, request } from 'node:http';
import { isDeepStrictEqual } from 'node:util';
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

/** A reader that comes back whenever it is cut, where it left off, as a good client does. */
export class FaithfulReader {
  readonly query: string;
  /** Every event that was shown, over all connections. */
  readonly events: AuditEvent[] = [];
  /** How often a connection was cut, by whomever, and how often a stream began. */
  cuts = 0;
  opened = 0;
  /** How often it was told that it cannot go on where it left off. */
  resets = 0;
  /** The first id of all: what is in the log after it must have been shown. */
  firstId: string | undefined;
  readonly #t: Test;
  readonly #urls: readonly string[];
  #lastId: string | undefined;
  #stream: StreamReader | undefined;
  #to: string | undefined;
  readonly #done: Promise<void>;

  /** @param urls the instances, which it takes in turn */
  constructor(t: Test, urls: readonly string[], query: string) {
    this.#t = t;
    this.#urls = urls;
    this.query = query;
    this.#done = this.#run();
  }

  /** Cuts the connection, if there is one. */
  cut(): void {
    this.#stream?.cut();
    this.#stream = undefined;
  }

  /** Whether a stream is open, and has told where it is. */
  get isOpen(): boolean {
    return this.#stream !== undefined && !this.#stream.ended && this.#stream.lastId !== undefined;
  }

  /** Reads on until everything before a time is shown. @param to RFC 3339, in the past */
  async finish(to: string): Promise<void> {
    this.#to = to;
    this.cut();
    await this.#done;
  }

  async #run(): Promise<void> {
    for (let isOver = false; !isOver; ) {
      const url = this.#urls[this.cuts % this.#urls.length] ?? '';
      const to = this.#to;
      const search = to === undefined ? this.query : `${this.query}&to=${to}`;
      const stream = await openStream(this.#t, { url }, search, { lastEventId: this.#lastId }).catch(
        () => undefined,
      );
      if (stream?.status !== 200) {
        stream?.cut();
        await new Promise((resolve) => setTimeout(resolve, 50));
        continue;
      }
      this.#stream = stream;
      // Told to finish while it was opened.
      if (to !== this.#to) stream.cut();
      await stream.closed;
      this.opened += 1;
      this.cuts += 1;
      this.firstId ??= stream.blocks[0]?.id;
      this.#lastId = stream.lastId ?? this.#lastId;
      this.events.push(...stream.events);
      this.resets += stream.blocks.filter(({ event }) => event === 'reset').length;
      isOver = stream.blocks.at(-1)?.event === 'end';
    }
  }
}

/** What is wrong with what a reader was shown, held against what the same filter gives afterwards. */
export function differences(
  { events, firstId, query }: FaithfulReader,
  log: readonly AuditEvent[],
): string[] {
  const first = Number(firstId?.split(':')[1]);
  const expected = log.filter(({ seq }) => seq > first);
  const wrong: string[] = [];
  for (let index = 0; index < Math.max(events.length, expected.length) && wrong.length < 5; index += 1) {
    const [shown, wanted] = [events[index], expected[index]];
    if (!isDeepStrictEqual(shown, wanted)) {
      wrong.push(`${query}, place ${index}: ${JSON.stringify(shown)} instead of ${JSON.stringify(wanted)}`);
    }
  }
  return wrong;
}
