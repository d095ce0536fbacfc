import { Counter, Gauge, Histogram, Registry } from '@prometheus-io/client';

/** A value and what tells it apart. Label values come from closed lists, never from what clients send. */
export type Sample = { labels: Record<string, string>; value: number };

/**
 * The registry of one app. Counters and gauges have no life of their own: their values are asked for when
 * somebody scrapes, so that nothing is paid for in between.
 */
export class Instruments {
  readonly #registry = new Registry();

  /** A number that goes up and down; undefined: not known, and then left out. */
  gauge(name: string, help: string, read: () => number | undefined): void {
    new Gauge({
      name,
      help,
      registers: [this.#registry],
      collect() {
        const value = read();
        if (value === undefined) this.remove();
        else this.set(value);
      },
    });
  }

  /** Numbers that go up and down, told apart by labels. */
  gauges(name: string, help: string, labelNames: string[], read: () => Sample[]): void {
    new Gauge({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.set(labels, value);
      },
    });
  }

  /** A number that only goes up. */
  counter(name: string, help: string, read: () => number): void {
    this.counters(name, help, [], () => [{ labels: {}, value: read() }]);
  }

  /** Numbers that only go up, told apart by labels. */
  counters(name: string, help: string, labelNames: string[], read: () => Sample[]): void {
    new Counter({
      name,
      help,
      labelNames,
      registers: [this.#registry],
      collect() {
        this.reset();
        for (const { labels, value } of read()) this.inc(labels, value);
      },
    });
  }

  /** A distribution; the values are told one by one as they come. */
  histogram(name: string, help: string, buckets: number[]): (value: number) => void {
    const histogram = new Histogram({ name, help, buckets, registers: [this.#registry] });
    return (value) => histogram.observe(value);
  }

  /** All values as they are now, in the text format of Prometheus, version 0.0.4. */
  text(): Promise<string> {
    return this.#registry.metrics();
  }
}
