import { CodedError } from '../../src/core/errors.ts';
import { ALGORITHMS, keysOfSet, type PublicKey } from '../../src/core/public-keys.ts';
import { TokenBucket } from '../../src/core/token-bucket.ts';

const KIB = 1024;
/** How often the set is fetched anew, so that a key that the issuer has withdrawn is forgotten. */
const REFRESH_MS = 10 * 60_000;
/** Unknown keys may have the set fetched so often at once, and then once per this time: anybody can name one. */
const MISSES = 4;
const MISS_MS = 10_000;
const FETCH_MS = 3_000;
const MAX_BYTES = 256 * KIB;

export type IssuerKeysOptions = {
  url: URL;
  /** Told of every attempt to fetch the set that failed. */
  onFailure: (error: Error) => void;
  /** Told of every answer: keys may have been withdrawn. */
  onKeys?: () => void;
  refreshMs?: number;
  missMs?: number;
};

/**
 * The keys that an issuer publishes. What is known stays known while the issuer cannot be reached; what is not
 * known is asked for, within a bound. Times out and fails closed: without an answer no unknown key is believed.
 */
export class IssuerKeys {
  readonly #url: URL;
  readonly #onFailure: (error: Error) => void;
  readonly #onKeys: () => void;
  readonly #misses: TokenBucket;
  readonly #refresh: NodeJS.Timeout;
  readonly #closing = new AbortController();
  /** As of the last answer; empty until there was one. */
  #keys: readonly PublicKey[] = [];
  /** Whether the last attempt had an answer, so that what is not in `#keys` does not exist. */
  #isCurrent = false;
  /** The attempt under way, shared by all who wait. */
  #fetching: Promise<void> | undefined;

  constructor({
    url,
    onFailure,
    onKeys = () => {},
    refreshMs = REFRESH_MS,
    missMs = MISS_MS,
  }: IssuerKeysOptions) {
    this.#url = url;
    this.#onFailure = onFailure;
    this.#onKeys = onKeys;
    this.#misses = new TokenBucket(1_000 / missMs, MISSES, performance.now());
    this.#refresh = setInterval(() => void this.fetch(), refreshMs);
    this.#refresh.unref();
  }

  /**
   * The keys that may have signed a token; none when the issuer has no such key.
   *
   * @param kid what the token calls its key; undefined: any that fits the algorithm
   * @throws CodedError `keys_unavailable` when only the issuer could tell, and does not answer
   */
  async find(algorithm: string, kid: string | undefined): Promise<readonly PublicKey[]> {
    // No answer of the issuer could make these good, so it is not asked.
    if (!ALGORITHMS.includes(algorithm)) return [];
    return this.#find((key) => key.algorithms.includes(algorithm) && (kid === undefined || kid === key.kid));
  }

  /** Whether the issuer publishes this key, as far as is known without asking. */
  has(thumbprint: string): boolean {
    return this.#keys.some((key) => key.thumbprint === thumbprint);
  }

  /**
   * Whether the issuer publishes this key.
   *
   * @throws CodedError `keys_unavailable`, as `find`
   */
  async publishes(thumbprint: string): Promise<boolean> {
    return (await this.#find((key) => key.thumbprint === thumbprint)).length > 0;
  }

  async #find(fits: (key: PublicKey) => boolean): Promise<readonly PublicKey[]> {
    const matching = () => this.#keys.filter(fits);
    if (matching().length > 0) return matching();
    if (this.#fetching !== undefined || this.#misses.take(performance.now())) await this.fetch();
    if (matching().length === 0 && !this.#isCurrent) {
      throw new CodedError(
        'keys_unavailable',
        'The issuer of this token does not answer, so its key cannot be looked up now; try again later.',
      );
    }
    return matching();
  }

  /** Fetches the set; never rejects. */
  fetch(): Promise<void> {
    this.#fetching ??= this.#load().finally(() => {
      this.#fetching = undefined;
    });
    return this.#fetching;
  }

  close(): void {
    clearInterval(this.#refresh);
    this.#closing.abort();
  }

  async #load(): Promise<void> {
    try {
      this.#keys = keysOfSet(await this.#get());
      this.#isCurrent = true;
      this.#onKeys();
    } catch (error) {
      this.#isCurrent = false;
      if (!this.#closing.signal.aborted) this.#onFailure(error as Error);
    }
  }

  async #get(): Promise<unknown> {
    const response = await fetch(this.#url, {
      headers: { accept: 'application/jwk-set+json, application/json' },
      // Where keys come from is said in the configuration, and nowhere else.
      redirect: 'error',
      signal: AbortSignal.any([AbortSignal.timeout(FETCH_MS), this.#closing.signal]),
    });
    if (response.status !== 200 || response.body === null) {
      await response.body?.cancel();
      throw new Error(`the answer has the status ${response.status}`);
    }
    let bytes = 0;
    const chunks: Uint8Array[] = [];
    for await (const chunk of response.body) {
      bytes += chunk.length;
      if (bytes > MAX_BYTES) throw new Error(`the answer is longer than ${MAX_BYTES} bytes`);
      chunks.push(chunk);
    }
    return JSON.parse(Buffer.concat(chunks).toString());
  }
}
