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
});

test('a token is known for ten seconds, and for no longer than it is good', async (t) => {
  const known = new KnownTokens();
  t.equal(known.get('alice’s', 0), undefined);
  known.add('alice’s', principal('alice', 60_000), 0);
  known.add('bob’s', principal('bob', 5_000), 0);
  t.equal(known.get('alice’s', 9_999)?.userId, 'alice');
  t.equal(known.get('alice’s', 10_000), undefined);
  t.equal(known.get('bob’s', 4_999)?.userId, 'bob');
  t.equal(known.get('bob’s', 5_000), undefined);
  t.equal(known.get('alice’', 0), undefined, 'to the letter');
});

test('however many come, the newest thousand are known', async (t) => {
  const known = new KnownTokens();
  for (let number = 0; number < 5_000; number += 1)
    known.add(`${number}`, principal(`${number}`), number / 1_000);
  const found = Array.from({ length: 5_000 }, (_, number) => known.get(`${number}`, 5)).filter(Boolean);
  t.equal(found.length, 1_000);
  t.equal(found[0]?.userId, '4000');
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
