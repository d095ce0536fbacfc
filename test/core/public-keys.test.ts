import { createSecretKey, generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { test } from 'tap';
import { keyOfPem, keysOfSet } from '../../src/core/public-keys.ts';
import { makeKey } from '../support/issuer.ts';

const algorithms = { RS256: ['RS256', 'PS256'], ES256: ['ES256'], EdDSA: ['EdDSA'] };
const keys = (Object.keys(algorithms) as (keyof typeof algorithms)[]).map((alg) => makeKey(alg));

/** Keys that can sign, but not by an algorithm that is taken. */
const others = {
  'RSA of 1024 bits': generateKeyPairSync('rsa', { modulusLength: 1024 }),
  'RSA-PSS': generateKeyPairSync('rsa-pss', { modulusLength: 2048 }),
  'P-384': generateKeyPairSync('ec', { namedCurve: 'P-384' }),
  secp256k1: generateKeyPairSync('ec', { namedCurve: 'secp256k1' }),
  Ed448: generateKeyPairSync('ed448'),
  X25519: generateKeyPairSync('x25519'),
};

test('the kind of a key decides the algorithms, as PEM and as JWK', async (t) => {
  for (const { alg, publicPem, jwk } of keys) {
    const expected = algorithms[alg as keyof typeof algorithms];
    t.strictSame(keyOfPem(publicPem)?.algorithms, expected, `${alg} as PEM`);
    t.strictSame(keyOfPem(`\n  ${publicPem}\r\n`)?.algorithms, expected, `${alg} with blanks around`);
    t.match(keysOfSet({ keys: [jwk] }), [{ kid: alg, algorithms: expected }], `${alg} as JWK`);
    t.match(keysOfSet({ keys: [{ ...jwk, alg }] }), [{ algorithms: [alg] }], 'and a JWK may narrow them');
  }
});

test('a key has one thumbprint, whatever it is called and however it is written', async (t) => {
  // RFC 7638 3.1
  const n =
    '0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknjhMs' +
    'tn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQvRL5hajrn' +
    '1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzKnqDKgw';
  const example = { kty: 'RSA', n, e: 'AQAB', alg: 'RS256', kid: '2011-04-29' };
  t.match(keysOfSet({ keys: [example] }), [{ thumbprint: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' }]);
  const seen = new Set<string>();
  for (const { jwk, publicPem } of keys) {
    const thumbprint = await calculateJwkThumbprint(jwk);
    t.match(keysOfSet({ keys: [{ ...jwk, kid: 'another name' }] }), [{ thumbprint }]);
    t.match(keyOfPem(publicPem), { thumbprint });
    seen.add(thumbprint);
  }
  t.equal(seen.size, keys.length);
});

test('keys of any other kind are not taken', async (t) => {
  for (const [kind, { publicKey }] of Object.entries(others)) {
    t.equal(keyOfPem(publicKey.export({ type: 'spki', format: 'pem' }).toString()), undefined, kind);
    if (kind !== 'RSA-PSS')
      t.strictSame(keysOfSet({ keys: [publicKey.export({ format: 'jwk' })] }), [], kind);
  }
});

test('PEM that is not one whole public key is not taken', async (t) => {
  const [rsa, ec] = keys;
  if (rsa === undefined || ec === undefined) throw new Error('there are no keys');
  for (const text of [
    '',
    'a secret',
    rsa.publicPem.replace('PUBLIC', 'RSA PUBLIC'),
    rsa.publicPem.slice(0, 200),
    rsa.publicPem.replace(/\n.{10}/, '\n'),
    rsa.publicPem + ec.publicPem,
    rsa.publicPem.replaceAll('\n', '\\n'),
    rsa.privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  ]) {
    t.equal(keyOfPem(text), undefined, text.slice(0, 40));
  }
});

test('of a set, what cannot check a signature here is passed over, and the rest is taken', async (t) => {
  const [rsa] = keys;
  const secret = createSecretKey(Buffer.alloc(32, 1)).export({ format: 'jwk' });
  const set = {
    keys: [
      null,
      'RSA',
      {},
      { kty: 'unheard of' },
      { ...secret, alg: 'HS256', kid: 'RS256' },
      { ...rsa?.jwk, use: 'enc' },
      { ...rsa?.jwk, key_ops: ['sign'] },
      { ...rsa?.jwk, key_ops: 'verify' },
      { ...rsa?.jwk, alg: 'HS256' },
      { ...rsa?.jwk, alg: 'RS512' },
      { ...rsa?.jwk, n: 7 },
      { ...rsa?.jwk, n: 'AQAB' },
      { kty: 'EC', crv: 'P-256', x: 'AAAA', y: 'AAAA' },
      { ...rsa?.jwk, key_ops: ['verify'], kid: 7 },
    ],
  };
  t.match(keysOfSet(set), [{ kid: undefined, algorithms: ['RS256', 'PS256'] }]);
});

test('what is no set, or too large a one, is refused', async (t) => {
  for (const document of [undefined, null, 7, 'keys', [], {}, { keys: {} }, { keys: Array(65).fill({}) }]) {
    t.throws(() => keysOfSet(document), /JWK Set/, JSON.stringify(document)?.slice(0, 40) ?? 'nothing');
  }
});
