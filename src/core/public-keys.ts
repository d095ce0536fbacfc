import { createHash, createPublicKey, type KeyObject } from 'node:crypto';

/** A key of somebody who issues tokens. */
export type PublicKey = {
  key: KeyObject;
  /** The only algorithms whose signatures it is asked to check (RFC 8725 3.1). */
  algorithms: readonly string[];
  /** How tokens name it. */
  kid: string | undefined;
  /** What tells it from all others, whatever it is called (RFC 7638, with SHA-256). */
  thumbprint: string;
};

/** Every algorithm that any such key can have. */
export const ALGORITHMS: readonly string[] = ['RS256', 'PS256', 'ES256', 'EdDSA'];

/** RFC 7518 3.3 */
const MIN_RSA_BITS = 2_048;
/** The most keys of one set; a token that names none is tried against each. */
const MAX_KEYS = 64;

const PEM = /^\s*-----BEGIN PUBLIC KEY-----[A-Za-z0-9+/=\s]+-----END PUBLIC KEY-----\s*$/;

/** The algorithms that fit a key, by its kind; none for kinds that are not taken. */
function algorithmsOf({ asymmetricKeyType, asymmetricKeyDetails }: KeyObject): readonly string[] {
  const { modulusLength = 0, namedCurve } = asymmetricKeyDetails ?? {};
  switch (asymmetricKeyType) {
    case 'rsa':
      return modulusLength >= MIN_RSA_BITS ? ['RS256', 'PS256'] : [];
    case 'ec':
      return namedCurve === 'prime256v1' ? ['ES256'] : [];
    case 'ed25519':
      return ['EdDSA'];
    default:
      return [];
  }
}

/** What `read` gives, or undefined where it throws: for key material, which is good or of no use. */
function orNothing<T>(read: () => T): T | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** RFC 7638 3: what makes a key, and nothing else, its members in order. Node exports just those of a public key. */
function thumbprintOf(key: KeyObject): string {
  const jwk = key.export({ format: 'jwk' });
  const canonical = JSON.stringify(jwk, Object.keys(jwk).toSorted());
  return createHash('sha256').update(canonical).digest('base64url');
}

/** A key that can check signatures by these algorithms; none when there are none. */
const publicKey = (key: KeyObject, algorithms: readonly string[], kid?: string): PublicKey[] =>
  algorithms.length === 0 ? [] : [{ key, algorithms, kid, thumbprint: thumbprintOf(key) }];

/** A public key written as PEM (SPKI, RFC 7468 13); undefined when the text is not one, or its kind is not taken. */
export function keyOfPem(text: string): PublicKey | undefined {
  if (!PEM.test(text)) return undefined;
  const key = orNothing(() => createPublicKey(text.trim()));
  return key === undefined ? undefined : publicKey(key, algorithmsOf(key))[0];
}

type Jwk = Partial<Record<'kty' | 'n' | 'e' | 'crv' | 'x' | 'y' | 'kid' | 'alg' | 'use', string>> & {
  key_ops?: unknown;
};

/** RFC 7517 4; what is private in it is not looked at. */
function keyOfJwk({ kty = '', kid, alg, use, key_ops, ...members }: Jwk): PublicKey[] {
  if (use !== undefined && use !== 'sig') return [];
  if (key_ops !== undefined && !(Array.isArray(key_ops) && key_ops.includes('verify'))) return [];
  const { n, e, crv, x, y } = members;
  const key = orNothing(() =>
    createPublicKey({
      key: kty === 'RSA' ? { kty, n, e } : kty === 'EC' ? { kty, crv, x, y } : { kty, crv, x },
      format: 'jwk',
    } as Parameters<typeof createPublicKey>[0]),
  );
  if (key === undefined) return [];
  const algorithms = algorithmsOf(key).filter((name) => alg === undefined || name === alg);
  return publicKey(key, algorithms, typeof kid === 'string' ? kid : undefined);
}

/**
 * The keys of a JWK Set (RFC 7517 5) that can check a signature of a kind that is taken. The others are passed
 * over, as the standard asks, secrets among them.
 *
 * @throws Error when it is no set, or too large a one
 */
export function keysOfSet(document: unknown): PublicKey[] {
  const { keys } = (document ?? {}) as { keys?: unknown };
  if (!Array.isArray(keys)) throw new Error('the answer is not a JWK Set');
  if (keys.length > MAX_KEYS) throw new Error(`the JWK Set has more than ${MAX_KEYS} keys`);
  return keys.flatMap((jwk: unknown) => (typeof jwk === 'object' && jwk !== null ? keyOfJwk(jwk) : []));
}
