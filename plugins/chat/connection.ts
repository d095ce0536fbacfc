import type { Duplex } from 'node:stream';
import type { WebSocket } from 'ws';
import type { ErrorCode } from '../../src/core/errors.ts';
import { isStorable } from '../../src/core/text.ts';
import { CLOSE_GRACE_MS, type Traffic } from '../websocket.ts';
import type { Outbox } from './outbox.ts';

const MIB = 1024 * 1024;
/** A reader who has more than this waiting for so long is too slow, and closed with 1013. */
const SLOW_BYTES = 4 * MIB;
const SLOW_MS = 5_000;
/** And at once beyond this. More than any one batch or page can bring, for nobody can read within one turn. */
const MAX_BUFFERED_BYTES = 32 * MIB;
/** A replay waits for the reader after so many bytes; meanwhile the room's new frames are held, up to a bound. */
const PACE_BYTES = MIB / 4;
const MAX_HELD_BYTES = 8 * MIB;
/** Small frames are joined into one buffer: cheaper than to tell the kernel of each. */
const MAX_COPIED_BYTES = 16 * 1024;

/** How ws names what was wrong with a frame, as close codes (RFC 6455 7.4.1); any other fault is 1002. */
const closeCodes: Record<string, number> = {
  WS_ERR_INVALID_UTF8: 1007,
  WS_ERR_UNSUPPORTED_MESSAGE_LENGTH: 1009,
  WS_ERR_UNSUPPORTED_DATA_PAYLOAD_LENGTH: 1009,
  WS_ERR_TOO_MANY_BUFFERED_PARTS: 1008,
};

/** Whose connection it is. */
export type ConnectionOwner = {
  /** A text frame came. */
  onText: (text: string) => void;
  /** A frame was refused before it could be read. */
  onRefused: (code: ErrorCode) => void;
  /** The server closes; what was received and not handled yet comes too late. */
  onClosing: () => void;
  /** It is over: the close code and the reason, the peer's if it gave any, else the server's own. */
  onClosed: (code: number, reason: string) => void;
};

export type ConnectionOptions = {
  socket: WebSocket;
  /** The TCP or TLS connection under the socket. */
  stream: Duplex;
  traffic: Traffic;
  outbox: Outbox;
  /** When the bearer's token expires, in milliseconds since 1970; undefined: never. */
  expiresAt: number | undefined;
};

/** Frames of rooms whose replay is still being sent; that of a connection without any. Never written to. */
const NOTHING_HELD = new Map<string, Buffer[]>();

/** The WebSocket of one session: the only thing that writes to it, and that decides when it has to end. */
export class Connection {
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  readonly #owner: ConnectionOwner;
  readonly #traffic: Traffic;
  readonly #outbox: Outbox;
  /** When the bearer's token expires, in milliseconds since 1970. */
  readonly #expiresAt: number | undefined;
  /** Frames of rooms whose replay is still being sent, so that the replay comes first. */
  #held: Map<string, Buffer[]> = NOTHING_HELD;
  /** The bytes of all of `#held`. */
  #heldBytes = 0;
  /** When the peer began to have too much waiting; undefined while it keeps up. */
  #slowSince: number | undefined;
  /** Whether the peer gave a sign of life since the last ping. */
  #alive = true;
  /** When its last frame came, by the monotonic clock; at first, when it was opened. */
  #heardAt = performance.now();
  /** Frames that this turn of the event loop sends, and their bytes; empty when it is over. */
  #gathered: Buffer[] = [];
  #gatheredBytes = 0;
  /** The server's own code and word for the end; set once it has closed or found a fault. */
  #endCode: number | undefined;
  #endReason = '';

