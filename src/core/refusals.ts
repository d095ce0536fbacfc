import { OutcomeUnknownError } from './errors.ts';
import type { Draft } from './events.ts';

/** What one event stands for. */
export type Tally = {
  /** How many refusals. */
  count: number;
  /** When the first of them was seen, in milliseconds since 1970. */
  since: number;
  /** From how many sources, counted up to a bound; 1 in the event of a source. */
  sources: number;
};

/** Makes the event that stands for some refusals. */
export type RefusalDraft = (tally: Tally) => Draft;

/** Something that was refused. */
export type Refusal = {
  /** What was refused and where, made of closed lists; with the source, what refusals are folded by. */
  kind: string;
  /** Who was refused: a user, a network. */
  source: string;
  /** The event that names this source. */
  draft: RefusalDraft;
  /** The coarser kind by which the sources are folded that are too many. */
  group: string;
  /** The event for those, which names none of them. */
  shared: RefusalDraft;
};

export type RefusalOptions = {
  record: (draft: Draft) => Promise<unknown>;
  /** One event per source and kind stands for this many milliseconds of repeats. */
  windowMs: number;
  /** The most sources and kinds that are told apart at a time, and so the most events in a window that name one. */
  maxSources: number;
  /** The most sources of one group that are counted. */
  maxCounted: number;
  /** Milliseconds since 1970. */
  now: () => number;
};

type Window = {
  draft: RefusalDraft;
  /** When this window began. */
  startedAt: number;
  /** Refusals that no event stands for yet, and when the first of them was seen. */
  pending: number;
  since: number;
  /** Whom the pending ones are from; undefined: from one, whom the event names. */
  sources: Set<string> | undefined;
};

/**
 * Puts refusals on record without letting a flood of them fill the log. The first of a source and kind is recorded at
 * once, its repeats as one event with a count when the window ends. Where sources are too many, further ones share an
 * event for each group, with their number. While the log cannot be written the counts are kept, and recorded when it
 * can: the counts of all events add up to what was noted.
 *
 * A window has one event at most and keeps its place until it is over, so there are at most `maxSources` events in
 * `windowMs` that name a source, and one more for each group.
 */
export class Refusals {
  readonly #options: RefusalOptions;
  /** Of sources that are told apart, by kind and source. */
  readonly #own = new Map<string, Window>();
  /** Of all others, by group. */
  readonly #shared = new Map<string, Window>();
  readonly #sweep: NodeJS.Timeout;
  /** Events being recorded now. */
  readonly #recording = new Set<Promise<void>>();

  constructor(options: RefusalOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => this.#endWindows(), options.windowMs / 4);
    this.#sweep.unref();
  }

  /** Notes one refusal; answers nobody and never throws. */
  note({ kind, source, draft, group, shared }: Refusal): void {
    const key = `${kind}\n${source}`;
    const known = this.#own.get(key);
    if (known !== undefined) this.#add(known, source);
    else if (this.#own.size < this.#options.maxSources) this.#begin(this.#own, key, draft, undefined);
    else {
      const others = this.#shared.get(group);
      if (others !== undefined) this.#add(others, source);
      else this.#begin(this.#shared, group, shared, new Set([source]));
    }
  }

  /** Records what is still pending; resolves when the attempts have ended. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const windows of [this.#own, this.#shared]) {
      for (const [key, window] of windows) if (window.pending > 0) this.#record(windows, key, window);
    }
    await Promise.all(this.#recording);
  }

  #add(window: Window, source: string): void {
    if (window.pending === 0) window.since = this.#options.now();
    window.pending += 1;
    this.#count(window, source);
  }

  #count({ sources }: Window, source: string): void {
    if (sources !== undefined && sources.size < this.#options.maxCounted) sources.add(source);
  }

  #begin(
    windows: Map<string, Window>,
    key: string,
    draft: RefusalDraft,
    sources: Set<string> | undefined,
  ): void {
    const now = this.#options.now();
    const window = { draft, startedAt: now, pending: 1, since: now, sources };
    windows.set(key, window);
    this.#record(windows, key, window);
  }

  #endWindows(): void {
    const now = this.#options.now();
    for (const windows of [this.#own, this.#shared]) {
      for (const [key, window] of windows) {
        if (now - window.startedAt < this.#options.windowMs) continue;
        if (window.pending === 0) windows.delete(key);
        else {
          window.startedAt = now;
          this.#record(windows, key, window);
        }
      }
    }
  }

  #record(windows: Map<string, Window>, key: string, window: Window): void {
    const { pending: count, since, sources } = window;
    window.pending = 0;
    if (sources !== undefined) window.sources = new Set();
    const attempt = this.#options
      .record(window.draft({ count, since, sources: sources?.size ?? 1 }))
      .catch((error: unknown) => {
        if (error instanceof OutcomeUnknownError) return error.settled;
        throw error;
      })
      .then(
        () => {},
        () => {
          // Not on record: the count goes back, and the end of the window tries again. The attempt may have
          // outlived its window, and there may be a new one by now.
          const current = windows.get(key) ?? window;
          current.since = current.pending === 0 ? since : Math.min(current.since, since);
          current.pending += count;
          for (const source of sources ?? []) this.#count(current, source);
          windows.set(key, current);
        },
      )
      .finally(() => this.#recording.delete(attempt));
    this.#recording.add(attempt);
  }
}
