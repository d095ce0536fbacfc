import type { JWTPayload } from 'jose';
import { CodedError } from '../../src/core/errors.ts';
import { isName } from '../../src/core/text.ts';

export type Scope = 'chat' | 'audit:read' | 'admin';

/** Who speaks, as a verified token says. */
export type Principal = {
  userId: string;
  scopes: ReadonlySet<string>;
  /** The rooms that the token limits its bearer to; undefined: all. */
  rooms: ReadonlySet<string> | undefined;
  /** When the token expires, clocks that differ allowed for, in milliseconds since 1970; undefined: never. */
  expiresAt: number | undefined;
  /** The issuer’s key that signed the token, by its thumbprint; undefined: a key that cannot be withdrawn. */
  keyThumbprint: string | undefined;
};

/** How far two clocks may differ, in seconds. */
export const CLOCK_SKEW = 60;
/** The end of the year 9999; whoever writes more has written milliseconds. */
const MAX_EXP = 253_402_300_799;

export const unauthenticated = (message: string, cause?: unknown): CodedError =>
  new CodedError('unauthenticated', message, { cause });

/**
 * What the claims of a verified token say of its bearer.
 *
 * @param keyThumbprint the key that it was verified with, where an issuer publishes it
 * @throws CodedError `unauthenticated`
 */
export function principalOf(
  { iss, exp, sub, scope, rooms }: JWTPayload,
  keyThumbprint: string | undefined,
): Principal {
  if (typeof sub !== 'string' || !isName(sub)) {
    throw unauthenticated('The token’s “sub” must be a user name of 1-128 bytes without control characters.');
  }
  // RFC 7519 4.1.1: one issuer. A list that holds the right one among others is nobody's in particular.
  if (iss !== undefined && typeof iss !== 'string') throw unauthenticated('The token’s “iss” is not text.');
  if (exp === undefined || exp > MAX_EXP) {
    throw unauthenticated('The token’s “exp” must be a time in seconds before the year 10000.');
  }
  if (scope !== undefined && typeof scope !== 'string')
    throw unauthenticated('The token’s “scope” is not text.');
  const limited = Array.isArray(rooms) && rooms.every((room) => typeof room === 'string');
  if (rooms !== undefined && !limited) throw unauthenticated('The token’s “rooms” is not a list of names.');
  return {
    userId: sub,
    // RFC 9068 2.2.3: scopes are separated by spaces.
    scopes: new Set(scope?.split(' ').filter((word) => word !== '') ?? []),
    rooms: limited ? new Set(rooms as string[]) : undefined,
    expiresAt: (exp + CLOCK_SKEW) * 1_000,
    keyThumbprint,
  };
}
