import { sql } from 'kysely';
import { type Test, test } from 'tap';
import { build, problemIn, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { endsOf, fill } from '../support/export.ts';
import { act, asAdmin, soon } from '../support/moderation.ts';
import { query } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';
import { tokenFor } from '../support/token.ts';

const REASON = 'ended by an administrator';

type Between = Awaited<ReturnType<typeof proxy>>;

/** The bans in force hold on an instance within this time, in milliseconds. */
const IN_FORCE_MS = 1_000;
/** What asks for the ban of one user. */
const QUESTION = '"b"."user_id" =';
/** Longer than what is known of bans is trusted. */
const STALE_MS = 900;

const own = async (server: { url: string }, user: string): Promise<Response> =>
  fetch(`${server.url}/audit/me?limit=1`, {
    headers: { authorization: `Bearer ${await tokenFor(user, 'chat')}` },
  });

const statusOf = async (server: { url: string }, user: string): Promise<number> =>
  (await own(server, user)).status;

/** Two instances on one database; the second one’s connections go through a proxy. */
async function pair(t: Test): Promise<{ one: TestApp; two: TestApp; between: Between }> {
  const one = await build(t);
  const between = await proxy(t, one.databaseUrl);
  const two = await build(t, { DATABASE_URL: between.url });
  return { one, two, between };
}

/** The tail of an instance hears nothing more: its connection is there, and no answer comes. */
async function hangTail({ app }: TestApp, between: Between): Promise<void> {
  await until('the tail has read', () => app.tail.readAgeMs < 400);
  between.forget('tail_read');
  await until('what is known is old', () => app.tail.behindMs > STALE_MS);
}

test('while banned, a user is refused everywhere with 403, and told until when and why', async (t) => {
  const server = await build(t);
  const scopes = ['chat', 'audit:read', 'admin'] as const;
  const headers = { authorization: `Bearer ${await tokenFor('mallory', ...scopes)}` };
  const paths = ['/audit', '/audit/0', '/audit/me', '/audit/actions', '/sessions', '/bans'];
  const ask = (path: string) => fetch(server.url + path, { headers });
  const end = soon(60_000);
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam', until: end });
  await until('the ban is known', async () => (await statusOf(server, 'mallory')) === 403);
  for (const path of paths) {
    const answer = await ask(path);
    t.equal(answer.status, 403, path);
    t.match(await problemIn(answer), {
      code: 'banned',
      detail: `You are banned until ${end.replace('Z', '000Z')}: spam`,
    });
  }
  await t.rejects(connect(t, server, 'mallory'), { message: 'refused: 403' });
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam again' });
  await until(
    'the new ban is known',
    async () => (await problemIn(await ask('/audit'))).detail === 'You are banned: spam again',
  );
  t.equal(await statusOf(server, 'alice'), 200, 'nobody else is');
  const refusals = await server.events('action=ACCESS_DENIED&user_id=mallory');
  t.match(refusals, [{ details: { code: 'banned' } }], 'the others are folded');
  const [handshake] = await server.events('action=CONNECTION_REFUSED&user_id=mallory');
  t.match(handshake, { details: { code: 'banned' } });
  const read = await server.events('action=AUDIT_READ&user_id=mallory');
  t.strictSame(read, [], 'and reads nothing');

  await act(server, 'DELETE', '/bans/mallory');
  await until('the ban is lifted', async () => (await statusOf(server, 'mallory')) === 200);
  for (const path of paths) t.equal((await ask(path)).status, 200, path);
  await (await connect(t, server, 'mallory')).next('welcome');
});

test('a ban closes all sessions of the user, and nobody else’s', async (t) => {
  const server = await build(t);
  const mallories = await Promise.all([1, 2, 3].map(() => connect(t, server, 'mallory')));
  const alice = await connect(t, server, 'alice');
  for (const client of [...mallories, alice]) await client.next('welcome');
  const told: string[] = [];
  server.app.moderation.onBanned((user) => told.push(user));
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam' });
  for (const { closed } of mallories) t.strictSame(await closed, { code: 4403, reason: REASON });
  await alice.ask({ type: 'message', text: 'still here' });
  t.strictSame(told, ['mallory'], 'whatever else they have open can be ended as well');
  await until(
    'the ends are on record',
    async () => (await server.events('action=DISCONNECTED&user_id=mallory')).length === 3,
  );
  const ends = await server.events('action=DISCONNECTED&user_id=mallory');
  t.ok(ends.every(({ details }) => details.code === 4403 && details.reason === REASON));
  t.strictSame(await query(server.databaseUrl, 'select * from chat_kick'), []);
});

test('a ban with an end lapses by itself, for requests and sessions alike', async (t) => {
  const server = await build(t);
  const { banned_at } = (await (
    await asAdmin(server, 'PUT', '/bans/mallory', { reason: 'spam', until: soon(1_200) })
  ).json()) as { banned_at: string };
  await until('the ban is known', async () => (await statusOf(server, 'mallory')) === 403);
  await until('it has lapsed', async () => (await statusOf(server, 'mallory')) === 200);
  const [clock] = await query<{ passed: number }>(
    server.databaseUrl,
    'select extract(epoch from clock_timestamp() - $1::timestamptz)::float8 * 1000 as passed',
    [banned_at],
  );
  t.ok((clock?.passed ?? 0) >= 1_000, `not before its time: after ${clock?.passed} ms`);
  await (await connect(t, server, 'mallory')).next('welcome');
  const answer = await asAdmin(server, 'DELETE', '/bans/mallory');
  t.equal(answer.status, 404, 'and there is nothing to lift');
});

test('an instance that starts knows the bans, and follows them', async (t) => {
  const one = await build(t);
  await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  await act(one, 'PUT', '/bans/trudy', { reason: 'spam' });
  await act(one, 'DELETE', '/bans/trudy');
  const two = await build(t, { DATABASE_URL: one.databaseUrl });
  t.equal(await statusOf(two, 'mallory'), 403);
  t.equal(await statusOf(two, 'trudy'), 200);
  await act(one, 'DELETE', '/bans/mallory');
  await until('the ban is lifted', async () => (await statusOf(two, 'mallory')) === 200);
});

test('a kick and a ban are in force on another instance within a second', async (t) => {
  const one = await build(t);
  const two = await build(t, { DATABASE_URL: one.databaseUrl });
  const alice = await connect(t, two, 'alice');
  const mallory = await connect(t, two, 'mallory');
  const { session_id } = await alice.next('welcome');
  await mallory.next('welcome');

  let since = performance.now();
  await act(one, 'DELETE', `/sessions/${session_id}`, { reason: 'spam' });
  t.strictSame(await alice.closed, { code: 4403, reason: REASON });
  t.ok(performance.now() - since < IN_FORCE_MS, `the kick took ${performance.now() - since} ms`);

  since = performance.now();
  await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  t.strictSame(await mallory.closed, { code: 4403, reason: REASON });
  await until('requests are refused', async () => (await statusOf(two, 'mallory')) === 403);
  t.ok(performance.now() - since < IN_FORCE_MS, `the ban took ${performance.now() - since} ms`);
  await t.rejects(connect(t, two, 'mallory'), { message: 'refused: 403' });
});

test('no request asks the database for bans while the log is followed', async (t) => {
  const { one, two, between } = await pair(t);
  await act(one, 'PUT', '/bans/trudy', { reason: 'spam', until: soon(1_000) });
  await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  await until('the bans are known', async () => (await statusOf(two, 'mallory')) === 403);
  await until('one has lapsed', async () => (await statusOf(two, 'trudy')) === 200);
  let asked = false;
  between.onRequest(QUESTION, () => {
    asked = two.app.tail.behindMs < STALE_MS;
  });
  const alice = await connect(t, two, 'alice');
  await alice.next('welcome');
  for (let n = 0; n < 20; n += 1) {
    await alice.ask({ type: 'message', text: `${n}` });
    t.equal(await statusOf(two, 'alice'), 200);
    t.equal(await statusOf(two, 'trudy'), 200, 'the end of a ban is asked for once');
    t.equal(await statusOf(two, 'mallory'), 403);
  }
  t.notOk(asked);
});

test('an instance whose tail hangs takes nothing of a kicked session, and closes it', async (t) => {
  const { one, two, between } = await pair(t);
  const alice = await connect(t, two, 'alice');
  const bob = await connect(t, two, 'bob');
  const { session_id } = await alice.next('welcome');
  await bob.next('welcome');
  await hangTail(two, between);
  const kick = await act(one, 'DELETE', `/sessions/${session_id}`);
  alice.send({ type: 'message', text: 'too late', ref: 'late' });
  t.match(await alice.next('error'), { code: 'forbidden', ref: 'late' });
  t.strictSame(await alice.closed, { code: 4403, reason: REASON });
  t.ok(two.app.tail.behindMs > STALE_MS, 'it has not even heard of the kick');
  await bob.ask({ type: 'message', text: 'others go on' });
  const after = (await one.events(`session_id=${session_id}`)).filter(({ seq }) => seq > kick.seq);
  t.strictSame(
    after.map(({ action }) => action).filter((action) => action !== 'MESSAGE_REFUSED'),
    ['DISCONNECTED'],
  );
});

test('an instance whose tail hangs asks the database who is banned', async (t) => {
  const { one, two, between } = await pair(t);
  await act(one, 'PUT', '/bans/trudy', { reason: 'spam' });
  await until('the first ban is known', async () => (await statusOf(two, 'trudy')) === 403);
  await hangTail(two, between);
  await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  await act(one, 'DELETE', '/bans/trudy');
  t.equal(await statusOf(two, 'mallory'), 403);
  await t.rejects(connect(t, two, 'mallory'), { message: 'refused: 403' });
  // Nor is it asked in vain who is not banned any more. The answer needs no tail.
  t.equal(await statusOf(two, 'trudy'), 200);
  t.ok(two.app.tail.behindMs > STALE_MS, 'it has not even heard of the ban');
});

test('while the tail hangs, a ban ends the streams and exports of its user within a second, and no other', async (t) => {
  const { one, two, between } = await pair(t);
  await fill(one, 24);
  const authorization = `Bearer ${await tokenFor('mallory', 'audit:read')}`;
  const exported = await fetch(`${two.url}/audit/export?action=MESSAGE_SENT`, { headers: { authorization } });
  const stuck = await openStream(t, two, 'from=-1h', { user: 'mallory' });
  stuck.pause();
  const live = await openStream(t, two, 'room=lobby', { user: 'mallory' });
  const other = await openStream(t, two);
  t.ok([exported, stuck, live, other].every(({ status }) => status === 200));
  await hangTail(two, between);
  await act(one, 'PUT', '/bans/mallory', { reason: 'leaks' });
  const bannedAt = performance.now();
  await live.closed;
  await until('the ends are on record', async () => (await endsOf(one)).length === 3);
  const took = performance.now() - bannedAt;
  t.ok(took < IN_FORCE_MS, `${Math.round(took)} ms`);
  t.ok(two.app.tail.behindMs > STALE_MS, 'it has not even heard of the ban');
  t.strictSame(await endsOf(one), ['banned', 'banned', 'denied']);
  await t.rejects(exported.text(), 'the export has no end');
  t.notOk(other.ended);
});

/** Counts what an instance asks for about the bans of single users. */
function questions(between: Between): { count: number } {
  const asked = { count: 0 };
  const watch = (): void =>
    between.onRequest(QUESTION, () => {
      asked.count += 1;
      watch();
    });
  watch();
  return asked;
}

test('while the tail hangs, requests of a user at one time share a question, which a new ban makes anew', async (t) => {
  const { one, two, between } = await pair(t);
  await hangTail(two, between);
  t.equal(await statusOf(two, 'mallory'), 200, 'a connection is there');
  const asked = questions(between);
  between.setDelay(20);
  const statuses = await Promise.all(Array.from({ length: 10 }, () => statusOf(two, 'mallory')));
  t.ok(statuses.every((status) => status === 200));
  t.ok(asked.count >= 1 && asked.count <= 3, `${asked.count} questions`);
  between.setDelay(0);
  await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  t.equal(await statusOf(two, 'mallory'), 403, 'an answer is not kept');
  t.equal(await statusOf(two, 'alice'), 200, 'nor another’s');
});

test('while the tail hangs, a question that is old is not shared', async (t) => {
  const { one, two, between } = await pair(t);
  await until('the pool is warm', async () => (await statusOf(two, 'mallory')) === 200);
  await hangTail(two, between);
  t.equal(await statusOf(two, 'mallory'), 200);
  // The database has answered, and the answer is on its way for a second and more.
  between.onRequest(QUESTION, () => between.setMode('swallow-answers'));
  const first = statusOf(two, 'mallory');
  await until(
    'it was asked',
    () => two.app.database.pools().handshake.idle < two.app.database.pools().handshake.open,
  );
  await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  const since = performance.now();
  await until('the question is old', () => performance.now() - since > STALE_MS);
  between.setMode('pass');
  t.equal(await statusOf(two, 'mallory'), 403);
  t.equal(await first, 503, 'the one before was never answered');
});

test('while the tail hangs, who has used up their requests has no question asked, nor waits for auditors', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const two = await build(t, { DATABASE_URL: between.url, LIMIT_QUERIES_PER_MINUTE: '2' });
  await hangTail(two, between);
  t.equal(await statusOf(two, 'mallory'), 200);
  t.equal(await statusOf(two, 'mallory'), 200);
  const asked = questions(between);
  for (let number = 0; number < 5; number += 1) t.equal(await statusOf(two, 'mallory'), 429);
  t.equal(asked.count, 0);

  const slow = Array.from({ length: 8 }, () => sql`select pg_sleep(1.5)`.execute(two.app.database.read));
  const startedAt = performance.now();
  await connect(t, two, 'alice');
  t.ok(performance.now() - startedAt < 1_000);
  t.equal(asked.count, 1);
  await Promise.all(slow);
});

