import { SignJWT } from 'jose';
import type { Scope } from '../../plugins/auth/index.ts';
import { SECRET } from './app.ts';

/** A token that a server with the tests' JWT_SECRET takes. @param lifetime such as `90m` */
export const tokenOf = (user: string, scopes: readonly Scope[], lifetime: string): Promise<string> =>
  new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime(lifetime)
    .sign(new TextEncoder().encode(SECRET));

/** The same, for an hour. */
export const tokenFor = (user: string, ...scopes: Scope[]): Promise<string> => tokenOf(user, scopes, '1h');
