import { WebSocket } from 'ws';
import { tokenFor, type World } from './world.ts';

export type CrowdOptions = {
  size: number;
  target: () => string | undefined;
  /** The room of all; none unless given. */
  room?: string;
  /** Whether they come back when they are cut, as people do: after a while that differs. */
  persistent?: boolean;
  /** Whether they read what they are sent. */
  deaf?: boolean;
  /** Whether they leave pings without an answer. */
  mute?: boolean;
};

const CAME_BACK_MS = 1_000;

/** Many connections that say nothing and record nothing; the log is judged all the same. */
export class Crowd {
  readonly #options: CrowdOptions;
  readonly #token: string;
  readonly #sockets = new Set<WebSocket>();
  readonly #welcomed = new Set<WebSocket>();
  #dispersed = false;
  /** Attempts to connect that failed. */
  refused = 0;
  /** The close codes of those that had been connected. */
  readonly closed: number[] = [];

  private constructor(options: CrowdOptions, token: string) {
    this.#options = options;
    this.#token = token;
  }

  /** Begins to connect all of them; dispersed when the row ends. */
  static async gather(world: World, options: CrowdOptions): Promise<Crowd> {
    const crowd = new Crowd(options, await tokenFor('crowd'));
    world.t.teardown(() => crowd.disperse());
    for (let n = 0; n < options.size; n += 1) crowd.#connect();
    return crowd;
  }

  /** How many are connected and welcome. */
  get present(): number {
    return this.#welcomed.size;
  }

  /** Cuts all connections; resolves when they are gone. */
  async disperse(): Promise<void> {
    this.#dispersed = true;
    await Promise.all(
      [...this.#sockets].map((socket) => {
        const closed = new Promise((resolve) => socket.once('close', resolve));
        socket.terminate();
        return closed;
      }),
    );
  }

  #connect(): void {
    const { target, room = '', persistent, deaf, mute } = this.#options;
    const url = target();
    if (this.#dispersed) return;
    const again = (): void => {
      if (persistent === true) setTimeout(() => this.#connect(), Math.random() * CAME_BACK_MS);
    };
    if (url === undefined) {
      again();
      return;
    }
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?room=${room}`, {
      headers: { authorization: `Bearer ${this.#token}` },
      handshakeTimeout: 8_000,
      autoPong: mute !== true,
    });
    this.#sockets.add(socket);
    socket.once('message', () => {
      this.#welcomed.add(socket);
      if (deaf === true) socket.pause();
    });
    socket.on('error', () => {});
    socket.on('close', (code) => {
      this.#sockets.delete(socket);
      if (this.#welcomed.delete(socket)) this.closed.push(code);
      else this.refused += 1;
      again();
    });
  }
}
