import { randomUUID } from 'node:crypto';
import { type Test, test } from 'tap';
import type { Ban } from '../../src/core/bans.ts';
import { build, problemIn, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { act, asAdmin, soon } from '../support/moderation.ts';
import { makeSlow, readSlowly } from '../support/slow-log.ts';
import { tokenFor } from '../support/token.ts';

const REASON = 'ended by an administrator';

type List = { data: Ban[]; has_more: boolean; next_cursor: string | null };

const bans = async (server: TestApp, query = ''): Promise<List> =>
  (await (await asAdmin(server, 'GET', `/bans?${query}`)).json()) as List;

/** Fails unless a request is refused as told. */
async function refused(
  t: Test,
  answer: Promise<Response>,
  status: number,
  problem: { code: string; parameter?: string },
  what?: string,
): Promise<void> {
  const response = await answer;
  t.equal(response.status, status, what ?? problem.code);
  t.match(await problemIn(response), problem, what ?? problem.code);
}

test('a kick closes the session with 4403, and the log says who did it to whom, and why', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const other = await connect(t, server, 'alice');
  const { session_id } = await alice.next('welcome');
  await other.next('welcome');
  const kick = await act(server, 'DELETE', `/sessions/${session_id.toUpperCase()}`, { reason: 'spam' });
  t.strictSame(await alice.closed, { code: 4403, reason: REASON });
  const [event] = await server.events('action=USER_KICKED');
  t.match(event, {
    ...kick,
    user_id: 'admin',
    target_user_id: 'alice',
    session_id,
    room: null,
    ip: '127.0.0.1',
    details: { reason: 'spam' },
  });
  await other.ask({ type: 'message', text: 'the other session goes on' });
  const again = await connect(t, server, 'alice');
  await again.next('welcome');
  const [end] = await server.events('action=DISCONNECTED');
  t.match(end, { session_id, details: { code: 4403, reason: REASON, rooms: ['lobby'] } });
});

test('the reason of a kick stands in the body or in the query, or nowhere, but not in both', async (t) => {
  const server = await build(t);
  const reasons: (string | null)[] = [];
  const kick = async (query: string, body?: unknown) => {
    const { session_id } = await (await connect(t, server, 'alice')).next('welcome');
    return asAdmin(server, 'DELETE', `/sessions/${session_id}${query}`, body);
  };
  for (const [query, body, reason] of [
    ['?reason=in%20the%20query', undefined, 'in the query'],
    ['', { reason: 'in the body' }, 'in the body'],
    ['?reason=in%20the%20query', {}, 'in the query'],
    ['', undefined, null],
    ['', {}, null],
  ] as const) {
    t.equal((await kick(query, body)).status, 200, `${query} ${JSON.stringify(body)}`);
    reasons.push(reason);
  }
  const events = await server.events('action=USER_KICKED');
  t.strictSame(
    events.map(({ details }) => details.reason),
    reasons,
  );
  const parameter = 'reason';
  const wrong = { code: 'invalid_parameter', parameter };
  await refused(t, kick('?reason=a', { reason: 'a' }), 400, wrong, 'in both');
  await refused(t, kick('?reason=a&reason=b'), 400, wrong, 'twice');
  await refused(t, kick('?reason='), 400, wrong, 'empty');
  await refused(t, kick('?reason=%00'), 400, wrong, 'NUL');
  await refused(t, kick('', { reason: 5 }), 400, wrong, 'a number');
  await refused(t, kick('', { reason: ['a'] }), 400, wrong, 'a list');
  await refused(t, kick('', { reason: null }), 400, wrong, 'null');
  await refused(t, kick('', { reason: 'x'.repeat(501) }), 400, wrong, 'too long');
  await refused(t, kick('', { why: 'a' }), 400, { code: 'invalid_parameter', parameter: 'why' });
  await refused(t, kick('?why=a'), 400, { code: 'invalid_parameter', parameter: 'why' });
  await refused(t, kick('', [{ reason: 'a' }]), 400, { code: 'bad_request' }, 'a list of one');
  await refused(t, kick('', '"a"'), 400, { code: 'bad_request' }, 'text');
  await refused(t, kick('', '{'), 400, { code: 'bad_request' }, 'no JSON');
  t.equal((await server.events('action=USER_KICKED')).length, reasons.length, 'what is refused kicks nobody');
});

test('a session that is not open cannot be kicked', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const { session_id } = await alice.next('welcome');
  const missing = { code: 'not_found', parameter: 'session_id' };
  await refused(t, asAdmin(server, 'DELETE', `/sessions/${randomUUID()}`), 404, missing, 'never was');
  for (const id of ['alice', '1', `${session_id}0`, `urn:uuid:${session_id}`]) {
    const wrong = { code: 'invalid_parameter', parameter: 'session_id' };
    await refused(t, asAdmin(server, 'DELETE', `/sessions/${id}`), 400, wrong, id);
  }
  await act(server, 'DELETE', `/sessions/${session_id}`);
  await alice.closed;
  await server.events();
  t.equal((await server.events('action=DISCONNECTED')).length, 1);
  await refused(t, asAdmin(server, 'DELETE', `/sessions/${session_id}`), 404, missing, 'is over');
});

