/** The middle of several measurements, with how far they lie apart. */
export type Spread = { median: number; min: number; max: number };

/** The value that `share` of all are at or below (nearest rank). `sorted` is ascending; NaN when it is empty. */
export function percentile(sorted: ArrayLike<number>, share: number): number {
  const rank = Math.max(1, Math.ceil(share * sorted.length));
  return sorted[rank - 1] ?? Number.NaN;
}

/** Of an even number of values, the mean of the two in the middle. NaN when there are none. */
export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length / 2;
  return ((sorted[Math.ceil(middle) - 1] ?? Number.NaN) + (sorted[Math.floor(middle)] ?? Number.NaN)) / 2;
}

/** What could not be had (null, or no finite number) is left out; null when nothing is left. */
export function spread(values: readonly (number | null)[]): Spread | null {
  const known = values.filter((value) => value !== null).filter(Number.isFinite);
  if (known.length === 0) return null;
  return { median: median(known), min: Math.min(...known), max: Math.max(...known) };
}

/**
 * How one arm compares with another, round by round, so that what disturbs the machine for a while disturbs
 * both sides of a ratio. Rounds that only one of them has are left out.
 */
export function ratios(above: readonly number[], below: readonly number[]): Spread | null {
  const rounds = Math.min(above.length, below.length);
  return spread(above.slice(0, rounds).map((value, round) => value / (below[round] ?? Number.NaN)));
}

/** What is told of many latencies, in milliseconds. */
export type Latency = { count: number; p50: number; p99: number; max: number };

/** Latencies of one measurement, gathered without making garbage for each. */
export class Latencies {
  #values = new Float64Array(65_536);
  #count = 0;

  /** Adds one, in milliseconds. */
  add(value: number): void {
    if (this.#count === this.#values.length) {
      const larger = new Float64Array(2 * this.#values.length);
      larger.set(this.#values);
      this.#values = larger;
    }
    this.#values[this.#count] = value;
    this.#count += 1;
  }

  summary(): Latency {
    const sorted = this.#values.subarray(0, this.#count).sort();
    return {
      count: this.#count,
      p50: percentile(sorted, 0.5),
      p99: percentile(sorted, 0.99),
      max: percentile(sorted, 1),
    };
  }
}
