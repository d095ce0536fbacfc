import type { KeyObject } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { isLoopback } from '../../src/config.ts';
import { keyOfPem } from '../../src/core/public-keys.ts';
import { SetupError } from '../../src/core/setup-error.ts';
import { IssuerKeys } from './issuer-keys.ts';

/** A key that tokens are checked with. */
export type TokenKey = {
  key: Uint8Array | KeyObject;
  /** Of a key that an issuer publishes, and may withdraw; undefined: one that is good for as long as the server runs. */
  thumbprint: string | undefined;
};

/**
 * Finds the keys that a token may be checked with: those whose algorithm is the token’s own, so that no key is
 * ever taken for one of another kind (RFC 8725 2.1).
 *
 * @throws CodedError `keys_unavailable` when that cannot be known now
 */
export type KeySource = (algorithm: string, kid: string | undefined) => Promise<readonly TokenKey[]>;

export type KeyOptions = {
  /** The secret of HS256; undefined: such tokens are not taken. */
  secret: string | undefined;
  /** JWT_PUBLIC_KEY, as given. */
  publicKey: string | undefined;
  jwksUrl: string | undefined;
};

const IS_PEM = /-----BEGIN/;

function secretSource(secret: string): KeySource {
  // Else whoever has the public key, which is everybody, could sign.
  if (IS_PEM.test(secret)) {
    throw new SetupError('JWT_SECRET holds a PEM, not a secret; a public key belongs in JWT_PUBLIC_KEY.');
  }
  const key = { key: new TextEncoder().encode(secret), thumbprint: undefined };
  return async (algorithm) => (algorithm === 'HS256' ? [key] : []);
}

async function publicKeySource(setting: string): Promise<KeySource> {
  // What is set is never shown: it may be a secret.
  const text = IS_PEM.test(setting)
    ? setting
    : await readFile(setting, 'utf8').catch((error: NodeJS.ErrnoException) => {
        throw new SetupError(
          `JWT_PUBLIC_KEY is neither PEM nor the path of a file that can be read (${error.code}).`,
          error,
        );
      });
  if (/PRIVATE KEY-----/.test(text)) {
    throw new SetupError(
      'JWT_PUBLIC_KEY is a private key, which this server must not have; “openssl pkey -pubout” makes the public one.',
    );
  }
  const known = keyOfPem(text);
  if (known === undefined) {
    throw new SetupError(
      'JWT_PUBLIC_KEY must be one public key as PEM (-----BEGIN PUBLIC KEY-----): RSA of 2048 bits or more, EC ' +
        'P-256, or Ed25519.',
    );
  }
  const key = { key: known.key, thumbprint: undefined };
  return async (algorithm) => (known.algorithms.includes(algorithm) ? [key] : []);
}

/** Where an issuer publishes its keys. @throws SetupError */
function issuerUrl(setting: string): URL {
  if (!URL.canParse(setting)) throw new SetupError('JWKS_URL is not a URL.');
  const url = new URL(setting);
  const host = url.hostname.replace(/^\[|\]$/g, '');
  if (url.username !== '' || url.password !== '') {
    throw new SetupError('JWKS_URL must not hold a user name or a password; public keys need none.');
  }
  if (url.protocol !== 'https:' && !isLoopback(host)) {
    throw new SetupError(
      'JWKS_URL must begin with https:// (http:// only on loopback): whoever can change its answer can sign tokens.',
    );
  }
  return url;
}

/**
 * Everything that is configured to check tokens with.
 *
 * @param onFailure told of every attempt to reach the issuer that failed
 * @param onKeys told when keys may have been withdrawn
 * @returns also the issuer that publishes keys, if there is one; to be closed
 * @throws SetupError
 */
export async function openKeys(
  { secret, publicKey, jwksUrl }: KeyOptions,
  onFailure: (error: Error) => void,
  onKeys: () => void = () => {},
): Promise<{ sources: readonly KeySource[]; issuer: IssuerKeys | undefined }> {
  const sources: KeySource[] = [];
  if (secret !== undefined) sources.push(secretSource(secret));
  if (publicKey !== undefined) sources.push(await publicKeySource(publicKey));
  if (jwksUrl === undefined) return { sources, issuer: undefined };
  const issuer = new IssuerKeys({ url: issuerUrl(jwksUrl), onFailure, onKeys });
  sources.push((algorithm, kid) => issuer.find(algorithm, kid));
  // So that the first token need not wait; nobody else does, for the issuer may come up after this server.
  void issuer.fetch();
  return { sources, issuer };
}
