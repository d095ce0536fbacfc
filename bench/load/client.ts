import { connect, type Socket } from 'node:net';
import { CLOSE, clientFrame, FrameReader, PING, PONG, TEXT } from './frames.ts';

/** Any nonce will do (RFC 6455 4.1); nobody checks that it is fresh. */
const KEY = 'dGhlIHNhbXBsZSBub25jZQ==';
const OPEN_MS = 30_000;
const CLOSE_MS = 3_000;
const NORMAL_CLOSE = clientFrame(CLOSE, Buffer.from([0x03, 0xe8]));

/** All sockets read into the same memory: what is read is handled before the next read. */
const READ_BUFFER = Buffer.alloc(64 * 1024);

/** The letter at this place of a frame’s JSON tells its type: `{"type":"m`essage, `j`oined, `w`elcome, `e`rror. */
const TYPE_AT = 9;
const MESSAGE = 'm'.charCodeAt(0);
const JOINED = 'j'.charCodeAt(0);
const ERROR = 'e'.charCodeAt(0);

export type ClientOptions = {
  port: number;
  path: string;
  token: string | undefined;
  /** The first letter of the type of the frame that says all is ready; undefined: when the socket is open. */
  readyAt: 'j' | 'w' | undefined;
};

/** A lean WebSocket client over a bare socket; see frames.ts. */
export class Client {
  /** Told of every frame of type `message`, which is `bytes` from `start` to `end`, and gone after the call. */
  onMessage: (bytes: Uint8Array, start: number, end: number) => void = () => {};
  /** Told of every frame of type `joined`. */
  onJoined: () => void = () => {};
  /** Told when the connection is over, with the close code of the server, or 1006. */
  onEnd: (code: number) => void = () => {};
  /** Told of every frame of type `error`, with its text. */
  onError: (text: string) => void = () => {};
  /** Pings that came, each of which was answered. */
  pings = 0;
  readonly #socket: Socket;
  readonly #reader = new FrameReader((opcode, bytes, start, end) => this.#take(opcode, bytes, start, end));
  readonly #readyLetter: number | undefined;
  readonly #opened = Promise.withResolvers<void>();
  readonly #ended = Promise.withResolvers<void>();
  #head: string | undefined = '';
  #closeCode = 1006;
  #closing = false;

  constructor({ port, path, token, readyAt }: ClientOptions) {
    this.#readyLetter = readyAt?.charCodeAt(0);
    this.#socket = connect({
      port,
      host: '127.0.0.1',
      noDelay: true,
      onread: {
        buffer: READ_BUFFER,
        callback: (length, buffer) => {
          this.#read(Buffer.from(buffer.buffer, buffer.byteOffset, length));
          return true;
        },
      },
    });
    this.#socket.setTimeout(OPEN_MS, () => this.#socket.destroy(new Error('the server did not answer')));
    this.#socket.on('error', (error) => this.#opened.reject(error));
    this.#socket.on('close', () => {
      this.#opened.reject(new Error('the server closed the connection'));
      this.onEnd(this.#closeCode);
      this.#ended.resolve();
    });
    this.#opened.promise.catch(() => {});
    const authorization = token === undefined ? '' : `Authorization: Bearer ${token}\r\n`;
    this.#socket.write(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n` +
        `Sec-WebSocket-Key: ${KEY}\r\nSec-WebSocket-Version: 13\r\n${authorization}\r\n`,
    );
  }

  /** Resolves when it is ready for messages. Rejects when the server refuses. */
  get opened(): Promise<void> {
    return this.#opened.promise;
  }

  send(frame: Buffer): void {
    this.#socket.write(frame);
  }

  /** Closes in good order, or by force after a while. */
  async close(): Promise<void> {
    if (!this.#socket.destroyed && !this.#closing) {
      this.#closing = true;
      this.#socket.write(NORMAL_CLOSE);
      this.#socket.setTimeout(CLOSE_MS, () => this.#socket.destroy());
    }
    await this.#ended.promise;
  }

  #read(chunk: Buffer): void {
    if (this.#head === undefined) {
      this.#reader.push(chunk);
      return;
    }
    this.#head += chunk.toString('latin1');
    const end = this.#head.indexOf('\r\n\r\n');
    if (end < 0) return;
    if (!this.#head.startsWith('HTTP/1.1 101')) {
      this.#socket.destroy(new Error(`the server refused: ${this.#head.slice(0, 400)}`));
      return;
    }
    const early = Buffer.from(this.#head.slice(end + 4), 'latin1');
    this.#head = undefined;
    if (this.#readyLetter === undefined) this.#ready();
    if (early.length > 0) this.#reader.push(early);
  }

  #ready(): void {
    this.#socket.setTimeout(0);
    this.#opened.resolve();
  }

  #take(opcode: number, bytes: Uint8Array, start: number, end: number): void {
    if (opcode === TEXT) {
      const letter = bytes[start + TYPE_AT];
      if (letter === MESSAGE) this.onMessage(bytes, start, end);
      else if (letter === ERROR) this.onError(Buffer.from(bytes.slice(start, end)).toString());
      else {
        if (letter === this.#readyLetter) this.#ready();
        if (letter === JOINED) this.onJoined();
      }
    } else if (opcode === PING) {
      this.pings += 1;
      this.#socket.write(clientFrame(PONG, Buffer.from(bytes.slice(start, end))));
    } else if (opcode === CLOSE) {
      if (end - start >= 2) this.#closeCode = ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
      // RFC 6455 5.5.1: answered, unless it is itself the answer.
      if (this.#closing) this.#socket.end();
      else this.#socket.end(clientFrame(CLOSE, Buffer.from(bytes.slice(start, end))));
      this.#closing = true;
    }
  }
}
