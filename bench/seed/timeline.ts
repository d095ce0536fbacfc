import type { Random } from './random.ts';

const HOUR_US = 3_600 * 1_000_000;
const DAYS = 90;
const HOURS = DAYS * 24;
/** One hour in so many is a burst, and then so much more happens. */
const BURST_CHANCE = 0.03;
const BURST = 20;

/** How busy an hour of the day is: most at two in the afternoon, least at two at night. */
const dayCurve = (hour: number): number => 1 - 0.9 * Math.cos(((hour - 2) / 24) * 2 * Math.PI);

/**
 * When things happen over ninety days: more by day than at night, less on two days in seven, and in bursts. Read
 * forward only.
 */
export class Timeline {
  /** The first instant, in microseconds since 1970. */
  readonly start: number;
  readonly #weights: Float64Array;
  readonly #sum: number;
  /** The hour that was asked for last, and the weight of those before. */
  #hour = 0;
  #before = 0;

  /** @param end the last instant, in microseconds since 1970 */
  constructor(end: number, random: Random) {
    this.start = end - HOURS * HOUR_US;
    this.#weights = Float64Array.from({ length: HOURS }, (_, hour) => {
      const weekend = Math.floor(hour / 24) % 7 >= 5 ? 0.4 : 1;
      return dayCurve(hour % 24) * weekend * (random.chance(BURST_CHANCE) ? BURST : 1);
    });
    this.#sum = this.#weights.reduce((all, weight) => all + weight, 0);
  }

  /**
   * When a share of all has happened, from 0 to 1 and never less than before: in microseconds since 1970; and how
   * busy it is then, 1 being the average.
   */
  at(share: number): { at: number; busy: number } {
    const wanted = share * this.#sum;
    let weight = this.#weights[this.#hour] ?? 1;
    while (wanted > this.#before + weight && this.#hour < HOURS - 1) {
      this.#before += weight;
      this.#hour += 1;
      weight = this.#weights[this.#hour] ?? 1;
    }
    const within = Math.min(1, (wanted - this.#before) / weight);
    return {
      at: this.start + Math.floor((this.#hour + within) * HOUR_US),
      busy: (weight * HOURS) / this.#sum,
    };
  }
}