test('who is banned while they connect does not come in', async (t) => {
  const { one, two, between } = await pair(t);
  between.onRequest('audit_append', () => between.setMode('hold'));
  const mallory = await connect(t, two, 'mallory');
  mallory.send({ type: 'message', text: 'hi', ref: '1' });
  const ban = await act(one, 'PUT', '/bans/mallory', { reason: 'spam' });
  between.setMode('pass');
  t.match(await mallory.closed, { code: 4403 });
  // Unless the tail was faster, and has closed it without a word.
  t.ok(mallory.frames.every((frame) => frame.type === 'error' && frame.code === 'banned'));
  const after = async () => (await one.events('user_id=mallory')).filter(({ seq }) => seq > ban.seq);
  await until('it is on record', async () => (await after()).length > 0);
  t.match(await after(), [
    { action: 'CONNECTION_REFUSED', session_id: null, details: { code: 'banned', count: 1 } },
  ]);
  t.equal((await after()).length, 1, 'there is no trace of a session after the ban');
  t.strictSame(await query(one.databaseUrl, 'select * from chat_session'), []);
});

test('after a restore, the bans of the log as it is now are in force', async (t) => {
  const server = await build(t);
  await act(server, 'PUT', '/bans/trudy', { reason: 'spam' });
  await until('the ban is known', async () => (await statusOf(server, 'trudy')) === 403);
  const mallory = await connect(t, server, 'mallory');
  await mallory.next('welcome');
  const told: string[] = [];
  server.app.moderation.onBanned((user) => told.push(user));
  // As if another state of the database had been put in the place of this one.
  await query(
    server.databaseUrl,
    `update chat_ban set user_id = 'mallory'; update audit_log set epoch = 'another-history'`,
  );
  await until('it has seen it', () => server.app.audit.epoch === 'another-history', 15_000);
  await until('the bans are read again', async () => (await statusOf(server, 'mallory')) === 403);
  t.equal(await statusOf(server, 'trudy'), 200);
  t.strictSame(told, ['mallory']);
  await mallory.closed;
  await t.rejects(connect(t, server, 'mallory'), { message: 'refused: 403' });
  await until(
    'the end of the session is on record',
    async () => (await query(server.databaseUrl, 'select from chat_session')).length === 0,
    20_000,
  );
});
