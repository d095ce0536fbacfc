import type { Draft } from '../../src/core/events.ts';
import type { Random } from './random.ts';
import { Story } from './story.ts';
import { Timeline } from './timeline.ts';

/** As the server's own batches are bounded. */
const MAX_BATCH = 512;
/** Events of a batch beside its first, when it is as busy as on average. */
const MEAN_EXTRA = 8;
/** How long an event has waited for its commit, at most. */
const MAX_WAIT_MS = 5;

/** A row of audit_batch; times are in the log's text form. */
export type SeedBatch = { firstSeq: number; count: number; number: number; timestamp: string };
/** A row of audit_event, without what its batch says. */
export type SeedEvent = { seq: number; timestamp: string; occurredAt: string; draft: Draft };

/** Microseconds since 1970 in the log's text form. */
export function formatMicroseconds(us: number): string {
  const micros = String(us % 1_000).padStart(3, '0');
  return `${new Date(Math.floor(us / 1_000)).toISOString().slice(0, -1)}${micros}Z`;
}

export type LogOptions = {
  events: number;
  /** The number of the first event. */
  firstSeq: number;
  /** When the last event happens at the latest, in microseconds since 1970. */
  end: number;
  random: Random;
};

/**
 * The rows of a made-up log, part by part: first the batches of a part, then its events, so that whoever writes them
 * takes the numbers first, as the server does. Nothing is kept but what is still open in the story.
 */
export class SeedLog {
  /** Before everything in it. */
  readonly start: string;
  readonly #options: LogOptions;
  readonly #timeline: Timeline;
  readonly #story: Story;
  #batches = 0;
  #placed = 0;

  constructor(options: LogOptions) {
    this.#options = options;
    this.#timeline = new Timeline(options.end, options.random);
    this.#story = new Story(options.events, options.random);
    this.start = formatMicroseconds(this.#timeline.start);
  }

  /** The next part: batches of `most` events together at most; undefined after the last one. */
  next(most: number): { batches: SeedBatch[]; events: () => Generator<SeedEvent> } | undefined {
    const { events, firstSeq, random } = this.#options;
    const left = Math.min(most, events - this.#placed);
    if (left === 0) return undefined;
    const batches: SeedBatch[] = [];
    const times: number[] = [];
    for (let rest = left; rest > 0; ) {
      const { busy } = this.#timeline.at(this.#placed / events);
      const extra = Math.floor(-Math.log(1 - random.next()) * MEAN_EXTRA * busy);
      const count = Math.min(rest, MAX_BATCH, 1 + extra);
      const { at } = this.#timeline.at((this.#placed + count) / events);
      this.#batches += 1;
      times.push(Math.floor(at / 1_000));
      batches.push({
        firstSeq: firstSeq + this.#placed,
        count,
        number: this.#batches,
        timestamp: formatMicroseconds(at),
      });
      this.#placed += count;
      rest -= count;
    }
    return { batches, events: () => this.#eventsOf(batches, times) };
  }

  *#eventsOf(batches: readonly SeedBatch[], times: readonly number[]): Generator<SeedEvent> {
    const { random } = this.#options;
    for (const [index, { firstSeq, count, timestamp }] of batches.entries()) {
      const now = times[index] ?? 0;
      const seen = Array.from({ length: Math.min(count, MAX_WAIT_MS) }, (_, wait) =>
        formatMicroseconds((now - wait) * 1_000),
      );
      for (let seq = firstSeq; seq < firstSeq + count; seq += 1) {
        yield { seq, timestamp, occurredAt: random.pick(seen), draft: this.#story.next(now) };
      }
    }
  }
}
