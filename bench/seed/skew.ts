import type { Random } from './random.ts';

/**
 * Draws from so many things of which few are common and most are rare (Zipf): the n-th comes in proportion to
 * `1 / n ** exponent`. By Vose’s alias method, so that a draw costs the same however many there are.
 */
export class Skew {
  readonly #count: number;
  /** How often a place stands for itself rather than for its alias. */
  readonly #keeps: Float64Array;
  readonly #alias: Uint32Array;

  constructor(count: number, exponent: number) {
    this.#count = count;
    this.#keeps = new Float64Array(count).fill(1);
    this.#alias = new Uint32Array(count);
    const weights = Float64Array.from({ length: count }, (_, n) => 1 / (n + 1) ** exponent);
    const sum = weights.reduce((all, weight) => all + weight, 0);
    const shares = weights.map((weight) => (weight / sum) * count);
    const small: number[] = [];
    const large: number[] = [];
    for (const [place, share] of shares.entries()) (share < 1 ? small : large).push(place);
    for (let poor = small.pop(), rich = large.pop(); poor !== undefined && rich !== undefined; ) {
      const share = shares[poor] ?? 1;
      this.#keeps[poor] = share;
      this.#alias[poor] = rich;
      const left = (shares[rich] ?? 1) - (1 - share);
      shares[rich] = left;
      poor = left < 1 ? rich : small.pop();
      if (left < 1) rich = large.pop();
    }
  }

  /** The place of what was drawn, from 0, the most common. */
  draw(random: Random): number {
    const place = random.below(this.#count);
    return random.next() < (this.#keeps[place] ?? 1) ? place : (this.#alias[place] ?? 0);
  }
}
