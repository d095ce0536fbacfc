import type { AuditEvent } from '../schemas.ts';
import { Candidate, type Matcher, type TermName } from './matcher.ts';

/** Who wants to hear of events that match. */
export type Listener = { matcher: Matcher };

/**
 * Listeners by the most selective condition of their filters, so that an event is held only against the filters
 * that it may well match, however many there are.
 */
export class Listeners<L extends Listener> {
  /** By the name of the condition, and the value that it asks for. Only what somebody listens for is there. */
  readonly #byTerm = new Map<TermName, Map<string, Set<L>>>();
  /** Those whose filters can only be tried. */
  readonly #others = new Set<L>();

  add(listener: L): void {
    const { term } = listener.matcher;
    if (term === undefined) {
      this.#others.add(listener);
      return;
    }
    const byValue = this.#byTerm.get(term.name) ?? new Map<string, Set<L>>();
    this.#byTerm.set(term.name, byValue);
    for (const value of term.values) {
      const listeners = byValue.get(value);
      if (listeners === undefined) byValue.set(value, new Set([listener]));
      else listeners.add(listener);
    }
  }

  /** Also one that is not there. */
  remove(listener: L): void {
    const { term } = listener.matcher;
    this.#others.delete(listener);
    if (term === undefined) return;
    const byValue = this.#byTerm.get(term.name);
    for (const value of term.values) {
      const listeners = byValue?.get(value);
      listeners?.delete(listener);
      if (listeners?.size === 0) byValue?.delete(value);
    }
    if (byValue?.size === 0) this.#byTerm.delete(term.name);
  }

  /** Tells each listener whose filter an event matches, once. It may be removed while it is told. */
  tell(event: AuditEvent, onMatch: (listener: L) => void): void {
    const candidate = new Candidate(event);
    const ask = (listeners: Iterable<L> | undefined): void => {
      if (listeners === undefined) return;
      for (const listener of listeners) if (listener.matcher.matches(candidate)) onMatch(listener);
    };
    for (const [name, byValue] of this.#byTerm) {
      if (name === 'involves') {
        const { user_id, target_user_id } = event;
        if (user_id !== null) ask(byValue.get(user_id));
        if (target_user_id !== null && target_user_id !== user_id) ask(byValue.get(target_user_id));
      } else {
        const value = event[name];
        if (value !== null) ask(byValue.get(value));
      }
    }
    ask(this.#others);
  }
}
