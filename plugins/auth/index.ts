import type { FastifyInstance, FastifyRequest, onRequestAsyncHookHandler } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError } from '../../src/core/errors.ts';
import { headerValues } from '../../src/core/header-values.ts';
import { offeredTicket } from '../../src/core/subprotocols.ts';
import { isName } from '../../src/core/text.ts';
import { type KeyOptions, openKeys } from './keys.ts';
import { KnownTokens } from './known-tokens.ts';
import { originCheck, requireLoopbackName } from './origins.ts';
import { type Principal, type Scope, unauthenticated } from './principal.ts';
import { redeemTicket, sellTicket, type Ticket } from './tickets.ts';
import { signToken, type TokenRules, tokenVerifier } from './tokens.ts';

export type { Principal, Scope } from './principal.ts';

export type AuthOptions = KeyOptions &
  TokenRules & {
    /** No key was configured: loopback only, and `/ws?user=` needs no token. */
    development: boolean;
    /** undefined: the server’s own address. */
    allowedOrigins: readonly string[] | undefined;
  };

/** Looks at who was let in by their token and may still refuse them. @throws CodedError */
export type Guard = (principal: Principal, request: FastifyRequest) => void | Promise<void>;

/** Looks at a handshake before it is known whose it is, and may refuse it. @throws CodedError */
export type Gate = (request: FastifyRequest) => void;

