import { isIP } from 'node:net';
import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { type JWTPayload, errors as joseErrors, jwtVerify, SignJWT } from 'jose';
import { isLoopback } from '../../src/config.ts';
import { CodedError } from '../../src/core/errors.ts';
import { isName } from '../../src/core/text.ts';
import { schemeOf } from '../../src/tls.ts';

export type Scope = 'chat' | 'audit:read' | 'admin';

export type AuthOptions = {
  /** The HS256 secret. */
  secret: Uint8Array;
  issuer: string | undefined;
  audience: string | undefined;
  /** No key was configured: loopback only, and `/ws?user=` needs no token. */
  development: boolean;
  /** undefined: the server’s own address. */
  allowedOrigins: readonly string[] | undefined;
};

/** Who speaks, as a verified token says. */
export type Principal = {
  userId: string;
  scopes: ReadonlySet<string>;
  /** The rooms that the token limits its bearer to; undefined: all. */
  rooms: ReadonlySet<string> | undefined;
  /** When the token expires, clocks that differ allowed for, in milliseconds since 1970; undefined: never. */
  expiresAt: number | undefined;
};

/** Looks at who was let in by their token and may still refuse them. @throws CodedError */
export type Guard = (principal: Principal, request: FastifyRequest) => void | Promise<void>;

export type Auth = {
  development: boolean;
  /** A hook that lets only bearers of a scope pass: 401 without a valid token, 403 without the scope. */
  requireScope: (scope: Scope) => onRequestAsyncHookHandler;
  /** Who wants to open a WebSocket. @throws CodedError */
  authenticateSocket: (request: FastifyRequest, developmentUser: string | undefined) => Promise<Principal>;
  /**
   * Asks a guard about everybody whose token is good, also for sockets: after the scope, in the order in which
   * guards were added.
   */
  addGuard: (guard: Guard) => void;
  /** Signs a token with the server’s own secret. */
  issueToken: (userId: string, scopes: readonly Scope[], lifetime: string) => Promise<string>;
};

declare module 'fastify' {
  interface FastifyInstance {
    auth: Auth;
  }
  interface FastifyRequest {
    /** Set by `requireScope` and `authenticateSocket`; null before. */
    principal: Principal | null;
  }
}

/** How far two clocks may differ, in seconds. */
const CLOCK_SKEW = 60;
const BEARER = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i;

const unauthenticated = (message: string, cause?: unknown) =>
  new CodedError('unauthenticated', message, { cause });

function bearerToken(request: FastifyRequest): string | undefined {
  const header = request.headers.authorization;
  if (header === undefined) return undefined;
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw unauthenticated('The Authorization header must be “Bearer” and a JWT.');
  return token;
}

function principalOf({ exp, sub, scope, rooms }: JWTPayload): Principal {
  if (typeof sub !== 'string' || !isName(sub)) {
    throw unauthenticated('The token’s “sub” must be a user name of 1-128 bytes without control characters.');
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
    expiresAt: exp === undefined ? undefined : (exp + CLOCK_SKEW) * 1_000,
  };
}

/** The part of a Host header that names the host. */
function hostName(header: string | undefined): string {
  if (header === undefined || !URL.canParse(`http://${header}`)) return '';
  return new URL(`http://${header}`).hostname.replace(/^\[|\]$/g, '');
}

/**
 * Refuses a request that names another host than this machine: a web page can make a name of its own resolve to
 * 127.0.0.1 (DNS rebinding), and the Host header tells.
 */
export async function requireLoopbackName({ headers }: FastifyRequest): Promise<void> {
  if (!isLoopback(hostName(headers.host))) {
    throw new CodedError('host_not_allowed', 'In development mode only loopback names are served.');
  }
}

/** Tokens, scopes, and in development mode the guards that stand in for them. */
export default fp(
  async function auth(fastify: FastifyInstance, options: AuthOptions) {
    const { secret, issuer, audience, development } = options;
    fastify.decorateRequest('principal', null);
    const guards: Guard[] = [];

    /** Lets in whoever has the scope and whom no guard refuses. */
    async function admit(principal: Principal, scope: Scope, request: FastifyRequest): Promise<Principal> {
      if (!principal.scopes.has(scope)) throw new CodedError('forbidden', `This needs the scope “${scope}”.`);
      for (const guard of guards) await guard(principal, request);
      return principal;
    }

    async function verify(token: string): Promise<Principal> {
      try {
        const { payload } = await jwtVerify(token, secret, {
          algorithms: ['HS256'],
          clockTolerance: CLOCK_SKEW,
          requiredClaims: ['exp', 'sub'],
          ...(issuer === undefined ? {} : { issuer }),
          ...(audience === undefined ? {} : { audience }),
        });
        return principalOf(payload);
      } catch (error) {
        if (error instanceof CodedError) throw error;
        throw unauthenticated(
          error instanceof joseErrors.JWTExpired ? 'The token has expired.' : 'The token is not valid here.',
          error,
        );
      }
    }

    async function authenticate(request: FastifyRequest): Promise<Principal> {
      const token = bearerToken(request);
      if (token === undefined)
        throw unauthenticated('This needs an Authorization header with a bearer token.');
      request.principal = await verify(token);
      return request.principal;
    }

    /** Origins of our own address, under every name that loopback has. */
    function ownOrigins(): string[] {
      return fastify.addresses().flatMap((bound) => {
        if (typeof bound === 'string') return [];
        const { address, port } = bound;
        const names = isLoopback(address) ? ['127.0.0.1', 'localhost', '[::1]'] : [address];
        return names.map(
          (name) => `${schemeOf(fastify.server)}://${isIP(name) === 6 ? `[${name}]` : name}:${port}`,
        );
      });
    }

    /** Browsers send an Origin and other clients need not; what is sent must be on the list, to the letter. */
    function checkOrigin(request: FastifyRequest): void {
      const origins = request.raw.headersDistinct.origin ?? [];
      const allowed = options.allowedOrigins ?? ownOrigins();
      if (origins.some((origin) => !allowed.includes(origin))) {
        throw new CodedError('origin_not_allowed', 'Pages of this origin may not connect (ALLOWED_ORIGINS).');
      }
    }

    async function authenticateSocket(
      request: FastifyRequest,
      developmentUser: string | undefined,
    ): Promise<Principal> {
      checkOrigin(request);
      if (development && developmentUser !== undefined && request.headers.authorization === undefined) {
        if (!isName(developmentUser)) {
          throw new CodedError(
            'invalid_parameter',
            '“user” must be 1-128 bytes of UTF-8 without control characters.',
            { parameter: 'user' },
          );
        }
        request.principal = {
          userId: developmentUser,
          scopes: new Set(['chat']),
          rooms: undefined,
          expiresAt: undefined,
        };
        return admit(request.principal, 'chat', request);
      }
      return admit(await authenticate(request), 'chat', request);
    }

    if (development) fastify.addHook('onRequest', requireLoopbackName);

    fastify.decorate('auth', {
      development,
      requireScope: (scope) => async (request) => {
        await admit(await authenticate(request), scope, request);
      },
      addGuard: (guard) => guards.push(guard),
      authenticateSocket,
      issueToken: (userId, scopes, lifetime) => {
        const token = new SignJWT({ scope: scopes.join(' ') })
          .setProtectedHeader({ alg: 'HS256' })
          .setSubject(userId)
          .setIssuedAt()
          .setExpirationTime(lifetime);
        if (issuer !== undefined) token.setIssuer(issuer);
        if (audience !== undefined) token.setAudience(audience);
        return token.sign(secret);
      },
    });
  },
  { name: 'auth', dependencies: ['errors'] },
);
