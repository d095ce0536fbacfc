import { generateKeyPairSync } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { type KeyOptions, openKeys } from '../../../plugins/auth/keys.ts';
import { SetupError } from '../../../src/core/setup-error.ts';
import { SECRET, temporaryFolder } from '../../support/app.ts';
import { makeKey } from '../../support/issuer.ts';

const rsa = makeKey('RS256');
const none: KeyOptions = { secret: undefined, publicKey: undefined, jwksUrl: undefined };
const open = (options: Partial<KeyOptions>) => openKeys({ ...none, ...options }, () => {});

test('a public key may be given as PEM or as a file that holds it', async (t) => {
  const path = join(await temporaryFolder(t), 'key.pem');
  await writeFile(path, rsa.publicPem);
  for (const publicKey of [rsa.publicPem, path]) {
    const { sources } = await open({ publicKey });
    t.equal(sources.length, 1);
    t.equal((await sources[0]?.('RS256', 'any name'))?.length, 1);
    t.equal((await sources[0]?.('PS256', undefined))?.length, 1);
    for (const algorithm of ['HS256', 'RS512', 'ES256', 'EdDSA', 'none', '']) {
      t.strictSame(await sources[0]?.(algorithm, undefined), [], algorithm);
    }
  }
});

test('a secret is for HS256 alone', async (t) => {
  const { sources } = await open({ secret: SECRET });
  t.equal((await sources[0]?.('HS256', undefined))?.length, 1);
  for (const algorithm of ['HS384', 'HS512', 'RS256', 'none']) {
    t.strictSame(await sources[0]?.(algorithm, undefined), [], algorithm);
  }
});

test('a key that is no good stops the start with one line that says why, and does not show it', async (t) => {
  const folder = await temporaryFolder(t);
  const weak = generateKeyPairSync('rsa', { modulusLength: 1024 });
  const weakPem = weak.publicKey.export({ type: 'spki', format: 'pem' }).toString();
  const privatePem = rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString();
  const bad: [string, Partial<KeyOptions>, RegExp][] = [
    ['no such file', { publicKey: join(folder, 'none.pem') }, /^JWT_PUBLIC_KEY is neither PEM nor.*ENOENT/],
    ['a folder', { publicKey: folder }, /^JWT_PUBLIC_KEY is neither PEM nor.*EISDIR/],
    ['too short a key', { publicKey: weakPem }, /^JWT_PUBLIC_KEY must be one public key/],
    ['two keys', { publicKey: rsa.publicPem + rsa.publicPem }, /^JWT_PUBLIC_KEY must be one public key/],
    ['a private key', { publicKey: privatePem }, /^JWT_PUBLIC_KEY is a private key/],
    ['a public key for a secret', { secret: rsa.publicPem }, /^JWT_SECRET holds a PEM/],
    ['the same after a blank', { secret: `\n ${rsa.publicPem}` }, /^JWT_SECRET holds a PEM/],
    ['no URL', { jwksUrl: 'http://' }, /^JWKS_URL is not a URL/],
    ['plain http', { jwksUrl: 'http://login.example.org/jwks' }, /^JWKS_URL must begin with https/],
    [
      'a name like loopback',
      { jwksUrl: 'http://127.0.0.1.evil.example/' },
      /^JWKS_URL must begin with https/,
    ],
    ['a password', { jwksUrl: 'https://user:hunter2@login.example.org/' }, /^JWKS_URL must not hold a user/],
  ];
  for (const [what, options, message] of bad) {
    const error = await open(options).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    t.type(error, SetupError, what);
    t.match(error?.message, message, what);
    t.notMatch(error?.message, /\n|hunter2|MII/, what);
  }
});

test('plain http to this machine is good enough', async (t) => {
  for (const host of ['localhost', '127.0.0.1', '127.1.2.3', '[::1]']) {
    // Port 1: nobody answers, and nobody waits for the answer.
    const { issuer } = await open({ jwksUrl: `http://${host}:1/jwks` });
    issuer?.close();
    t.pass(host);
  }
});
