/** How often each answer came, by who got it. */
export class Tally {
  readonly #counts = new Map<string, Map<string, number>>();
  /** What must not happen, as it was first seen. */
  readonly faults: string[] = [];

  /** Counts an answer. */
  add(kind: string, answer: string | number): void {
    const counts = this.#counts.get(kind) ?? new Map<string, number>();
    counts.set(String(answer), (counts.get(String(answer)) ?? 0) + 1);
    this.#counts.set(kind, counts);
  }

  /** Keeps a fault; the first twenty are shown. */
  fault(what: string): void {
    this.faults.push(what);
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