export type Auth = {
  development: boolean;
  /** A hook that lets only bearers of a scope pass: 401 without a valid token, 403 without the scope. */
  requireScope: (scope: Scope) => onRequestAsyncHookHandler;
  /**
   * Whether the issuer has withdrawn the key of the token that let somebody in. Whatever stays open asks when it opens,
   * for that may have happened since the token was looked at, and each time it is told that it may have happened.
   */
  isWithdrawn: (principal: Pick<Principal, 'keyThumbprint'>) => boolean;
  /** Calls back when keys may have been withdrawn. It must not throw. */
  onKeys: (listener: () => void) => void;
  /** A hook that lets only pages of allowed origins pass, and whoever is no page. */
  requireOrigin: onRequestAsyncHookHandler;
  /** Who wants to open a WebSocket. @throws CodedError */
  authenticateSocket: (request: FastifyRequest, developmentUser: string | undefined) => Promise<Principal>;
  /**
   * Asks a guard about everybody whose token is good, also for sockets: after the scope, in the order in which
   * guards were added.
   */
  addGuard: (guard: Guard) => void;
  /** Asks a gate about every handshake that says whose it is, before anything is spent on finding out. */
  addGate: (gate: Gate) => void;
  /** Signs a token with the server’s own secret. @throws Error when it has none */
  issueToken: (userId: string, scopes: readonly Scope[], lifetime: string) => Promise<string>;
  /** A ticket with which a browser opens one WebSocket as this principal. @throws CodedError */
  issueTicket: (principal: Principal) => Promise<Ticket>;
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

const BEARER = /^Bearer +([\w-]+\.[\w-]+\.[\w-]+)$/i;

function bearerToken({ raw }: FastifyRequest): string | undefined {
  const [header, ...others] = headerValues(raw.rawHeaders, 'authorization');
  if (header === undefined) return undefined;
  // Node would take the first, and a proxy before us may have looked at the last.
  if (others.length > 0) throw unauthenticated('There is more than one Authorization header.');
  const token = BEARER.exec(header)?.[1];
  if (token === undefined) throw unauthenticated('The Authorization header must be “Bearer” and a JWT.');
  return token;
}

/** Whoever says so, in development mode. @throws CodedError */
function developmentPrincipal(userId: string): Principal {
  if (!isName(userId)) {
    throw new CodedError(
      'invalid_parameter',
      '“user” must be 1-128 bytes of UTF-8 without control characters.',
      { parameter: 'user' },
    );
  }
  return {
    userId,
    scopes: new Set(['chat']),
    rooms: undefined,
    expiresAt: undefined,
    keyThumbprint: undefined,
  };
}

/** Tokens, tickets, scopes and origins, and in development mode the guards that stand in for them. */
export default fp(
  async function auth(fastify: FastifyInstance, options: AuthOptions) {
    const { secret, issuer, audience, development } = options;
    const { handshake } = fastify.database;
    fastify.decorateRequest('principal', null);
    const guards: Guard[] = [];
    const gates: Gate[] = [];
    const keyListeners: (() => void)[] = [];
    const checkOrigin = originCheck(fastify, options.allowedOrigins);

    const known = new KnownTokens();
    const keys = await openKeys(
      options,
      (error) => fastify.log.warn({ err: error }, 'the keys of the token issuer could not be fetched'),
      () => {
        known.clear();
        for (const listener of keyListeners) listener();
      },
    );
    fastify.addHook('onClose', async () => keys.issuer?.close());
    const verify = tokenVerifier(keys.sources, { issuer, audience });
    if (audience === undefined && (options.publicKey ?? options.jwksUrl) !== undefined) {
      fastify.log.warn(
        'JWT_AUDIENCE is not set: tokens that the issuer made for other services are good here',
      );
    }

    function checkScope({ scopes }: Principal, scope: Scope): void {
      if (!scopes.has(scope)) throw new CodedError('forbidden', `This needs the scope “${scope}”.`);
    }

    /** Lets in whoever has the scope and whom no guard refuses. */
    async function admit(principal: Principal, scope: Scope, request: FastifyRequest): Promise<Principal> {
      request.principal = principal;
      checkScope(principal, scope);
      for (const guard of guards) await guard(principal, request);
      return principal;
    }

    async function authenticate(request: FastifyRequest): Promise<Principal> {
      const token = bearerToken(request);
      if (token === undefined)
        throw unauthenticated('This needs an Authorization header with a bearer token.');
      return known.find(token, Date.now(), verify);
    }

    /** Whom a ticket admits, if the key of the token that bought it still is good. It may not be known here yet. */
    async function redeem(ticket: string): Promise<Principal> {
      const principal = await redeemTicket(handshake, ticket);
      const { keyThumbprint } = principal;
      if (keyThumbprint !== undefined && (await keys.issuer?.publishes(keyThumbprint)) !== true) {
        throw unauthenticated('The key of the token that bought this ticket is not good any more.');
      }
      return principal;
    }

    /** Who a handshake says it is, in one of three ways. */
    async function identify(
      request: FastifyRequest,
      developmentUser: string | undefined,
    ): Promise<Principal> {
      const { authorization, 'sec-websocket-protocol': offers } = request.headers;
      const ticket = offeredTicket(offers);
      const claimed = development ? developmentUser : undefined;
      // Who shows nothing costs nothing, and is told to.
      if ((ticket ?? claimed ?? authorization) !== undefined) for (const gate of gates) gate(request);
      if (ticket !== undefined) {
        if (authorization !== undefined || developmentUser !== undefined) {
          throw new CodedError('bad_request', 'A ticket says who you are; give nothing else beside it.');
        }
        // From here on the ticket is used up, whatever is refused afterwards.
        return redeem(ticket);
      }
      if (claimed !== undefined && authorization === undefined) return developmentPrincipal(claimed);
      return authenticate(request);
    }

    if (development) fastify.addHook('onRequest', requireLoopbackName);

    fastify.decorate('auth', {
      development,
      requireScope: (scope) => async (request) => {
        await admit(await authenticate(request), scope, request);
      },
      isWithdrawn: ({ keyThumbprint }) =>
        keyThumbprint !== undefined && keys.issuer?.has(keyThumbprint) !== true,
      onKeys: (listener) => keyListeners.push(listener),
      requireOrigin: async (request) => checkOrigin(request),
      addGuard: (guard) => guards.push(guard),
      addGate: (gate) => gates.push(gate),
      authenticateSocket: async (request, developmentUser) => {
        checkOrigin(request);
        return admit(await identify(request, developmentUser), 'chat', request);
      },
      issueToken: async (userId, scopes, lifetime) => {
        if (secret === undefined) throw new Error('without JWT_SECRET there is nothing to sign tokens with');
        return signToken(secret, { issuer, audience }, { userId, scopes, lifetime });
      },
      issueTicket: (principal) => sellTicket(handshake, principal),
    });
  },
  { name: 'auth', dependencies: ['errors', 'database'] },
);
