import type { Test } from 'tap';
import { WebSocket } from 'ws';
import type { ServerFrame } from '../../src/core/frame-schemas.ts';
import type { TestApp } from './app.ts';

export type Frame = ServerFrame;
type FrameOf<T extends Frame['type']> = Extract<Frame, { type: T }>;

export type ConnectOptions = {
  room?: string;
  token?: string;
  headers?: Record<string, string>;
  /** The whole query string, instead of one made from `room`. */
  query?: string;
};

/** A chat client over a real socket. Frames are kept until a test asks for them. */
export class Client {
  readonly socket: WebSocket;
  /** Every frame that came, in order. */
  readonly frames: Frame[] = [];
  /** Frames as they came, byte for byte. */
  readonly raw: string[] = [];
  readonly closed: Promise<{ code: number; reason: string }>;
  #taken = 0;
  #wake: () => void = () => {};

  constructor(socket: WebSocket) {
    this.socket = socket;
    socket.on('message', (data: Buffer) => {
      this.raw.push(data.toString());
      this.frames.push(JSON.parse(data.toString()) as Frame);
      this.#wake();
    });
    socket.on('error', () => {});
    this.closed = new Promise((resolve) => {
      socket.on('close', (code, reason) => {
        resolve({ code, reason: reason.toString() });
        this.#wake();
      });
    });
  }

  /** Sends a frame, or text as it is. */
  send(frame: unknown): void {
    this.socket.send(typeof frame === 'string' ? frame : JSON.stringify(frame));
  }

  /** The next frame of a type that was not asked for yet, waiting for it; frames before it are passed over. */
  async next<T extends Frame['type']>(
    type: T,
    matches: (frame: FrameOf<T>) => boolean = () => true,
  ): Promise<FrameOf<T>> {
    for (;;) {
      while (this.#taken < this.frames.length) {
        const frame = this.frames[this.#taken++] as Frame;
        if (frame.type === type && matches(frame as FrameOf<T>)) return frame as FrameOf<T>;
      }
      if (this.socket.readyState === WebSocket.CLOSED) throw new Error(`closed while waiting for ${type}`);
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
  }

  /** The frames of a type so far. */
  all<T extends Frame['type']>(type: T): FrameOf<T>[] {
    return this.frames.filter((frame): frame is FrameOf<T> => frame.type === type);
  }

  /** Sends a frame with a fresh label and waits for its acknowledgement. */
  async ask(frame: Record<string, unknown>): Promise<FrameOf<'ack'>> {
    const ref = `r${this.frames.length}-${this.#taken}`;
    this.send({ ...frame, ref });
    return this.next('ack', (ack) => ack.ref === ref);
  }

  async close(code = 1000): Promise<void> {
    this.socket.close(code);
    await this.closed;
  }
}

/** Opens a session for a user with a chat token; cut when the test ends. The welcome is the first frame. */
export async function connect(
  t: Test,
  target: Pick<TestApp, 'url' | 'token'>,
  user: string,
  { room, token, headers = {}, query }: ConnectOptions = {},
): Promise<Client> {
  const search = query ?? (room === undefined ? '' : `room=${encodeURIComponent(room)}`);
  const socket = new WebSocket(`${target.url.replace('http', 'ws')}/ws?${search}`, {
    headers: { authorization: `Bearer ${token ?? (await target.token(user, 'chat'))}`, ...headers },
  });
  t.teardown(() => socket.terminate());
  const client = new Client(socket);
  await new Promise((resolve, reject) => {
    socket.once('open', resolve);
    socket.once('error', reject);
    socket.once('unexpected-response', (_request, response) => {
      reject(Object.assign(new Error(`refused: ${response.statusCode}`), { status: response.statusCode }));
    });
  });
  return client;
}

/** Waits until a condition holds; fails after ten seconds, unless told otherwise, naming it. */
export async function until(
  what: string,
  condition: () => boolean | Promise<boolean>,
  giveUpMs = 10_000,
): Promise<void> {
  const giveUp = performance.now() + giveUpMs;
  while (!(await condition())) {
    if (performance.now() > giveUp) throw new Error(`waited in vain until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
