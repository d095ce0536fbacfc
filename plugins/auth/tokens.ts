import { createHmac, timingSafeEqual } from 'node:crypto';
import { decodeProtectedHeader, errors, type JWTVerifyOptions, jwtVerify, SignJWT } from 'jose';
import { CodedError } from '../../src/core/errors.ts';
import type { KeySource } from './keys.ts';
import { CLOCK_SKEW, type Principal, principalOf, type Scope, unauthenticated } from './principal.ts';

/** The longest token, in characters. Much less than a request may have before its body (src/app.ts), so that the limit can be named. */
export const MAX_TOKEN = 8 * 1024;

/** What a token must say, when it is asked for. */
export type TokenRules = { issuer: string | undefined; audience: string | undefined };

/** Who a token is for, and for how long: a number and a unit, such as `12h`. */
export type TokenClaims = { userId: string; scopes: readonly Scope[]; lifetime: string };

/** Makes a token that a server with this secret takes. */
export function signToken(
  secret: string,
  { issuer, audience }: TokenRules,
  { userId, scopes, lifetime }: TokenClaims,
): Promise<string> {
  const token = new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(userId)
    .setIssuedAt()
    .setExpirationTime(lifetime);
  if (issuer !== undefined) token.setIssuer(issuer);
  if (audience !== undefined) token.setAudience(audience);
  return token.sign(new TextEncoder().encode(secret));
}

type Header = { alg: string; kid: string | undefined };

/** Of the header, no more is believed than which key to look for; `jku`, `jwk`, `x5u` and `x5c` are never read. */
function headerOf(token: string): Header {
  let header: ReturnType<typeof decodeProtectedHeader>;
  try {
    header = decodeProtectedHeader(token);
  } catch (error) {
    throw unauthenticated('The token is not valid here.', error);
  }
  const { alg, kid } = header as { alg?: unknown; kid?: unknown };
  if (typeof alg !== 'string' || (kid !== undefined && typeof kid !== 'string')) {
    throw unauthenticated('The token is not valid here.');
  }
  return { alg, kid };
}

/**
 * Whether a token is signed by this secret (RFC 7518 3.2). Whoever comes without a right comes as often as they like;
 * this takes a tenth of what jose does, which goes through a promise of WebCrypto and has the last word all the same.
 */
function isSignedBy(token: string, secret: Uint8Array): boolean {
  const end = token.lastIndexOf('.');
  const given = Buffer.from(token.slice(end + 1), 'base64url');
  const mac = createHmac('sha256', secret).update(token.slice(0, end)).digest();
  return given.length === mac.length && timingSafeEqual(given, mac);
}

/** Makes the check of tokens: the signature first, by a key that fits, and then what is signed. */
export function tokenVerifier(sources: readonly KeySource[], { issuer, audience }: TokenRules) {
  const claims: JWTVerifyOptions = {
    clockTolerance: CLOCK_SKEW,
    requiredClaims: ['exp', 'sub'],
    ...(issuer === undefined ? {} : { issuer }),
    ...(audience === undefined ? {} : { audience }),
  };

  /** @throws CodedError `unauthenticated`, or `keys_unavailable` when the issuer alone could tell */
  return async function verify(token: string): Promise<Principal> {
    if (token.length > MAX_TOKEN) {
      throw unauthenticated(`The token is longer than ${MAX_TOKEN} characters.`);
    }
    const { alg, kid } = headerOf(token);
    for (const source of sources) {
      for (const { key, thumbprint } of await source(alg, kid)) {
        if (key instanceof Uint8Array && !isSignedBy(token, key)) continue;
        try {
          const { payload } = await jwtVerify(token, key, { ...claims, algorithms: [alg] });
          return principalOf(payload, thumbprint);
        } catch (error) {
          // Another key may have signed it. Whatever else is wrong with it no other key can mend.
          if (error instanceof errors.JWSSignatureVerificationFailed) continue;
          if (error instanceof CodedError) throw error;
          throw unauthenticated(
            error instanceof errors.JWTExpired ? 'The token has expired.' : 'The token is not valid here.',
            error,
          );
        }
      }
    }
    throw unauthenticated('The token is not valid here.');
  };
}
