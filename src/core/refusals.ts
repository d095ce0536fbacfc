import { OutcomeUnknownError } from './errors.ts';
import type { Draft } from './events.ts';
import { OpenCounts } from './open-counts.ts';

/** The code of a source’s refusals of many kinds. */
const REST = '*';
const NOTHING = { pending: 0, since: 0, where: undefined };

/** Where a request was refused: closed lists, never what somebody made up. */
export type Where = { method: string; route: string };

/** What one event stands for. */
export type Tally = {
  /** The code of all of them; `*` where they are the rest of a source. */
  code: string;
  /** Where all of them were refused; undefined: in several places, or in none. */
  where: Where | undefined;
  /** How many refusals. */
  count: number;
  /** When the first of them was seen, in milliseconds since 1970. */
  since: number;
  /** From how many sources, counted up to a bound; undefined: from one, whom the event names. */
  sources: number | undefined;
};

/** Makes the event that stands for some refusals. */
export type RefusalDraft = (tally: Tally) => Draft;

/** Something that was refused. With the source, the action and the code are what refusals are folded by. */
export type Refusal = {
  action: string;
  code: string;
  where?: Where;
  /** Who was refused: a user, a network. */
  source: string;
  draft: RefusalDraft;
};

export type RefusalOptions = {
  record: (draft: Draft) => Promise<unknown>;
  /** One event per source, action and code stands for this many milliseconds of repeats. */
  windowMs: number;
  /** The most sources that are told apart at a time. */
  maxSources: number;
  /** The most kinds, of action and code, of one source that are told apart at a time. */
  maxKinds: number;
  /** The most sources that are counted where they share an event. */
  maxCounted: number;
  /**
   * Whether there may be one more event that names a source, beyond the one that each has in a window: asked before each
   * of them, and counted where it is so.
   */
  mayName: () => boolean;
  /** Milliseconds since 1970. */
  now: () => number;
};

/** What a window is for. */
type Purpose = {
  draft: RefusalDraft;
  action: string;
  code: string;
  /** Whose place it takes; undefined: nobody's, for sources share it. */
  owner: string | undefined;
  /** Whether its events need not be asked for: they are shared, or the first of their source. */
  isDue: boolean;
};

type Window = Purpose & {
  /** When this window began. */
  startedAt: number;
  /** Refusals that no event stands for yet, when the first of them was seen, and where they all were. */
  pending: number;
  since: number;
  where: Where | undefined;
  /** Whom the pending ones of a shared window are from. */
  sources: Set<string>;
};

/** Refusals that no event stands for yet, as they are added to a window. */
type Share = Pick<Window, 'pending' | 'since' | 'where'> & { sources: Iterable<string> };

/** Where both were refused, if that is one place. */
const common = (one: Where | undefined, other: Where | undefined): Where | undefined =>
  one?.method === other?.method && one?.route === other?.route ? one : undefined;

/**
 * Puts refusals on record without letting a flood of them fill the log. The first of a source, action and code is
 * recorded at once, its repeats as one event with a count when the window ends. A source with too many kinds has one
 * event more for each action, which names it. Where sources are too many, further ones share an event for each action
 * and code, with their number. While the log cannot be written the counts are kept, and recorded when it can: the
 * counts of all events add up to what was noted.
 *
 * A source has one place, whatever it does, so that none can take those of others. A window has one event at most and
 * keeps its place until it is over. So in `windowMs` there are at most `maxSources` events that each name a source for
 * the first time, and one for each action and code that sources share. All others that name a source, up to `maxKinds`
 * and one for each action, are asked for (`mayName`); where that is refused, they are folded into the shared ones.
 */
export class Refusals {
  readonly #options: RefusalOptions;
  /** Of sources that are told apart, by source and kind, or source and action for the rest of it. */
  readonly #own = new Map<string, Window>();
  /** How many of those each source has. */
  readonly #places: OpenCounts;
  /** Of all other sources, by kind. */
  readonly #shared = new Map<string, Window>();
  readonly #sweep: NodeJS.Timeout;
  /** Events being recorded now. */
  readonly #recording = new Set<Promise<void>>();

  constructor(options: RefusalOptions) {
    this.#options = options;
    this.#places = new OpenCounts(options.maxKinds);
    this.#sweep = setInterval(() => this.#endWindows(), options.windowMs / 4);
    this.#sweep.unref();
  }

