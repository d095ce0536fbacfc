import { generateKeyPairSync, type KeyObject } from 'node:crypto';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';
import type { Test } from 'tap';

export type SigningKey = {
  alg: string;
  privateKey: KeyObject;
  /** PEM (SPKI). */
  publicPem: string;
  /** The public key as a member of a JWK Set; `kid` is its name. */
  jwk: Record<string, unknown> & { kid: string };
};

/** A key pair that signs by an algorithm. */
export function makeKey(alg: 'RS256' | 'PS256' | 'ES256' | 'EdDSA', kid: string = alg): SigningKey {
  const { publicKey, privateKey } =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg === 'ES256'
        ? generateKeyPairSync('ec', { namedCurve: 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2048 });
  const publicPem = publicKey.export({ type: 'spki', format: 'pem' }).toString();
  return { alg, privateKey, publicPem, jwk: { ...publicKey.export({ format: 'jwk' }), kid, use: 'sig' } };
}

export const inSeconds = (seconds: number): number => Math.floor(Date.now() / 1000) + seconds;

/** What a good token says. */
export const goodClaims = { sub: 'alice', scope: 'chat audit:read', exp: inSeconds(600) };

/** A token by a key pair, named in its header, or by any other key and header. */
export const signWith = (
  { alg, privateKey, jwk }: SigningKey,
  claims: Record<string, unknown> = {},
  header: Record<string, unknown> = {},
): Promise<string> =>
  new SignJWT({ ...goodClaims, ...claims })
    .setProtectedHeader({ alg, kid: jwk.kid, ...header })
    .sign(privateKey);

type Answer = (request: IncomingMessage, response: ServerResponse) => void;

export type Issuer = {
  url: string;
  /** How often its keys were asked for. */
  requests: () => number;
  /** Publishes these keys from now on, and no others. */
  publish: (...keys: SigningKey[]) => void;
  /** Answers like this from now on. */
  answer: (answer: Answer) => void;
  /** Nobody listens any more. */
  goAway: () => Promise<void>;
  /** It listens again, at the same address. */
  comeBack: () => Promise<void>;
};

/** Somebody who issues tokens and publishes keys, on loopback; gone when the test ends. */
export async function issuer(t: Test, ...keys: SigningKey[]): Promise<Issuer> {
  let requests = 0;
  const publishing =
    (...published: SigningKey[]): Answer =>
    (_request, response) => {
      response.setHeader('content-type', 'application/jwk-set+json');
      response.end(JSON.stringify({ keys: published.map(({ jwk }) => jwk) }));
    };
  let current = publishing(...keys);
  const server = createServer((request, response) => {
    requests += 1;
    current(request, response);
  });
  const listen = (port: number) =>
    new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(port, '127.0.0.1', resolve);
    });
  const goAway = () =>
    new Promise<void>((resolve) => {
      server.close(() => resolve());
      server.closeAllConnections();
    });
  await listen(0);
  const { port } = server.address() as AddressInfo;
  t.teardown(goAway);
  return {
    url: `http://127.0.0.1:${port}/jwks.json`,
    requests: () => requests,
    publish: (...published) => {
      current = publishing(...published);
    },
    answer: (answer) => {
      current = answer;
    },
    goAway,
    comeBack: () => listen(port),
  };
}