test('a ban is recorded, answered and listed, and a new one takes its place', async (t) => {
  const server = await build(t);
  const until = '2099-12-31T23:59:59.5+02:00';
  const first = await (await asAdmin(server, 'PUT', '/bans/m%C3%A4llory', { reason: 'spam', until })).json();
  const [event] = await server.events('action=USER_BANNED');
  t.match(event, {
    user_id: 'admin',
    target_user_id: 'mällory',
    session_id: null,
    ip: '127.0.0.1',
    details: { reason: 'spam', until: '2099-12-31T21:59:59.500000Z' },
  });
  const listed = {
    user_id: 'mällory',
    reason: 'spam',
    until: '2099-12-31T21:59:59.500000Z',
    banned_by: 'admin',
    banned_at: event?.timestamp,
    seq: event?.seq,
  };
  t.strictSame(first, listed);
  t.strictSame(await bans(server), { data: [listed], has_more: false, next_cursor: null });
  const second = await act(server, 'PUT', '/bans/m%C3%A4llory', { reason: 'for ever' });
  t.match(await bans(server), { data: [{ reason: 'for ever', until: null, seq: second.seq }] });
  t.equal((await bans(server)).data.length, 1);
  t.equal((await server.events('action=USER_BANNED')).length, 2);
});

test('a lifted ban is recorded, and there is none to lift a second time', async (t) => {
  const server = await build(t);
  const missing = { code: 'not_found', parameter: 'user_id' };
  await refused(t, asAdmin(server, 'DELETE', '/bans/mallory'), 404, missing);
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam' });
  const lifted = await act(server, 'DELETE', '/bans/mallory');
  t.match(await server.events('action=USER_UNBANNED'), [
    { ...lifted, user_id: 'admin', target_user_id: 'mallory', details: { reason: null } },
  ]);
  t.strictSame((await bans(server)).data, []);
  await refused(t, asAdmin(server, 'DELETE', '/bans/mallory'), 404, missing);
  t.equal((await server.events('action=USER_UNBANNED')).length, 1);
});

test('the reason for lifting a ban is recorded: of the body or of the query, or none, but not of both', async (t) => {
  const server = await build(t);
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam' });
  const lift = (query: string, body?: unknown) => asAdmin(server, 'DELETE', `/bans/mallory${query}`, body);
  const wrong = { code: 'invalid_parameter', parameter: 'reason' };
  await refused(t, lift('?reason=a', { reason: 'a' }), 400, wrong, 'in both');
  await refused(t, lift('?reason=%00'), 400, wrong, 'NUL');
  await refused(t, lift('', { reason: 5 }), 400, wrong, 'a number');
  await refused(t, lift('', { reason: '' }), 400, wrong, 'empty');
  await refused(t, lift('', { reason: 'x'.repeat(501) }), 400, wrong, 'too long');
  await refused(t, lift('', { why: 'a' }), 400, { code: 'invalid_parameter', parameter: 'why' });
  await refused(t, lift('?why=a'), 400, { code: 'invalid_parameter', parameter: 'why' });
  await refused(t, lift('', 'null'), 400, { code: 'bad_request' }, 'no object');
  t.match((await bans(server)).data, [{ user_id: 'mallory' }], 'what is refused lifts no ban');
  const reasons: (string | null)[] = [];
  for (const [query, body, reason] of [
    ['', { reason: 'in the body' }, 'in the body'],
    ['?reason=in%20the%20query', undefined, 'in the query'],
    ['?reason=in%20the%20query', {}, 'in the query'],
    ['', undefined, null],
    ['', {}, null],
  ] as const) {
    t.equal((await lift(query, body)).status, 200, `${query} ${JSON.stringify(body)}`);
    await act(server, 'PUT', '/bans/mallory', { reason: 'spam' });
    reasons.push(reason);
  }
  t.strictSame(
    (await server.events('action=USER_UNBANNED')).map(({ details }) => details.reason),
    reasons,
  );
});

