import { createHash } from 'node:crypto';
import { test } from 'tap';
import type { Principal } from '../../../plugins/auth/index.ts';
import { redeemTicket, sellTicket } from '../../../plugins/auth/tickets.ts';
import { openDb } from '../../support/log-store.ts';
import { createDatabase, query } from '../../support/postgres.ts';

const alice: Principal = {
  userId: 'alice',
  scopes: new Set(['chat']),
  rooms: undefined,
  expiresAt: Date.now() + 60_000,
  keyThumbprint: undefined,
};

test('a ticket gives back what the token said, whatever that was', async (t) => {
  const db = openDb(t, await createDatabase(t), 'handshake');
  for (const principal of [
    alice,
    { ...alice, expiresAt: undefined },
    { ...alice, keyThumbprint: 'NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs' },
    { ...alice, scopes: new Set<string>(), rooms: new Set<string>() },
    { ...alice, userId: 'Ünïcode “"\\', rooms: new Set(['desk', 'a b']) },
    { ...alice, scopes: new Set(['chat', 'nul \0']), rooms: new Set(['lone \ud800']) },
  ]) {
    const { ticket } = await sellTicket(db, principal);
    t.strictSame(await redeemTicket(db, ticket), principal);
  }
});

test('tickets are 256 random bits, and only their hashes are kept, for 30 s', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'handshake');
  const sold = await Promise.all(Array.from({ length: 50 }, () => sellTicket(db, alice)));
  t.equal(new Set(sold.map(({ ticket }) => ticket)).size, 50);
  for (const { ticket, expires_at } of sold) {
    t.match(ticket, /^[\w-]{43}$/);
    t.match(expires_at, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  }
  const rows = await query<{ hash: Buffer; left: string; row: string }>(
    url,
    'select hash, extract(epoch from expires_at - now()) as left, c::text as row from chat_ticket c',
  );
  t.strictSame(
    rows.map(({ hash }) => hash.toString('hex')).toSorted(),
    sold.map(({ ticket }) => createHash('sha256').update(ticket).digest('hex')).toSorted(),
  );
  for (const { left, row } of rows) {
    t.ok(Number(left) > 20 && Number(left) <= 30);
    t.ok(sold.every(({ ticket }) => !row.includes(ticket)));
  }
});

test('of twenty uses at once, exactly one is good', async (t) => {
  const url = await createDatabase(t);
  const pools = Array.from({ length: 4 }, () => openDb(t, url, 'handshake'));
  for (let round = 0; round < 5; round += 1) {
    const { ticket } = await sellTicket(openDb(t, url, 'handshake'), alice);
    const uses = await Promise.allSettled(
      pools.flatMap((db) => Array.from({ length: 5 }, () => redeemTicket(db, ticket))),
    );
    const refused = uses.filter((use) => use.status === 'rejected');
    t.equal(refused.length, 19);
    t.ok(refused.every(({ reason }) => reason.code === 'unauthenticated'));
  }
});

test('an expired ticket is no good, nor is one whose token has expired', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'handshake');
  const { ticket } = await sellTicket(db, alice);
  await query(url, "update chat_ticket set expires_at = expires_at - interval '30 seconds'");
  await t.rejects(redeemTicket(db, ticket), { code: 'unauthenticated' });
  const late = await sellTicket(db, { ...alice, expiresAt: Date.now() });
  await t.rejects(redeemTicket(db, late.ticket), { code: 'unauthenticated', message: /has expired/ });
});

test('what cannot be a ticket is refused without asking the database', async (t) => {
  const db = openDb(t, 'postgres://127.0.0.1:1/nowhere', 'handshake');
  for (const text of ['', 'a', 'x'.repeat(42), 'x'.repeat(44), `${'x'.repeat(42)}=`, `${'x'.repeat(43)}\n`]) {
    await t.rejects(redeemTicket(db, text), { code: 'unauthenticated' }, JSON.stringify(text));
  }
  await t.rejects(
    redeemTicket(db, 'x'.repeat(43)),
    { code: 'audit_unavailable' },
    'and what may be one asks it',
  );
  await t.rejects(sellTicket(db, alice), { code: 'audit_unavailable' });
});

test('tickets that nobody came for are cleared away, ten for each that is issued', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'handshake');
  await query(
    url,
    `insert into chat_ticket select sha256(n::text::bytea), '', now() - interval '1 second' * n from generate_series(1, 25) n`,
  );
  const left: number[] = [];
  for (let n = 0; n < 4; n += 1) {
    await sellTicket(db, alice);
    const rows = await query(url, 'select 1 from chat_ticket where expires_at < now()');
    left.push(rows.length);
  }
  t.strictSame(left, [15, 5, 0, 0]);
  t.equal((await query(url, 'select 1 from chat_ticket')).length, 4, 'those that are good stay');
});
