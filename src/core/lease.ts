/** How long a lease lasts from when it was asked for, in milliseconds; the database grants it (db/migrations). */
export const LEASE_MS = 10_000;
/** A process that gave no beat for so long stood still. It beats every second; the rest is for a busy machine. */
const STANDSTILL_MS = 3_000;

/**
 * What an instance may believe of its lease without asking. Its clock is the monotonic one, and it counts from
 * before the question was sent, so it never believes longer than the database does.
 *
 *     held ---- no renewal for 10 s ---------------------------> lapsed
 *     lapsed -- a renewal, or a new term ----------------------> held
 *     held ---- the process stood still when the time was up --> lost, for ever
 *     any ----- another gave it up ----------------------------> lost, for ever
 *
 * A process that was stopped cannot know what was done in its place. One that only had no answer from the
 * database goes on, unless the database says that it was given up.
 */
export class Lease {
  #heldUntil: number;
  #lastBeat: number;
  #lost = false;
  readonly #onLost: () => void;
  /** Those who wait until it is held, or lost. */
  #waiting: PromiseWithResolvers<void> | undefined;

  /**
   * @param askedAt when it was asked for, in milliseconds of the monotonic clock
   * @param onLost called once, before anybody else can learn that it is lost
   */
  constructor(askedAt: number, onLost: () => void) {
    this.#onLost = onLost;
    this.#heldUntil = askedAt + LEASE_MS;
    this.#lastBeat = askedAt;
  }

  /** Whether what this instance knows may be shown to others. */
  get isHeld(): boolean {
    return !this.isLost && performance.now() < this.#heldUntil;
  }

  get isLost(): boolean {
    // Looked at before anything else that happens after a standstill.
    const now = performance.now();
    const stoodStill = now - this.#lastBeat > STANDSTILL_MS;
    if (stoodStill && this.#lastBeat < this.#heldUntil && now >= this.#heldUntil) this.lose();
    return this.#lost;
  }

  /** How long it is held for sure, in milliseconds; 0 when it is not. */
  get remainingMs(): number {
    return this.isHeld ? this.#heldUntil - performance.now() : 0;
  }

  /** The process runs; called much more often than the lease is long. */
  beat(): void {
    if (!this.isLost) this.#lastBeat = performance.now();
  }

  /** The database granted it. */
  renewed(askedAt: number): void {
    if (this.isLost) return;
    this.#heldUntil = Math.max(this.#heldUntil, askedAt + LEASE_MS);
    if (this.isHeld) this.#wake();
  }

  /** It is over with this lease. */
  lose(): void {
    if (this.#lost) return;
    this.#lost = true;
    this.#onLost();
    this.#wake();
  }

  /** Resolves when it is held again, or lost; undefined when it is held now. */
  whenSettled(): Promise<void> | undefined {
    if (this.isHeld || this.#lost) return undefined;
    this.#waiting ??= Promise.withResolvers();
    return this.#waiting.promise;
  }

  #wake(): void {
    this.#waiting?.resolve();
    this.#waiting = undefined;
  }
}
