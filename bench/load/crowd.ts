import { Latencies, type Latency } from '../stats.ts';
import type { Client } from './client.ts';
import { within } from './closed.ts';
import { closeAll, connectAll, frameOf, messageFrame } from './connect.ts';
import type { CrowdState, Target } from './orders.ts';

const SPEAK_MS = 30_000;

/** Connections that are in no room and say nothing. */
export class Crowd {
  readonly #clients: Client[];
  readonly #closed = new Map<number, number>();

  private constructor(clients: Client[]) {
    this.#clients = clients;
    for (const client of clients) {
      client.onEnd = (code) => this.#closed.set(code, (this.#closed.get(code) ?? 0) + 1);
    }
  }

  static async open(target: Target, count: number): Promise<Crowd> {
    return new Crowd(await connectAll(target, count, () => ''));
  }

  state(): CrowdState {
    const ended = [...this.#closed.values()].reduce((sum, count) => sum + count, 0);
    return {
      open: this.#clients.length - ended,
      minPings: this.#clients.reduce((least, { pings }) => Math.min(least, pings), Number.POSITIVE_INFINITY),
      closed: Object.fromEntries(this.#closed),
    };
  }

  /** Some of them, spread over the crowd, join a room of their own and say a message, all at once. */
  async speak(speakers: number): Promise<{ join: Latency; message: Latency }> {
    const join = new Latencies();
    const message = new Latencies();
    const step = this.#clients.length / speakers;
    const chosen = Array.from({ length: speakers }, (_, index) => this.#clients[Math.floor(index * step)]);
    await within(
      SPEAK_MS,
      'joins and messages of idle connections',
      Promise.all(chosen.map((client, index) => client && speakOne(client, index, join, message))),
    );
    return { join: join.summary(), message: message.summary() };
  }

  async release(): Promise<void> {
    await closeAll(this.#clients);
  }
}

function speakOne(client: Client, index: number, join: Latencies, message: Latencies): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let sentAt = performance.now();
  client.onError = (text) => reject(new Error(`an idle connection was refused: ${text}`));
  client.onJoined = () => {
    join.add(performance.now() - sentAt);
    sentAt = performance.now();
    client.send(messageFrame(index));
  };
  client.onMessage = () => {
    message.add(performance.now() - sentAt);
    resolve();
  };
  client.send(frameOf({ type: 'join', room: `talk-${index}` }));
  return promise;
}
