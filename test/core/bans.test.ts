import { test } from 'tap';
import { Bans, bannedError } from '../../src/core/bans.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';

const event = (fields: Partial<AuditEvent>): AuditEvent => ({
  seq: 1,
  timestamp: '2026-11-22T09:30:00.000000Z',
  occurred_at: '2026-11-22T09:30:00.000000Z',
  action: 'USER_BANNED',
  user_id: 'admin',
  message: null,
  room: null,
  session_id: null,
  target_user_id: 'mallory',
  instance: 'one',
  ip: null,
  erased_by: null,
  details: { reason: 'spam', until: null },
  ...fields,
});

test('bans are as the events of the log say', async (t) => {
  const bans = new Bans();
  t.equal(bans.apply(event({}), 0), 'mallory', 'who was banned is told');
  t.match(bans.get('mallory'), { seq: 1, reason: 'spam', until: null, endsAt: Number.POSITIVE_INFINITY });
  t.equal(bans.get('alice'), undefined);
  t.equal(bans.apply(event({ action: 'USER_KICKED', details: { reason: null } }), 0), undefined);
  t.equal(bans.apply(event({ action: 'USER_UNBANNED', seq: 2, details: { reason: null } }), 0), undefined);
  t.equal(bans.get('mallory'), undefined);
  t.equal(bans.apply(event({ target_user_id: null }), 0), undefined);
});

test('a ban with an end lasts as long as the database says, by the clock of this machine', async (t) => {
  const bans = new Bans();
  const until = '2026-11-22T09:30:02.500000Z';
  bans.apply(event({ details: { reason: 'spam', until } }), 1_000);
  t.match(bans.get('mallory'), { until, endsAt: 3_500 });
  bans.set('trudy', { reason: 'spam', until, seq: 3, remainingMs: 10 }, 2_000);
  t.match(bans.get('trudy'), { endsAt: 2_010, seq: 3 });
});

test('a ban is forgotten only if no other has come in its place', async (t) => {
  const bans = new Bans();
  bans.apply(event({ seq: 7 }), 0);
  bans.forget('mallory', 6);
  t.match(bans.get('mallory'), { seq: 7 });
  bans.forget('mallory', 7);
  t.equal(bans.get('mallory'), undefined);
  bans.apply(event({}), 0);
  bans.clear();
  t.equal(bans.get('mallory'), undefined);
});

test('a ban that has lapsed a minute ago is dropped with the next one', async (t) => {
  const bans = new Bans();
  const ban = (name: string, until: string | null, now: number) =>
    bans.apply(event({ target_user_id: name, details: { reason: 'spam', until } }), now);
  ban('for a second', '2026-11-22T09:30:01.000000Z', 0);
  ban('for two', '2026-11-22T09:30:02.000000Z', 0);
  ban('for ever', null, 0);
  ban('another', null, 61_500);
  t.equal(bans.get('for a second'), undefined);
  t.match(bans.get('for two'), { endsAt: 2_000 }, 'its end may be asked for still');
  t.equal(bans.size, 3);
  for (let n = 0; n < 2_000; n += 1) ban(`user ${n}`, '2026-11-22T09:30:00.001000Z', 100_000 + 100 * n);
  t.ok(bans.size < 620, `${bans.size} are known`);
  t.ok(bans.get('for ever'));
});

test('a banned user is told until when, and why', async (t) => {
  t.match(bannedError({ reason: 'spam', until: null }), {
    code: 'banned',
    status: 403,
    message: 'You are banned: spam',
  });
  t.match(bannedError({ reason: 'spam', until: '2099-01-01T00:00:00.000000Z' }), {
    message: 'You are banned until 2099-01-01T00:00:00.000000Z: spam',
  });
});
