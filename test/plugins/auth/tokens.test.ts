import { sign } from 'node:crypto';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { SignJWT } from 'jose';
import { test } from 'tap';
import { type KeyOptions, openKeys } from '../../../plugins/auth/keys.ts';
import { MAX_TOKEN, tokenVerifier } from '../../../plugins/auth/tokens.ts';
import { SECRET } from '../../support/app.ts';
import { goodClaims, inSeconds, issuer, makeKey, signWith } from '../../support/issuer.ts';

const keys = (['RS256', 'PS256', 'ES256', 'EdDSA'] as const).map((alg) => makeKey(alg));
const rsa = makeKey('RS256', 'theirs');
const stranger = makeKey('RS256', 'theirs');
const encode = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url');

async function verifier(options: Partial<KeyOptions>, rules: { issuer?: string; audience?: string } = {}) {
  const none: KeyOptions = { secret: undefined, publicKey: undefined, jwksUrl: undefined };
  const { sources } = await openKeys({ ...none, ...options }, () => {});
  return tokenVerifier(sources, { issuer: rules.issuer, audience: rules.audience });
}

/** A token by a secret. */
const signSecretly = (secret: string | Uint8Array, header: Record<string, unknown> = {}): Promise<string> =>
  new SignJWT(goodClaims)
    .setProtectedHeader({ alg: 'HS256', ...header })
    .sign(typeof secret === 'string' ? new TextEncoder().encode(secret) : secret);

/** Every way to know good tokens of one RSA key. */
const waysToKnow = (url: string): [string, Partial<KeyOptions>][] => [
  ['a public key', { publicKey: rsa.publicPem }],
  ['a set', { jwksUrl: url }],
  ['a public key and a secret', { publicKey: rsa.publicPem, secret: SECRET }],
  ['all three', { publicKey: rsa.publicPem, secret: SECRET, jwksUrl: url }],
];

test('a public key takes the tokens of its own algorithms, and no others', async (t) => {
  for (const key of keys) {
    const verify = await verifier({ publicKey: key.publicPem });
    t.match(await verify(await signWith(key)), { userId: 'alice' }, key.alg);
    t.match(await verify(await signWith(key, {}, { kid: undefined })), { userId: 'alice' }, 'without a name');
    for (const other of keys.filter((any) => any !== key)) {
      await t.rejects(
        verify(await signWith(other)),
        { code: 'unauthenticated' },
        `${other.alg}, not ${key.alg}`,
      );
    }
  }
  const [key] = keys;
  if (key === undefined) throw new Error('there is no key');
  const verify = await verifier({ publicKey: key.publicPem });
  t.match(await verify(await signWith(key, {}, { alg: 'PS256' })), { userId: 'alice' });
  for (const alg of ['RS384', 'RS512', 'PS512']) {
    await t.rejects(verify(await signWith(key, {}, { alg })), { code: 'unauthenticated' }, alg);
  }
});

test('the keys of an issuer take the tokens of all four algorithms, by name', async (t) => {
  const theirs = await issuer(t, ...keys);
  const verify = await verifier({ jwksUrl: theirs.url });
  for (const key of keys) {
    t.match(await verify(await signWith(key)), { userId: 'alice' }, key.alg);
    t.match(await verify(await signWith(key, {}, { kid: undefined })), { userId: 'alice' }, 'without a name');
    await t.rejects(verify(await signWith(key, {}, { kid: 'ES384' })), { code: 'unauthenticated' });
  }
});

test('with more than one way configured, each token is good by its own key only', async (t) => {
  const theirs = await issuer(t, rsa);
  const [, pss, ec] = keys;
  if (pss === undefined || ec === undefined) throw new Error('there are no keys');
  const verify = await verifier({ secret: SECRET, publicKey: ec.publicPem, jwksUrl: theirs.url });
  for (const token of [await signSecretly(SECRET), await signWith(ec), await signWith(rsa)]) {
    t.match(await verify(token), { userId: 'alice' });
  }
  for (const token of [await signSecretly('x'.repeat(40)), await signWith(stranger), await signWith(pss)]) {
    await t.rejects(verify(token), { code: 'unauthenticated' });
  }
  const both = await verifier({ publicKey: stranger.publicPem, jwksUrl: theirs.url });
  for (const key of [rsa, stranger]) {
    t.match(await both(await signWith(key)), { userId: 'alice' }, 'two keys of one kind and name: either');
  }
});

test('a public key is never taken for a secret', async (t) => {
  const theirs = await issuer(t, rsa);
  const secrets = {
    'the PEM': rsa.publicPem,
    'the PEM without its last line feed': rsa.publicPem.trim(),
    'the PEM after a blank': ` ${rsa.publicPem}`,
    'the JWK': JSON.stringify(rsa.jwk),
    'the modulus': Buffer.from(String(rsa.jwk.n), 'base64url'),
    DER: Buffer.from(rsa.publicPem.replace(/-----.*?-----/g, ''), 'base64'),
  };
  for (const [how, options] of waysToKnow(theirs.url)) {
    const verify = await verifier(options);
    t.match(await verify(await signWith(rsa)), { userId: 'alice' }, how);
    for (const [what, secret] of Object.entries(secrets)) {
      const token = await signSecretly(secret, { kid: rsa.jwk.kid });
      await t.rejects(verify(token), { code: 'unauthenticated' }, `${what}, with ${how}`);
    }
  }
});

