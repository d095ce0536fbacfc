import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

/** So many requests may stand behind another one before their connection is read no further. */
const MOST_BEHIND = 16;

/** A request and what answers it. */
type Exchange = [request: IncomingMessage, response: ServerResponse];

/**
 * Hands the requests of each connection on one after the other, as their answers go: Node hands over whatever came in one
 * piece at once, which may be hundreds.
 */
export class OneByOne {
  readonly #handle: RequestListener;
  /** What stands behind the request that is being answered; of connections where one is. */
  readonly #behind = new WeakMap<Socket, Exchange[]>();
  /** Of these no more is handed on. */
  readonly #ended = new WeakSet<Socket>();

  /** @param handle begins to answer a request */
  constructor(handle: RequestListener) {
    this.#handle = handle;
  }

  /** Whether a connection has a request that is being answered, or none will be any more. */
  isBusy(socket: Socket): boolean {
    return this.#behind.has(socket) || this.#ended.has(socket);
  }

  /** Whether no more is handed on of a connection. */
  hasEnded(socket: Socket): boolean {
    return this.#ended.has(socket);
  }

  /** Takes a request from Node. */
  receive(request: IncomingMessage, response: ServerResponse): void {
    const { socket } = request;
    if (this.#ended.has(socket)) return;
    const behind = this.#behind.get(socket);
    if (behind === undefined) {
      this.#behind.set(socket, []);
      this.#begin(request, response);
      return;
    }
    behind.push([request, response]);
    if (behind.length >= MOST_BEHIND) socket.pause();
  }

  /**
   * The request that is being answered is the last one of its connection, which is read no further: neither what comes nor
   * its end is seen.
   */
  end(socket: Socket): void {
    this.#ended.add(socket);
    socket.pause();
    const behind = this.#behind.get(socket)?.length ?? 0;
    // What Node has made of them stays for as long as the connection does, and nobody well-meaning sends as many.
    if (behind > MOST_BEHIND) socket.destroy();
    this.#behind.delete(socket);
  }

  #begin(request: IncomingMessage, response: ServerResponse): void {
    response.once('close', () => this.#next(request.socket));
    this.#handle(request, response);
  }

  #next(socket: Socket): void {
    const behind = this.#behind.get(socket);
    const following = behind?.shift();
    if (behind?.length === 0) socket.resume();
    if (following === undefined || socket.destroyed) this.#behind.delete(socket);
    else this.#begin(...following);
  }
}
