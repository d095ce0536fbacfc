import { test } from 'tap';
import type { AuditPage } from '../../src/core/schemas.ts';
import { build, problemIn, type TestApp } from '../support/app.ts';
import { connect } from '../support/client.ts';
import { act } from '../support/moderation.ts';
import { tokenFor } from '../support/token.ts';

const own = async (server: TestApp, user: string, query = ''): Promise<Response> =>
  server.get(`/audit/me?${query}`, { authorization: `Bearer ${await tokenFor(user, 'chat')}` });

const ownPage = async (server: TestApp, user: string, query = ''): Promise<AuditPage> =>
  (await (await own(server, user, query)).json()) as AuditPage;

/** Two users who talk, one of whom is kicked in the end. */
async function talk(server: TestApp, t: Parameters<typeof build>[0], count = 3): Promise<void> {
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  const { session_id } = await alice.next('welcome');
  await bob.next('welcome');
  for (let n = 0; n < count; n += 1) {
    await alice.ask({ type: 'message', text: `alice ${n}` });
    await bob.ask({ type: 'message', text: `bob ${n}` });
  }
  await act(server, 'DELETE', `/sessions/${session_id}`);
  await alice.closed;
}

test('everybody reads what they did themselves, and nothing else', async (t) => {
  const server = await build(t);
  await talk(server, t);
  const all = await server.events();
  const { data } = await ownPage(server, 'alice', 'order=asc&limit=1000');
  const actions = data.map(({ action }) => action);
  t.ok(data.every(({ user_id }) => user_id === 'alice'));
  t.strictSame(
    data.filter(({ action }) => action !== 'DISCONNECTED'),
    all.filter(({ user_id, action }) => user_id === 'alice' && action !== 'DISCONNECTED'),
  );
  t.notOk(actions.includes('USER_KICKED'), 'what was done to them is not theirs');
  t.strictSame((await ownPage(server, 'carol')).data, [], 'who did nothing finds nothing');
});

test('the filters are those of GET /audit, within what is one’s own', async (t) => {
  const server = await build(t);
  await talk(server, t);
  const messages = async (query: string) =>
    (await ownPage(server, 'alice', `order=asc&${query}`)).data.map(({ message }) => message);
  t.strictSame(await messages('action=MESSAGE_SENT'), ['alice 0', 'alice 1', 'alice 2']);
  t.strictSame(await messages('action=MESSAGE_SENT&room=elsewhere'), []);
  t.strictSame(await messages('action=MESSAGE_SENT&involves=bob'), [], 'another’s are not to be had so');
  t.strictSame(await messages('action=MESSAGE_SENT&from=-1h&to=9999-01-01T00:00:00Z'), [
    'alice 0',
    'alice 1',
    'alice 2',
  ]);
  t.match(await ownPage(server, 'alice', 'action=MESSAGE_SENT&total=exact'), {
    total: { value: 3, exact: true },
  });
  for (const query of ['user_id=alice', 'user_id=bob', 'user_id=alice&user_id=bob']) {
    const answer = await own(server, 'alice', query);
    t.equal(answer.status, 400, query);
    t.match(await problemIn(answer), { code: 'invalid_parameter', parameter: 'user_id' });
  }
  t.equal((await own(server, 'alice', 'acton=LEFT')).status, 400);
  t.equal((await own(server, 'alice', 'limit=0')).status, 400);
});

test('its pages follow each other, by cursor and by Link', async (t) => {
  const server = await build(t);
  await talk(server, t, 5);
  const seen: (string | null)[] = [];
  let path: string | undefined = '/audit/me?action=MESSAGE_SENT&limit=2&order=asc';
  const headers = { authorization: `Bearer ${await tokenFor('alice', 'chat')}` };
  while (path !== undefined) {
    const answer = await server.get(path, headers);
    seen.push(...((await answer.json()) as AuditPage).data.map(({ message }) => message));
    t.equal(answer.headers.get('cache-control'), 'no-store');
    path = /^<(\/audit\/me\?[^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  t.strictSame(seen, ['alice 0', 'alice 1', 'alice 2', 'alice 3', 'alice 4']);
});

test('a cursor is good for one’s own pages only', async (t) => {
  const server = await build(t);
  await talk(server, t);
  const query = 'action=MESSAGE_SENT&limit=1';
  const alices = (await ownPage(server, 'alice', query)).next_cursor;
  const auditors = (await server.page(query)).next_cursor;
  const ofAlice = (await server.page(`${query}&user_id=alice`)).next_cursor;
  t.equal((await own(server, 'alice', `${query}&cursor=${alices}`)).status, 200);
  for (const [who, cursor] of [
    ['bob', alices],
    ['alice', auditors],
    ['alice', ofAlice],
  ] as const) {
    const answer = await own(server, who, `${query}&cursor=${cursor}`);
    t.equal(answer.status, 400, `${who} ${cursor}`);
    t.match(await problemIn(answer), { code: 'invalid_cursor', parameter: 'cursor' });
  }
  for (const filter of ['', '&user_id=alice']) {
    const answer = await server.get(`/audit?${query}${filter}&cursor=${alices}`);
    t.match(await problemIn(answer), { code: 'invalid_cursor' });
  }
});

test('reading one’s own events is on record, before they are seen', async (t) => {
  const server = await build(t);
  await talk(server, t);
  await own(server, 'alice', 'action=MESSAGE_SENT&room=lobby');
  const [read] = await server.events('action=AUDIT_READ&user_id=alice');
  t.match(read, {
    user_id: 'alice',
    ip: '127.0.0.1',
    details: { path: '/audit/me', filters: { action: ['MESSAGE_SENT'], room: 'lobby' }, rows: 3 },
  });
  t.match((await ownPage(server, 'alice', 'limit=1')).data, [{ action: 'AUDIT_READ' }], 'and is one’s own');
});

test('it needs the scope chat, and no other', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await tokenFor('auditor', 'audit:read', 'admin')}`;
  t.equal((await server.get('/audit/me', { authorization })).status, 403);
  t.equal((await server.get('/audit/me', {})).status, 401);
  t.equal((await server.get('/audit/nobody')).status, 400, '/audit/{seq} is still there');
});