  constructor(owner: ConnectionOwner, { socket, stream, traffic, outbox, expiresAt }: ConnectionOptions) {
    this.#owner = owner;
    this.#socket = socket;
    this.#stream = stream;
    this.#traffic = traffic;
    this.#outbox = outbox;
    this.#expiresAt = expiresAt;
    // The plugin's own listener would keep the request of the handshake for as long as the connection lives.
    this.#socket.removeAllListeners('error');
    // Attached at once, for frames may come in the same packet as the handshake.
    this.#socket.on('message', (data: Buffer, isBinary: boolean) => this.#receive(data, isBinary));
    this.#socket.on('pong', () => {
      this.#alive = true;
    });
    this.#socket.on('error', (error: Error & { code?: string }) => this.#fault(error.code));
    this.#socket.on('close', (code: number, reason: Buffer) => this.#end(code, reason.toString()));
  }

  /** Whether frames can still be sent. */
  get isOpen(): boolean {
    return this.#socket.readyState === this.#socket.OPEN;
  }

  /** Sends one frame, if the peer can still be reached and keeps up. */
  send(bytes: Buffer): void {
    if (!this.isOpen) return;
    if (this.#isTooSlow(this.#socket.bufferedAmount + this.#gatheredBytes)) {
      this.close(1013, 'too slow');
      return;
    }
    this.#traffic.framesSent += 1;
    this.#gatheredBytes += bytes.length;
    if (this.#gathered.push(bytes) === 1) this.#outbox.add(this);
  }

  /** Hands what was gathered to the kernel. */
  flush(): void {
    const frames = this.#gathered;
    if (frames.length === 0) return;
    const bytes = this.#gatheredBytes;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    // After a close frame, ws's own included, no other may follow (RFC 6455 5.5.1).
    if (!this.isOpen) return;
    if (frames.length > 1 && bytes <= MAX_COPIED_BYTES) this.#stream.write(Buffer.concat(frames, bytes));
    else {
      this.#stream.cork();
      for (const frame of frames) this.#stream.write(frame);
      this.#stream.uncork();
    }
  }

  /** Sends a frame of a room, or holds it while the room is held. */
  sendInRoom(room: string, bytes: Buffer): void {
    const held = this.#held.get(room);
    if (held === undefined) this.send(bytes);
    else if (this.#heldBytes + bytes.length <= MAX_HELD_BYTES) {
      held.push(bytes);
      this.#heldBytes += bytes.length;
    } else this.close(1013, 'too slow');
  }

  /** Holds the frames of a room back until `release`. */
  hold(room: string): void {
    if (this.#held === NOTHING_HELD) this.#held = new Map();
    this.#held.set(room, []);
  }

  /** Sends what was held. */
  release(room: string): void {
    for (const bytes of this.#held.get(room) ?? []) {
      this.#heldBytes -= bytes.length;
      this.send(bytes);
    }
    this.#held.delete(room);
  }

  /** Sends many frames no faster than the peer reads them. */
  async sendPaced(frames: readonly Buffer[]): Promise<void> {
    let unread = 0;
    for (const bytes of frames) {
      if (!this.isOpen) return;
      unread += bytes.length;
      if (unread < PACE_BYTES) this.send(bytes);
      else {
        unread = 0;
        this.#traffic.framesSent += 1;
        this.flush();
        const late = setTimeout(() => this.close(1013, 'too slow'), SLOW_MS);
        // Called when the bytes have gone to the kernel, or never will.
        await new Promise<void>((resolve) => this.#stream.write(bytes, () => resolve()));
        clearTimeout(late);
      }
    }
  }

  /** Stops reading; TCP then slows the sender down. */
  pause(): void {
    this.#socket.pause();
  }

  /** Reads on. */
  resume(): void {
    if (this.#socket.isPaused) this.#socket.resume();
  }

  /** Closes the connection, and cuts it when the peer does not answer. */
  close(code: number, reason: string): void {
    this.#endCode ??= code;
    this.#endReason ||= reason;
    this.#owner.onClosing();
    this.flush();
    this.#socket.close(code, reason);
    this.#cutLater();
  }

  /** Cuts the connection at once, without a word. */
  cut(): void {
    this.#endCode ??= 1006;
    this.#socket.terminate();
  }

  /** Closes the connection if the bearer's token has expired. @param now milliseconds since 1970 */
  checkExpiry(now: number): void {
    if (this.#expiresAt !== undefined && now >= this.#expiresAt && this.#endCode === undefined) {
      this.close(4401, 'the token has expired');
    }
  }

  /** Closes the connection if no frame has come since a time of the monotonic clock. */
  checkIdle(since: number): void {
    // While it is not read, nobody knows what has come.
    if (this.#heardAt < since && this.#endCode === undefined && !this.#socket.isPaused) {
      this.close(1008, 'idle for too long');
    }
  }

  /** Pings the peer; cuts the connection when the last ping was not answered. */
  ping(): void {
    // While it is not read, no pong can be seen.
    if (this.#socket.isPaused) return;
    if (!this.#alive) {
      this.#endReason ||= 'no answer to a ping';
      this.#socket.terminate();
      return;
    }
    this.#alive = false;
    this.#socket.ping();
  }

  #receive(data: Buffer, isBinary: boolean): void {
    this.#alive = true;
    this.#heardAt = performance.now();
    this.#traffic.framesReceived += 1;
    // ws goes on reading until the peer has answered the close.
    if (this.#endCode !== undefined) return;
    if (isBinary) {
      this.#owner.onRefused('bad_frame');
      this.close(1003, 'only text frames are understood');
    } else this.#owner.onText(data.toString());
  }

  /** ws found a frame that breaks the protocol or a limit, and closes with the fitting code by itself. */
  #fault(name: string | undefined): void {
    this.#cutLater();
    if (!name?.startsWith('WS_ERR')) return;
    this.#endCode ??= closeCodes[name] ?? 1002;
    this.#endReason ||= 'the frame breaks the protocol or a limit';
    this.#owner.onRefused(this.#endCode === 1009 ? 'too_large' : 'bad_frame');
  }

  #end(code: number, reason: string): void {
    // 1006 is ws's word for an end without a close frame of the peer; ours says more.
    const known = code === 1006 ? (this.#endCode ?? code) : code;
    this.#owner.onClosed(known, reason === '' || !isStorable(reason) ? this.#endReason : reason);
  }

  /** For a peer that does not answer a close frame. */
  #cutLater(): void {
    setTimeout(() => this.#socket.terminate(), CLOSE_GRACE_MS).unref();
  }

  /** Judged over time: what one turn of the event loop sends, nobody can have read within it. */
  #isTooSlow(waiting: number): boolean {
    if (waiting <= SLOW_BYTES) {
      this.#slowSince = undefined;
      return false;
    }
    const now = performance.now();
    this.#slowSince ??= now;
    return waiting > MAX_BUFFERED_BYTES || now - this.#slowSince > SLOW_MS;
  }
}