test('a token cannot bring its own key, nor say where one is', async (t) => {
  const theirs = await issuer(t, rsa);
  let visits = 0;
  const trap = createServer((_request, response) => {
    visits += 1;
    response.end(JSON.stringify({ keys: [stranger.jwk] }));
  });
  await new Promise<void>((resolve) => trap.listen(0, '127.0.0.1', resolve));
  t.teardown(() => trap.close());
  const url = `http://127.0.0.1:${(trap.address() as AddressInfo).port}/`;
  for (const [how, options] of waysToKnow(theirs.url)) {
    const verify = await verifier(options);
    for (const header of [{ jku: url }, { x5u: url }, { jwk: stranger.jwk }, { x5c: ['MII'] }]) {
      const token = await signWith(stranger, {}, header);
      await t.rejects(verify(token), { code: 'unauthenticated' }, `${Object.keys(header)}, with ${how}`);
      const good = await signWith(rsa, {}, header);
      t.match(await verify(good), { userId: 'alice' }, 'and beside a good signature it is not looked at');
    }
  }
  t.equal(visits, 0);
});

test('what is no signed token of a known kind is refused, whatever is configured', async (t) => {
  const theirs = await issuer(t, rsa);
  const [header = '', payload = '', signature = ''] = (await signWith(rsa)).split('.');
  const unsigned = (head: unknown, rest = signature) => `${encode(head)}.${payload}.${rest}`;
  /** A good signature under a header that no library would sign. */
  const signed = (head: unknown) => {
    const input = `${encode(head)}.${payload}`;
    return `${input}.${sign('sha256', Buffer.from(input), rsa.privateKey).toString('base64url')}`;
  };
  t.ok(
    await (await verifier({ publicKey: rsa.publicPem }))(signed({ alg: 'RS256', kid: 'theirs' })),
    'as such it is good',
  );
  const bad: Record<string, string> = {
    'alg none': unsigned({ alg: 'none' }, ''),
    'alg none, signed': unsigned({ alg: 'none', kid: 'theirs' }),
    'alg None': unsigned({ alg: 'None' }, ''),
    'no alg': unsigned({ kid: 'theirs' }),
    'alg as a list': unsigned({ alg: ['RS256'] }),
    'no signature': `${header}.${payload}.`,
    'another payload': `${header}.${encode({ ...goodClaims, scope: 'admin' })}.${signature}`,
    'a path for a name': await signWith(stranger, {}, { kid: '../../dev/null' }),
    'SQL for a name': await signWith(stranger, {}, { kid: "' or 1=1 --" }),
    'a number for a name': unsigned({ alg: 'RS256', kid: 7 }),
    'an unknown extension': signed({ alg: 'RS256', kid: 'theirs', crit: ['x'], x: 1 }),
    'no extension at all': signed({ alg: 'RS256', kid: 'theirs', crit: [] }),
    'an unencoded payload': signed({ alg: 'RS256', kid: 'theirs', crit: ['b64'], b64: false }),
    'a header that is no object': `${encode('RS256')}.${payload}.${signature}`,
    'a header that is no JSON': `AAAA.${payload}.${signature}`,
    'two segments': `${header}.${payload}`,
    'ten thousand segments': `${header}${'.a'.repeat(10_000)}`,
    nothing: '',
  };
  for (const [how, options] of waysToKnow(theirs.url)) {
    const verify = await verifier(options);
    for (const [what, token] of Object.entries(bad)) {
      await t.rejects(verify(token), { code: 'unauthenticated' }, `${what}, with ${how}`);
    }
  }
});

test('a token that is too long is refused unread', async (t) => {
  const verify = await verifier({ secret: SECRET });
  const padded = (filler: number) =>
    new SignJWT({ ...goodClaims, filler: 'x'.repeat(filler) })
      .setProtectedHeader({ alg: 'HS256' })
      .sign(new TextEncoder().encode(SECRET));
  const good = await padded(5_800);
  t.ok(good.length > MAX_TOKEN - 400 && good.length <= MAX_TOKEN, 'close to the limit');
  t.match(await verify(good), { userId: 'alice' });
  await t.rejects(verify(await padded(6_200)), { code: 'unauthenticated', message: /longer than 8192/ });
});

test('issuer and time are what a token says once, and in seconds', async (t) => {
  const rules = { issuer: 'https://login.example.org', audience: 'minutebook' };
  const verify = await verifier({ publicKey: rsa.publicPem }, rules);
  const both = { iss: rules.issuer, aud: rules.audience };
  t.match(await verify(await signWith(rsa, both)), { userId: 'alice' });
  t.match(await verify(await signWith(rsa, { ...both, exp: inSeconds(-50) })), { userId: 'alice' });
  for (const claims of [
    { ...both, iss: [rules.issuer] },
    { ...both, iss: [rules.issuer, 'https://evil.example'] },
    { ...both, iss: `${rules.issuer}/` },
    { ...both, aud: [] },
    { ...both, exp: inSeconds(-61) },
    { ...both, exp: String(inSeconds(600)) },
    { ...both, exp: Date.now() * 1_000 },
    { ...both, exp: null },
    { ...both, nbf: inSeconds(120) },
    { ...both, nbf: '0' },
  ]) {
    await t.rejects(verify(await signWith(rsa, claims)), { code: 'unauthenticated' }, JSON.stringify(claims));
  }
  const lax = await verifier({ publicKey: rsa.publicPem });
  await t.rejects(
    lax(await signWith(rsa, { iss: [rules.issuer] })),
    { code: 'unauthenticated' },
    'also unasked',
  );
  await t.rejects(lax(await signWith(rsa, { exp: Date.now() })), { code: 'unauthenticated' }, 'milliseconds');
});
