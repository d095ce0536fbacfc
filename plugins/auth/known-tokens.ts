import type { Principal } from './principal.ts';

/** How long a token is known. */
const KNOWN_MS = 10_000;
const MAX_KNOWN = 1_000;

type Known = { principal: Principal; until: number };

/**
 * Whose the tokens are that were found good within the last seconds. To verify one is half of what it costs to refuse a
 * request, and whoever asks too often comes with the same one each time.
 */
export class KnownTokens {
  /** Oldest first, so those that are over stand in front. */
  readonly #known = new Map<string, Known>();

  /** Goes up whenever all are forgotten. */
  #generation = 0;

  /**
   * Whose a token is.
   *
   * @param now milliseconds since 1970
   * @param verify asked when it is not known
   * @throws whatever `verify` does
   */
  async find(token: string, now: number, verify: (token: string) => Promise<Principal>): Promise<Principal> {
    const known = this.#get(token, now);
    if (known !== undefined) return known;
    const generation = this.#generation;
    const principal = await verify(token);
    // Else its key may have been withdrawn while it was verified.
    if (generation === this.#generation) this.#add(token, principal, now);
    return principal;
  }

  /** Forgets them all, for the key of one may have been withdrawn. */
  clear(): void {
    this.#generation += 1;
    this.#known.clear();
  }

  #get(token: string, now: number): Principal | undefined {
    const known = this.#known.get(token);
    if (known === undefined || known.until <= now) return undefined;
    const { expiresAt } = known.principal;
    return expiresAt === undefined || now < expiresAt ? known.principal : undefined;
  }

  #add(token: string, principal: Principal, now: number): void {
    this.#known.delete(token);
    for (const [other, { until }] of this.#known) {
      if (until > now && this.#known.size < MAX_KNOWN) break;
      this.#known.delete(other);
    }
    this.#known.set(token, { principal, until: now + KNOWN_MS });
  }
}