  /** Notes one refusal; answers nobody and never throws. */
  note({ action, code, where, source, draft }: Refusal): void {
    const own = `${source}\n${action} ${code}`;
    const share = { pending: 1, since: this.#options.now(), where, sources: [source] };
    const hasPlace = this.#places.has(source);
    const hasRoom = hasPlace ? this.#places.hasRoom(source) : this.#places.size < this.#options.maxSources;
    const made = { draft, action, code, owner: source, isDue: !hasPlace };
    if (this.#own.has(own) || hasRoom) this.#addOwn(own, share, made);
    else if (hasPlace) this.#addOwn(`${source}\n${action}`, share, { ...made, code: REST });
    else this.#addShared(share, made);
  }

  /** Records what is still pending; resolves when the attempts have ended. */
  async close(): Promise<void> {
    clearInterval(this.#sweep);
    for (const [key, window] of this.#own) if (window.pending > 0) this.#recordOwn(key, window);
    for (const [key, window] of this.#shared) if (window.pending > 0) this.#record(this.#shared, key, window);
    await Promise.all(this.#recording);
  }

  /** Adds refusals to a window of their source, or to a shared one where it may not begin. */
  #addOwn(key: string, share: Share, made: Purpose): void {
    if (this.#own.has(key) || made.isDue || this.#options.mayName()) this.#add(this.#own, key, share, made);
    else this.#addShared(share, made);
  }

  #addShared(share: Share, { draft, action, code }: Purpose): void {
    const made = { draft, action, code, owner: undefined, isDue: true };
    this.#add(this.#shared, `${action} ${code}`, share, made);
  }

  /** Adds refusals to a window, which begins with them if there is none. */
  #add(windows: Map<string, Window>, key: string, share: Share, made: Purpose): void {
    const known = windows.get(key);
    if (known !== undefined) {
      this.#merge(known, share);
      return;
    }
    const window = { ...made, startedAt: this.#options.now(), ...NOTHING, sources: new Set<string>() };
    this.#merge(window, share);
    this.#open(windows, key, window);
    this.#record(windows, key, window);
  }

  #merge(window: Window, { pending, since, where, sources }: Share): void {
    const isFirst = window.pending === 0;
    window.since = isFirst ? since : Math.min(window.since, since);
    window.where = isFirst ? where : common(window.where, where);
    window.pending += pending;
    if (window.owner !== undefined) return;
    for (const source of sources) {
      if (window.sources.size < this.#options.maxCounted) window.sources.add(source);
    }
  }

  #open(windows: Map<string, Window>, key: string, window: Window): void {
    windows.set(key, window);
    if (window.owner !== undefined) this.#places.add(window.owner);
  }

  #end(windows: Map<string, Window>, key: string, { owner }: Window): void {
    windows.delete(key);
    if (owner !== undefined) this.#places.remove(owner);
  }

  #endWindows(): void {
    const now = this.#options.now();
    for (const windows of [this.#own, this.#shared]) {
      for (const [key, window] of windows) {
        if (now - window.startedAt < this.#options.windowMs) continue;
        if (window.pending === 0) this.#end(windows, key, window);
        else {
          window.startedAt = now;
          if (window.owner === undefined) this.#record(windows, key, window);
          else this.#recordOwn(key, window);
        }
      }
    }
  }

  /** Records what is pending of a source by its name, or else ends its window and adds it to the shared one. */
  #recordOwn(key: string, window: Window): void {
    const { pending, since, where, owner = '' } = window;
    if (window.isDue || this.#options.mayName()) {
      this.#record(this.#own, key, window);
      return;
    }
    window.pending = 0;
    this.#end(this.#own, key, window);
    this.#addShared({ pending, since, where, sources: [owner] }, window);
  }

  #record(windows: Map<string, Window>, key: string, window: Window): void {
    const { code, pending, since, where, sources, owner } = window;
    window.pending = 0;
    window.sources = new Set();
    const attempt = this.#options
      .record(
        window.draft({
          code,
          where,
          count: pending,
          since,
          sources: owner === undefined ? sources.size : undefined,
        }),
      )
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
          this.#merge(current, { pending, since, where, sources });
          if (!windows.has(key)) this.#open(windows, key, current);
        },
      )
      .finally(() => this.#recording.delete(attempt));
    this.#recording.add(attempt);
  }
}
