import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../support/client.ts';
import type { EntryOf } from './facts.ts';
import type { History } from './history.ts';
import { Participant } from './participant.ts';

export type LoadOptions = {
  history: History;
  tokenFor: (user: string) => Promise<string>;
  /** Where servers are now, in no order. */
  targets: () => readonly string[];
  clients?: number;
  /** Messages per second of all clients together. */
  rate?: number;
  /** Characters added to every message. */
  fillerLength?: number;
};

const ROOMS = ['red', 'green', 'blue'] as const;
const CLIENTS = 9;
const RATE = 90;
/** One client leaves and comes back all the time. */
const WANDER_MS = 700;
const DRAIN_MS = 5_000;

/** People who talk in a few rooms, each in two of them, for as long as a row of the suite lasts. */
export class Load {
  readonly participants: Participant[] = [];
  readonly #options: LoadOptions;
  readonly #timers: NodeJS.Timeout[] = [];

  private constructor(options: LoadOptions) {
    this.#options = options;
  }

  static async start(options: LoadOptions): Promise<Load> {
    const load = new Load(options);
    const { history, targets, clients = CLIENTS } = options;
    for (let n = 0; n < clients; n += 1) {
      const user = `user-${n}`;
      const rooms = [ROOMS[n % 3] ?? 'red', ROOMS[(n + 1) % 3] ?? 'red'];
      const token = await options.tokenFor(user);
      const target = (attempt: number): string | undefined => {
        const all = targets();
        return all[(n + attempt) % Math.max(1, all.length)];
      };
      load.participants.push(new Participant({ user, token, rooms, history, target }));
    }
    load.#talk();
    return load;
  }

  #talk(): void {
    const { rate = RATE, fillerLength = 0 } = this.#options;
    const filler = fillerLength === 0 ? '' : ` ${'x'.repeat(fillerLength)}`;
    const everyMs = (1_000 * this.participants.length) / rate;
    for (const [n, participant] of this.participants.entries()) {
      // Staggered, so that batches differ.
      const begin = (): void => {
        this.#timers.push(setInterval(() => participant.say(filler), everyMs));
      };
      this.#timers.push(setTimeout(begin, (n * everyMs) / this.participants.length));
    }
    const wanderer = this.participants[0];
    this.#timers.push(setInterval(() => void wanderer?.wander('red'), WANDER_MS));
  }

  /** How many messages sent at or after a time (of performance.now()) were acknowledged. */
  acknowledgedSince(at: number): number {
    const { entries } = this.#options.history;
    const sent = new Set<string>();
    let count = 0;
    for (const entry of entries.slice(entries.findLastIndex((other) => other.at < at) + 1)) {
      if (entry.kind === 'invoke') sent.add(entry.text);
      if (entry.kind === 'ok' && sent.has(entry.text)) count += 1;
    }
    return count;
  }

  /** When the first message that was sent at or after a time was acknowledged; undefined while none was. */
  firstAcknowledgedSince(at: number): number | undefined {
    const { entries } = this.#options.history;
    const sent = new Set<string>();
    for (const entry of entries.slice(entries.findLastIndex((other) => other.at < at) + 1)) {
      if (entry.kind === 'invoke') sent.add(entry.text);
      if (entry.kind === 'ok' && sent.has(entry.text)) return entry.at;
    }
    return undefined;
  }

  /** What senders were told, of a kind, since a time. */
  answersSince<K extends 'ok' | 'fail' | 'unknown'>(kind: K, at: number): EntryOf<K>[] {
    return this.#options.history.entries.filter(
      (entry): entry is EntryOf<K> & { at: number } => entry.kind === kind && entry.at >= at,
    );
  }

  /** Resolves when everybody is in all their rooms. */
  settled(): Promise<void> {
    return until('everybody is in all their rooms', () =>
      this.participants.every(({ isSettled }) => isSettled),
    );
  }

  /** Says no more; resolves when all is answered. */
  async hush(): Promise<void> {
    this.#silence();
    await until('every message has an answer', () => this.participants.every(({ pending }) => pending === 0));
  }

  /** Resolves when everybody has got the newest message of their rooms; after that, records that it is quiet. */
  async drained(newest: ReadonlyMap<string, number>): Promise<void> {
    const hasAll = (participant: Participant): boolean =>
      participant.isSettled &&
      [...participant.rooms].every((room) => participant.seen(room) >= (newest.get(room) ?? -1));
    const giveUp = performance.now() + DRAIN_MS;
    // Who has not got all by then never will: not an error here, for the checker says what is missing.
    while (!this.participants.every(hasAll) && performance.now() < giveUp) await delay(20);
    this.#options.history.add({ kind: 'quiet' });
  }

  /** Closes every connection. */
  async stop(): Promise<void> {
    this.#silence();
    await Promise.all(this.participants.map((participant) => participant.stop()));
  }

  #silence(): void {
    for (const timer of this.#timers) clearTimeout(timer);
  }
}
