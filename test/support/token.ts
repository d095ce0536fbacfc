import { SignJWT } from 'jose';
import type { Scope } from '../../plugins/auth/index.ts';
import { SECRET } from './app.ts';

/** A token that a server with the tests' JWT_SECRET takes. */
export const tokenFor = (user: string, ...scopes: Scope[]): Promise<string> =>
  new SignJWT({ scope: scopes.join(' ') })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject(user)
    .setIssuedAt()
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(SECRET));
