import { OutcomeUnknownError } from './errors.ts';
import type { Draft } from './events.ts';

/** Makes the event that stands for `count` refusals, the first of which was seen at `since` (ms since 1970). */
export type RefusalDraft = (count: number, since: number) => Draft;

export type RefusalOptions = {
  record: (draft: Draft) => Promise<unknown>;
  /** One event per source and code stands for this many milliseconds of repeats. */
  windowMs: number;
  /** The most sources that are told apart at a time; the others share one event per kind of refusal. */
  maxSources: number;
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
};

/**
 * Puts refusals on record without letting a flood of them fill the log: the first of a source and code is
 * recorded at once, its repeats as one event with a count when the window ends. While the log cannot be
 * written the counts are kept, and recorded when it can.
 */
export class Refusals {
  readonly #options: RefusalOptions;
  readonly #windows = new Map<string, Window>();
  readonly #sweep: NodeJS.Timeout;
  /** Events being recorded now. */
  readonly #recording = new Set<Promise<void>>();

  constructor(options: RefusalOptions) {
    this.#options = options;
    this.#sweep = setInterval(() => this.#endWindows(), options.windowMs / 4);
    this.#sweep.unref();
  }

  /**
   * Notes one refusal; answers nobody and never throws.
   *
   * @param kind action and code, the part of the key that outsiders cannot make up
   * @param source who was refused: a user, an address
   * @param draft the event for this source
   * @param shared the event for all sources beyond `maxSources`, naming none of them
   */
  note(kind: string, source: string, draft: RefusalDraft, shared: RefusalDraft): void {
    const now = this.#options.now();
    const own = `${kind}\n${source}`;
    const full = !this.#windows.has(own) && this.#windows.size >= this.#options.maxSources;
    const key = full ? kind : own;
    const window = this.#windows.get(key);
    if (window !== undefined) {
      if (window.pending === 0) window.since = now;
      window.pending += 1;
      return;
    }
    const fresh = { draft: full ? shared : draft, startedAt: now, pending: 1, since: now };
    this.#windows.set(key, fresh);
    this.#record(key, fresh);
  }

  /** Records what is still pending; resolves when the attempts have ended. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const [key, window] of this.#windows) if (window.pending > 0) this.#record(key, window);
    await Promise.all(this.#recording);
  }

  #endWindows(): void {
    const now = this.#options.now();
    for (const [key, window] of this.#windows) {
      if (now - window.startedAt < this.#options.windowMs) continue;
      if (window.pending === 0) this.#windows.delete(key);
      else {
        window.startedAt = now;
        this.#record(key, window);
      }
    }
  }

  #record(key: string, window: Window): void {
    const { pending: count, since } = window;
    window.pending = 0;
    const attempt = this.#options
      .record(window.draft(count, since))
      .catch((error: unknown) => {
        if (error instanceof OutcomeUnknownError) return error.settled;
        throw error;
      })
      .then(
        () => {},
        () => {
          // Not on record: the count goes back, and the end of the window tries again. The attempt may have
          // outlived its window, and there may be a new one by now.
          const current = this.#windows.get(key) ?? window;
          current.since = current.pending === 0 ? since : Math.min(current.since, since);
          current.pending += count;
          this.#windows.set(key, current);
        },
      )
      .finally(() => this.#recording.delete(attempt));
    this.#recording.add(attempt);
  }
}