test('bans are listed page by page, those in force only', async (t) => {
  const server = await build(t);
  for (const user of ['a', 'b', 'c', 'd', 'e']) await act(server, 'PUT', `/bans/${user}`, { reason: 'spam' });
  await act(server, 'DELETE', '/bans/c');
  // One that has lapsed.
  await server.app.audit.record({
    action: 'USER_BANNED',
    target_user_id: 'f',
    details: { reason: 'spam', until: '2001-01-01T00:00:00.000000Z' },
  });
  const seen: string[] = [];
  for (let cursor = ''; ; ) {
    const { data, has_more, next_cursor } = await bans(server, `limit=3${cursor}`);
    seen.push(...data.map(({ user_id }) => user_id));
    if (!has_more) {
      t.equal(next_cursor, null);
      break;
    }
    cursor = `&cursor=${next_cursor}`;
  }
  t.strictSame(seen, ['a', 'b', 'd', 'e']);
  const foreign = (await server.page('limit=1')).next_cursor;
  for (const cursor of ['x', foreign]) {
    await refused(t, asAdmin(server, 'GET', `/bans?cursor=${cursor}`), 400, { code: 'invalid_cursor' });
  }
  for (const query of ['limit=0', 'limit=1001', 'limt=1', 'user_id=a'])
    await refused(t, asAdmin(server, 'GET', `/bans?${query}`), 400, { code: 'invalid_parameter' }, query);
});

test('a ban that is not as it should be is refused, and nobody is banned', async (t) => {
  const server = await build(t);
  const cases: [path: string, body: unknown, parameter: string][] = [
    ['/bans/admin', { reason: 'spam' }, 'user_id'],
    ['/bans/a%00b', { reason: 'spam' }, 'user_id'],
    [`/bans/${'x'.repeat(129)}`, { reason: 'spam' }, 'user_id'],
    ['/bans/mallory', {}, 'reason'],
    ['/bans/mallory', { reason: '' }, 'reason'],
    ['/bans/mallory', { reason: 'x'.repeat(501) }, 'reason'],
    ['/bans/mallory', { reason: 'a\0b' }, 'reason'],
    ['/bans/mallory', { reason: 7 }, 'reason'],
    ['/bans/mallory?reason=spam', { reason: 'spam' }, 'reason'],
    ['/bans/mallory', { reason: 'spam', until: '2001-01-01T00:00:00Z' }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: soon(-1) }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: '2099-12-31T23:59:59' }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: '2099-12-31' }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: '2099-02-30T00:00:00Z' }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: '-1h' }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: 4102444799 }, 'until'],
    ['/bans/mallory', { reason: 'spam', until: null }, 'until'],
    ['/bans/mallory', { reason: 'spam', untill: soon(60_000) }, 'untill'],
  ];
  for (const [path, body, parameter] of cases) {
    const problem = { code: 'invalid_parameter', parameter };
    await refused(t, asAdmin(server, 'PUT', path, body), 400, problem, `${path} ${JSON.stringify(body)}`);
  }
  await refused(t, asAdmin(server, 'PUT', '/bans/mallory'), 400, { code: 'bad_request' }, 'no body');
  await refused(t, asAdmin(server, 'PUT', '/bans/mallory', '[]'), 400, { code: 'bad_request' }, 'a list');
  t.strictSame((await bans(server)).data, []);
  t.strictSame(await server.events('action=USER_BANNED'), []);
});

test('only administrators moderate', async (t) => {
  const server = await build(t);
  const { session_id } = await (await connect(t, server, 'alice')).next('welcome');
  const token = await tokenFor('alice', 'chat', 'audit:read');
  for (const [method, path] of [
    ['DELETE', `/sessions/${session_id}`],
    ['GET', '/bans'],
    ['PUT', '/bans/mallory'],
    ['DELETE', '/bans/mallory'],
    ['DELETE', '/sessions/nonsense'],
  ] as const) {
    const ask = (headers: Record<string, string>) => fetch(server.url + path, { method, headers });
    await refused(t, ask({}), 401, { code: 'unauthenticated' }, `${method} ${path}`);
    await refused(t, ask({ authorization: `Bearer ${token}` }), 403, { code: 'forbidden' }, path);
  }
});

test('whoever reads the log, and however slowly, holds up no kick and no ban', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const { session_id } = await alice.next('welcome');
  await makeSlow(server, 4);
  let answered = 0;
  const reads = ['ann', 'ben', 'cleo', 'dan'].map((auditor) =>
    readSlowly(server, auditor).finally(() => {
      answered += 1;
    }),
  );
  await until('every connection that reads is taken', () => {
    const { open, idle } = server.app.database.pools().read;
    return open - idle === 4;
  });
  await act(server, 'DELETE', `/sessions/${session_id}`, { reason: 'spam' });
  t.match(await alice.closed, { code: 4403 });
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam', until: soon(60_000) });
  t.match((await bans(server)).data, [{ user_id: 'mallory' }]);
  await act(server, 'DELETE', '/bans/mallory');
  t.equal(answered, 0, 'all are reading still');
  t.strictSame(
    (await Promise.all(reads)).map(({ status }) => status),
    [200, 200, 200, 200],
  );
});
