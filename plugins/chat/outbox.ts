/** Who has something to send. */
export type Sender = { flush: () => void };

/**
 * Gathers what one turn of the event loop sends, so that it leaves in one system call for each socket, all of
 * them in a row. In busy rooms those calls are most of the cost.
 */
export class Outbox {
  #senders: Sender[] = [];
  readonly #flush = (): void => {
    const senders = this.#senders;
    this.#senders = [];
    for (const sender of senders) sender.flush();
  };

  /** Flushes a sender before the turn is over. */
  add(sender: Sender): void {
    if (this.#senders.push(sender) === 1) process.nextTick(this.#flush);
  }
}
