import { connect, type Socket } from 'node:net';
import { OPCODES, type ServerFrameBytes, takeFrame } from './frame-bytes.ts';

export const NONCE = 'dGhlIHNhbXBsZSBub25jZQ==';

/** The head of an HTTP answer, and what of its body has come. */
export type Answer = { status: number; head: string; body: string };

/** A connection on which every byte is ours to choose. */
export class RawClient {
  readonly socket: Socket;
  /** Whether the server has ended the connection, in order or not. */
  ended = false;
  #bytes: Buffer = Buffer.alloc(0);
  readonly #patienceMs: number;
  #wake: () => void = () => {};

  /** @param patienceMs how long an answer is waited for  @param localAddress where it comes from; else the system's choice */
  constructor(url: string, patienceMs = 10_000, localAddress?: string) {
    this.#patienceMs = patienceMs;
    const { hostname, port } = new URL(url);
    this.socket = connect({
      host: hostname,
      port: Number(port),
      allowHalfOpen: true,
      ...(localAddress && { localAddress }),
    });
    this.socket.on('data', (chunk: Buffer) => {
      this.#bytes = Buffer.concat([this.#bytes, chunk]);
      this.#wake();
    });
    const end = (): void => {
      this.ended = true;
      this.#wake();
    };
    this.socket.on('end', end).on('close', end).on('error', end);
  }

  /** Sends bytes, each buffer in a packet of its own as far as that can be had. */
  async write(...packets: (Buffer | string)[]): Promise<void> {
    this.socket.setNoDelay(true);
    for (const packet of packets) {
      if (this.socket.destroyed || !this.socket.writable) return;
      // An error here has ended the connection, and is seen there.
      await new Promise<void>((resolve) => this.socket.write(packet, () => resolve()));
      if (packets.length > 1) await new Promise((resolve) => setImmediate(resolve));
    }
  }

  /** Waits for a look at the bytes that gives something. @throws Error when the connection ends before it does */
  async #until<T>(what: string, look: () => T | undefined): Promise<T> {
    const giveUp = performance.now() + this.#patienceMs;
    for (;;) {
      const found = look();
      if (found !== undefined) return found;
      if (this.ended) throw new Error(`the connection ended before ${what}`);
      const left = giveUp - performance.now();
      if (left <= 0) throw new Error(`waited in vain for ${what}`);
      let timer: NodeJS.Timeout | undefined;
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
        timer = setTimeout(resolve, left);
      });
      clearTimeout(timer);
    }
  }

  /** The answer to a request. @param hasBody whether there is a body of the length that it tells */
  async answer(hasBody = true): Promise<Answer> {
    const head = await this.#until('the head of an answer', () => {
      const end = this.#bytes.indexOf('\r\n\r\n');
      if (end === -1) return undefined;
      const text = this.#bytes.subarray(0, end + 4).toString('latin1');
      this.#bytes = this.#bytes.subarray(end + 4);
      return text;
    });
    // RFC 9110 15.2: an interim answer, and the answer itself follows.
    if (/^HTTP\/1.1 1(?!01)/.test(head)) return this.answer(hasBody);
    const length = hasBody ? Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0) : 0;
    const body = await this.#until('the body of an answer', () => {
      if (this.#bytes.length < length) return undefined;
      const text = this.#bytes.subarray(0, length).toString();
      this.#bytes = this.#bytes.subarray(length);
      return text;
    });
    return { status: Number(head.split(' ')[1]), head, body };
  }

  /** The server’s next frame. */
  frame(): Promise<ServerFrameBytes> {
    return this.#until('a frame', () => this.takeFrame());
  }

  /** The server’s next frame, if it has come. */
  takeFrame(): ServerFrameBytes | undefined {
    const taken = takeFrame(this.#bytes);
    if (taken !== undefined) this.#bytes = taken.rest;
    return taken?.frame;
  }

  /** The next frame that is not text, and the JSON of the text frames before it. */
  async nextControl(): Promise<{ texts: Record<string, unknown>[]; frame: ServerFrameBytes }> {
    const texts: Record<string, unknown>[] = [];
    for (;;) {
      const frame = await this.frame();
      if (frame.opcode !== OPCODES.text) return { texts, frame };
      texts.push(JSON.parse(frame.payload.toString()) as Record<string, unknown>);
    }
  }

  /** Resolves when the server has ended the connection. */
  async end(): Promise<void> {
    while (!this.ended) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** What came and was not asked for. */
  get unread(): Buffer {
    return this.#bytes;
  }

  /** From here on what comes is read and thrown away. */
  ignore(): void {
    this.#bytes = Buffer.alloc(0);
    this.socket.removeAllListeners('data').resume();
  }

  /** Cuts the connection with a RST. */
  reset(): void {
    this.socket.resetAndDestroy();
  }
}

/** A header line; more than one value makes more than one line, and undefined none. */
export type Headers = Record<string, string | string[] | undefined>;

/** A handshake of RFC 6455 4.1, with what is given added to it, changed or left out. */
export function handshakeOf(
  url: string,
  headers: Headers = {},
  { path = '/ws', method = 'GET', version = 'HTTP/1.1' } = {},
): string {
  const all: Headers = {
    Host: new URL(url).host,
    Connection: 'Upgrade',
    Upgrade: 'websocket',
    'Sec-WebSocket-Version': '13',
    'Sec-WebSocket-Key': NONCE,
    ...headers,
  };
  const lines = Object.entries(all).flatMap(([name, values]) =>
    [values ?? []].flat().map((value) => `${name}: ${value}\r\n`),
  );
  return `${method} ${path} ${version}\r\n${lines.join('')}\r\n`;
}
