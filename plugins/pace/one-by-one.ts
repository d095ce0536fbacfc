import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** So many requests may stand behind one that is being answered (RFC 9112 9.3.2). Browsers and proxies send none so. */
const MOST_BEHIND = 16;

/** A request and what answers it. */
type Exchange = { request: IncomingMessage; response: ServerResponse };

/** A request that is being answered, and what stands behind it. */
type Line = { current: Exchange; behind: Exchange[] };

export type OneByOneOptions = {
  /** Begins to answer a request. */
  handle: RequestListener;
  /** Called once for a connection with too many requests that do not wait for their answers; to cut it. */
  cut: (socket: Socket) => void;
};

/**
 * Hands the requests of each connection on one after the other, as their answers go. Node hands over all that came in one
 * packet at once, some 1,500 of them, and keeps what is answered, open files included, until those before it have left.
 */
export class OneByOne {
  readonly #options: OneByOneOptions;
  /** Of connections where a request is being answered. */
  readonly #lines = new WeakMap<Socket, Line>();
  /** Of these no more is handed on. */
  readonly #ended = new WeakSet<Socket>();

  constructor(options: OneByOneOptions) {
    this.#options = options;
  }

  /** Whether a connection has a request that is being answered. */
  isBusy(socket: Socket): boolean {
    return this.#lines.has(socket);
  }

  /** Whether no more is handed on of a connection. */
  hasEnded(socket: Socket): boolean {
    return this.#ended.has(socket);
  }

  /** Takes a request from Node. */
  receive(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const exchange = { request, response };
    const line = this.#lines.get(socket);
    if (line === undefined) this.#begin({ current: exchange, behind: [] });
    else if (line.behind.length < MOST_BEHIND) line.behind.push(exchange);
    // What stood in the same packet comes after all.
    else if (!socket.destroyed) this.#options.cut(socket);
  }

  /**
   * The request that is being answered is the last one of its connection, which is read no further: neither what comes nor
   * its end is seen.
   */
  end(socket: Socket): void {
    this.#ended.add(socket);
    // Not before the packet is parsed: after each request Node makes its connection go on.
    queueMicrotask(() => socket.pause());
  }

  /**
   * Ends a connection with the answer that is under way, or within it if part of that has left; false where none is.
   */
  endAfterAnswer(socket: Socket): boolean {
    const line = this.#lines.get(socket);
    if (line === undefined) return false;
    const { response } = line.current;
    if (response.headersSent) socket.destroy();
    else {
      response.setHeader('connection', 'close');
      this.end(socket);
    }
    return true;
  }

  #begin(line: Line): void {
    const { request, response } = line.current;
    this.#lines.set(request.socket, line);
    response.once('close', () => this.#next(request.socket, line.behind));
    this.#options.handle(request, response);
  }

  #next(socket: Socket, behind: Exchange[]): void {
    // One that is closed after its last answer still counts as busy.
    if (!socket.writable || this.#ended.has(socket)) return;
    const following = behind.shift();
    if (following === undefined) {
      this.#lines.delete(socket);
      return;
    }
    // What the answer before has set; Node does so only for a connection that was idle.
    socket.setTimeout(0);
    this.#begin({ current: following, behind });
  }
}
