import type { Filter } from '../filter.ts';
import type { AuditEvent } from '../schemas.ts';
import { foldCase } from './case-folding.ts';

/** An event that filters look at; what several of them need is made once. */
export class Candidate {
  readonly event: AuditEvent;
  /** Undefined until somebody asks. */
  #foldedMessage: string | null | undefined;

  constructor(event: AuditEvent) {
    this.event = event;
  }

  /** The message without its case; null: there is none. */
  get foldedMessage(): string | null {
    if (this.#foldedMessage === undefined) {
      const { message } = this.event;
      this.#foldedMessage = message === null ? null : foldCase(message);
    }
    return this.#foldedMessage;
  }
}

/** What a filter may be looked up by, the most selective first. `q` is not among them: it has to be tried. */
export const termNames = [
  'session_id',
  'target_user_id',
  'user_id',
  'involves',
  'ip',
  'room',
  'action',
] as const;
export type TermName = (typeof termNames)[number];

/** A condition that an event can only meet with one of these values. */
export type Term = { name: TermName; values: readonly string[] };

/** A filter that is ready to be asked about any number of events. */
export type Matcher = {
  /** The most selective condition; undefined: there is none, or only `q`. */
  term: Term | undefined;
  /** Whether an event matches. The interval is not looked at: it is a range of seq, as for `listEvents`. */
  matches: (candidate: Candidate) => boolean;
};

type Test = Matcher['matches'];

/** One of some values; a Set costs more than it saves where there is one. */
function oneOf(field: 'action' | 'user_id', values: readonly string[]): Test {
  const [only] = values;
  if (values.length === 1) return ({ event }) => event[field] === only;
  const set = new Set<string | null>(values);
  return ({ event }) => set.has(event[field]);
}

function contains(text: string): Test {
  const needle = foldCase(text);
  return ({ foldedMessage }) => foldedMessage?.includes(needle) ?? false;
}

/** The same conditions as SQL has them, see `matching` in db/search.ts; cheap ones first. */
function testsOf({ action, user_id, involves, q, ...filter }: Filter): Test[] {
  const tests: Test[] = [];
  for (const name of ['session_id', 'target_user_id', 'ip', 'room'] as const) {
    const value = filter[name];
    if (value !== undefined) tests.push(({ event }) => event[name] === value);
  }
  if (user_id !== undefined) tests.push(oneOf('user_id', user_id));
  if (action !== undefined) tests.push(oneOf('action', action));
  if (involves !== undefined) {
    tests.push(({ event }) => event.user_id === involves || event.target_user_id === involves);
  }
  if (q !== undefined) tests.push(contains(q));
  return tests;
}

function termOf(filter: Filter): Term | undefined {
  for (const name of termNames) {
    const value = filter[name];
    if (value !== undefined) return { name, values: typeof value === 'string' ? [value] : value };
  }
  return undefined;
}

/** Makes a filter ready. */
export function compileFilter(filter: Filter): Matcher {
  const tests = testsOf(filter);
  return {
    term: termOf(filter),
    matches: (candidate) => {
      for (const test of tests) if (!test(candidate)) return false;
      return true;
    },
  };
}
