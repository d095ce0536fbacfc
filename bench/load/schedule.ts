/**
 * The plan of an open loop: message k is due at `startsAt + k / rate`, whatever became of those before it.
 * Latency counts from that moment, so that what waits because of a slow server is counted.
 */
export class Schedule {
  readonly #startsAt: number;
  readonly #rate: number;
  readonly #connections: number;
  #next = 0;

  /** @param startsAt milliseconds @param rate messages per second, over all connections */
  constructor(startsAt: number, rate: number, connections: number) {
    this.#startsAt = startsAt;
    this.#rate = rate;
    this.#connections = connections;
  }

  /** When the next message is due, in milliseconds. */
  get dueAt(): number {
    return this.#startsAt + (this.#next * 1_000) / this.#rate;
  }

  /** Takes every message due by now, in order: told the connection and the intended time of each. */
  takeDue(now: number, send: (connection: number, dueAt: number) => void): void {
    for (let { dueAt } = this; dueAt <= now; dueAt = this.dueAt) {
      const connection = this.#next % this.#connections;
      this.#next += 1;
      send(connection, dueAt);
    }
  }
}
