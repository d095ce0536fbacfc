/** Lets others wait until something holds, which is looked at anew whenever something has changed. */
export class Condition {
  #waiters: (() => void)[] = [];

  /** Waits until something holds. */
  async until(holds: () => boolean): Promise<void> {
    while (!holds()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  /** Something has changed. */
  changed(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
