import type { EntryOf } from './facts.ts';
import type { Entry, Log, LoggedBatch, LoggedEvent } from './history.ts';

/** A good history of a real run, and the log that goes with it, to be spoilt. */
export class Material {
  entries: Entry[];
  events: LoggedEvent[];
  batches: LoggedBatch[];
  readonly epoch: string;

  constructor(entries: readonly Entry[], { epoch, events, batches }: Log) {
    this.entries = structuredClone([...entries]);
    this.events = structuredClone([...events]);
    this.batches = structuredClone([...batches]);
    this.epoch = epoch;
  }

  all<K extends Entry['kind']>(kind: K): EntryOf<K>[] {
    return this.entries.filter((entry): entry is EntryOf<K> => entry.kind === kind);
  }

  /** One from the middle of those that there are. */
  some<T>(of: readonly T[]): T {
    const one = of[Math.floor(of.length / 2)];
    if (one === undefined) throw new Error('the history does not hold what is to be spoilt');
    return one;
  }

  entry<K extends Entry['kind']>(kind: K, matches: (entry: EntryOf<K>) => boolean = () => true): EntryOf<K> {
    return this.some(this.all(kind).filter(matches));
  }

  event(action: string, matches: (event: LoggedEvent) => boolean = () => true): LoggedEvent {
    return this.some(this.events.filter((event) => event.action === action && matches(event)));
  }

  batchOf({ seq }: LoggedEvent): LoggedBatch {
    return this.some(
      this.batches.filter(({ first_seq, count }) => first_seq <= seq && seq < first_seq + count),
    );
  }

  /** Events that no walk has seen, so that what is done to them does not show in one. */
  get unwalked(): number {
    return Math.max(...this.all('walk').flatMap(({ events }) => events.map(({ seq }) => seq)));
  }

  drop(entry: Entry): void {
    this.entries.splice(this.entries.indexOf(entry), 1);
  }

  double(entry: Entry, change: Partial<EntryOf<'delivery'>> = {}): void {
    this.entries.splice(this.entries.indexOf(entry) + 1, 0, { ...entry, ...change } as Entry);
  }

  swap<T>(list: T[], one: T, other: T): void {
    const [a, b] = [list.indexOf(one), list.indexOf(other)];
    [list[a], list[b]] = [other, one];
  }

  /** Two neighbours of a kind that share what `key` says. */
  neighbours<K extends Entry['kind']>(
    kind: K,
    key: (entry: EntryOf<K>) => string | undefined,
  ): [EntryOf<K>, EntryOf<K>] {
    const all = this.all(kind);
    const pairs = all.flatMap((one, index): [EntryOf<K>, EntryOf<K>][] => {
      const other = all.slice(index + 1).find((later) => key(later) === key(one));
      return other === undefined || key(one) === undefined ? [] : [[one, other]];
    });
    return this.some(pairs);
  }
}
