import { SignJWT } from 'jose';
import { test } from 'tap';
import type { Principal } from '../../plugins/auth/index.ts';
import { KnownTokens } from '../../plugins/auth/known-tokens.ts';
import { build, SECRET } from '../support/app.ts';
import { until } from '../support/client.ts';

const principal = (userId: string, expiresAt?: number): Principal => ({
  userId,
  scopes: new Set(),
  rooms: undefined,
  expiresAt,
  keyThumbprint: undefined,
});

/** Verifies any token as its user's own, and says which were verified. */
function verifier(expiries: Record<string, number> = {}) {
  const verified: string[] = [];
  const verify = async (token: string): Promise<Principal> => {
    verified.push(token);
    return principal(token, expiries[token]);
  };
  return { verified, verify };
}

test('a token is known for ten seconds, and for no longer than it is good', async (t) => {
  const known = new KnownTokens();
  const { verified, verify } = verifier({ alice: 60_000, bob: 5_000 });
  const find = async (token: string, now: number) => {
    verified.length = 0;
    t.equal((await known.find(token, now, verify)).userId, token);
    return verified.length === 0;
  };
  t.notOk(await find('alice', 0));
  t.notOk(await find('bob', 0));
  t.ok(await find('alice', 9_999));
  t.ok(await find('bob', 4_999));
  t.notOk(await find('bob', 5_000));
  t.notOk(await find('alic', 0), 'to the letter');
  t.notOk(await find('alice', 10_000));
});

test('however many come, the newest thousand are known', async (t) => {
  const known = new KnownTokens();
  const { verified, verify } = verifier();
  for (let number = 0; number < 5_000; number += 1) await known.find(`${number}`, number / 1_000, verify);
  verified.length = 0;
  for (let number = 4_000; number < 5_000; number += 1) await known.find(`${number}`, 5, verify);
  t.strictSame(verified, []);
  await known.find('3999', 5, verify);
  t.strictSame(verified, ['3999']);
});

test('a token that was refused is not known', async (t) => {
  const known = new KnownTokens();
  const { verified, verify } = verifier();
  await t.rejects(known.find('alice', 0, () => Promise.reject(new Error('not valid'))));
  await known.find('alice', 0, verify);
  t.strictSame(verified, ['alice']);
});

test('a token that was verified while all were forgotten is not known after', async (t) => {
  const known = new KnownTokens();
  const { verified, verify } = verifier();
  const { promise, resolve } = Promise.withResolvers<Principal>();
  const early = known.find('alice', 0, () => promise);
  known.clear();
  resolve(principal('alice'));
  t.equal((await early).userId, 'alice', 'it was good when it was asked about');
  await known.find('alice', 1, verify);
  t.strictSame(verified, ['alice'], 'but perhaps is no longer');
  await known.find('alice', 2, verify);
  t.equal(verified.length, 1);
  known.clear();
  await known.find('alice', 3, verify);
  t.equal(verified.length, 2);
});

test('a token that was good a moment ago is refused once it has expired', async (t) => {
  const server = await build(t);
  // Clocks may differ by a minute, so this one has two seconds left.
  const token = await new SignJWT({ scope: 'audit:read' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('alice')
    .setExpirationTime(Math.floor(Date.now() / 1_000) - 57)
    .sign(new TextEncoder().encode(SECRET));
  const status = async () =>
    (await server.get('/audit/actions', { authorization: `Bearer ${token}` })).status;
  t.equal(await status(), 200);
  await until('it is refused', async () => (await status()) === 401);
});
