/** Answers of one kind that are told apart, and faults that are kept; a long run must not grow by them. */
const MAX_KEPT = 100;

/** How often each answer came, by who got it. */
export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();
  /** What must not happen, as it was first seen. */
  readonly faults: string[] = [];

  /** Counts an answer. */
  add(kind: string, answer: string | number): void {
    const counts = this.#counts.get(kind) ?? new Map<string, number>();
    const key = counts.size < MAX_KEPT || counts.has(String(answer)) ? String(answer) : 'others';
    counts.set(key, (counts.get(key) ?? 0) + 1);
    this.#counts.set(kind, counts);
  }

  /** Keeps a fault, if it is among the first. */
  fault(what: string): void {
    if (this.faults.length < MAX_KEPT) this.faults.push(what);
  }

  /** One line for each kind. */
  lines(): string[] {
    return [...this.#counts].toSorted().map(([kind, counts]) => {
      const parts = [...counts]
        .toSorted(([, a], [, b]) => b - a)
        .map(([answer, count]) => `${answer} ${count}`);
      return `  ${kind.padEnd(10)} ${parts.join(', ')}`;
    });
  }
}
