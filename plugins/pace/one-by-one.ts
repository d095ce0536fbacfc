import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** So many requests may stand behind one that is being answered (RFC 9112 9.3.2). Browsers and proxies send none so. */
const MOST_BEHIND = 16;

/** A request and what answers it. */
type Exchange = [request: IncomingMessage, response: ServerResponse];

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
  /** What stands behind the request that is being answered; of connections where one is, or none will be any more. */
  readonly #behind = new WeakMap<Socket, Exchange[]>();
  /** Of these no more is handed on. */
  readonly #ended = new WeakSet<Socket>();

  constructor(options: OneByOneOptions) {
    this.#options = options;
  }

  /** Whether a connection has a request that is being answered, or none will be any more. */
  isBusy(socket: Socket): boolean {
    return this.#behind.has(socket);
  }

  /** Whether no more is handed on of a connection. */
  hasEnded(socket: Socket): boolean {
    return this.#ended.has(socket);
  }

  /** Takes a request from Node. */
  receive(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    const behind = this.#behind.get(socket);
    if (behind === undefined) {
      this.#behind.set(socket, []);
      this.#begin(request, response);
    } else if (behind.length < MOST_BEHIND) behind.push([request, response]);
    // What stood in the same packet comes after all.
    else if (!socket.destroyed) this.#options.cut(socket);
  }

  /**
   * The request that is being answered is the last one of its connection, which is read no further: neither what comes nor
   * its end is seen.
   */
  end(socket: Socket): void {
    this.#ended.add(socket);
    socket.pause();
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    response.once('close', () => this.#next(request.socket));
    this.#options.handle(request, response);
  }

  #next(socket: Socket): void {
    if (socket.destroyed || this.#ended.has(socket)) return;
    const following = this.#behind.get(socket)?.shift();
    if (following === undefined) this.#behind.delete(socket);
    else this.#begin(...following);
  }
}
