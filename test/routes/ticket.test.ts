import { connect as connectTcp } from 'node:net';
import { SignJWT } from 'jose';
import { type Test, test } from 'tap';
import { CodedError } from '../../src/core/errors.ts';
import { build, problemIn, SECRET, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { answerOf, handshake } from '../support/handshake.ts';
import { act } from '../support/moderation.ts';
import { query } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';
import { startServer } from '../support/server.ts';
import { buy, open, order, type Ticket, withTicket } from '../support/ticket.ts';
import { tokenFor } from '../support/token.ts';

/** A token with any claims. */
const sign = (claims: Record<string, unknown>): Promise<string> =>
  new SignJWT({ sub: 'alice', scope: 'chat', exp: Math.floor(Date.now() / 1_000) + 600, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .sign(new TextEncoder().encode(SECRET));

const refused = (status: number) => ({ message: `refused: ${status}` });

test('a page buys a ticket with its token, and opens one WebSocket with it', async (t) => {
  const server = await build(t);
  const before = Date.now();
  const answer = await order(server, await server.token('alice', 'chat'));
  t.equal(answer.status, 201);
  t.equal(answer.headers.get('cache-control'), 'no-store');
  const body = (await answer.json()) as Ticket;
  t.strictSame(Object.keys(body), ['ticket', 'expires_at']);
  const lasts = Date.parse(body.expires_at) - before;
  t.ok(lasts > 25_000 && lasts < 60_000, 'about 30 s');

  const alice = await open(t, server, withTicket(body.ticket), { headers: { origin: server.url } });
  t.equal(alice.socket.protocol, 'minutebook.v1', 'the ticket is not echoed');
  t.match(await alice.next('welcome'), { user_id: 'alice' });
  await alice.ask({ type: 'message', text: 'hello' });
  await t.rejects(open(t, server, withTicket(body.ticket)), refused(401), 'it is good once');
  t.match(await server.events('action=CONNECTED'), [{ user_id: 'alice' }]);
});

test('a ticket bought from one instance opens a WebSocket at another, once', async (t) => {
  const one = await build(t);
  const two = await build(t, { DATABASE_URL: one.databaseUrl });
  const ticket = await buy(one, await one.token('alice', 'chat'));
  const alice = await open(t, two, withTicket(ticket));
  await alice.next('welcome');
  for (const server of [one, two]) await t.rejects(open(t, server, withTicket(ticket)), refused(401));
});

test('of twenty handshakes with one ticket, over two instances, exactly one is let in', async (t) => {
  const one = await build(t);
  const two = await build(t, { DATABASE_URL: one.databaseUrl });
  const ticket = await buy(one, await one.token('alice', 'chat'));
  const attempts = await Promise.allSettled(
    Array.from({ length: 20 }, (_, n) => open(t, n % 2 === 0 ? one : two, withTicket(ticket))),
  );
  t.equal(attempts.filter(({ status }) => status === 'fulfilled').length, 1);
  for (const attempt of attempts) if (attempt.status === 'rejected') t.match(attempt.reason, refused(401));
  await until('it is on record', async () => (await one.events('action=CONNECTED')).length > 0);
  t.equal((await one.events('action=CONNECTED')).length, 1);
});

test('a ticket is worth what its token was: the rooms, and no other scope', async (t) => {
  const server = await build(t);
  const token = await sign({ rooms: ['desk'], scope: 'chat audit:read' });
  const alice = await open(t, server, withTicket(await buy(server, token)), { search: '?room=desk' });
  t.match(await alice.next('joined'), { room: 'desk' });
  alice.send({ type: 'join', room: 'elsewhere' });
  t.match(await alice.next('error'), { code: 'forbidden' });
  await t.rejects(
    open(t, server, withTicket(await buy(server, token)), { search: '?room=elsewhere' }),
    refused(403),
  );
  const ticket = await buy(server, token);
  t.equal((await server.get('/audit', { authorization: `Bearer ${ticket}` })).status, 401);
});

test('the session ends with the token that bought the ticket, and so does the ticket', async (t) => {
  const server = await build(t);
  // Clocks may differ by a minute, so these have a few seconds left.
  const exp = Math.floor(Date.now() / 1_000) - 56;
  const token = await sign({ exp });
  const left = await buy(server, token);
  const alice = await open(t, server, withTicket(await buy(server, token)));
  await alice.next('welcome');
  t.strictSame(await alice.closed, { code: 4401, reason: 'the token has expired' });
  t.ok(Date.now() >= (exp + 60) * 1_000, 'not before its minute of grace is over');
  t.ok(Date.now() < (exp + 65) * 1_000, 'and soon after');
  await t.rejects(open(t, server, withTicket(left)), refused(401));
  await until('the end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  t.match(await server.events('action=DISCONNECTED'), [{ user_id: 'alice', details: { code: 4401 } }]);
});

test('a ticket is refused for whatever would refuse the handshake, with one event each', async (t) => {
  const server = await build(t, { LIMIT_SESSIONS_PER_USER: '1' });
  const known = new Promise<string>((resolve) => server.app.moderation.onBanned(resolve));
  await act(server, 'PUT', '/bans/banned', { reason: 'spam' });
  t.equal(await known, 'banned');
  await (await connect(t, server, 'busy')).next('welcome');
  const chat = await sign({});
  const cases: [string, Response, number, string, string | null][] = [
    ['no token', await order(server), 401, 'unauthenticated', null],
    [
      'no right',
      await order(server, await sign({ sub: 'reader', scope: 'audit:read' })),
      403,
      'forbidden',
      'reader',
    ],
    ['banned', await order(server, await sign({ sub: 'banned' })), 403, 'banned', 'banned'],
    ['limited', await order(server, await sign({ sub: 'busy' })), 429, 'rate_limited', 'busy'],
    [
      'origin',
      await order(server, chat, { origin: 'https://evil.example' }),
      403,
      'origin_not_allowed',
      null,
    ],
  ];
  for (const [what, answer, status, code] of cases) {
    t.equal(answer.status, status, what);
    t.match(answer.headers.get('content-type'), 'application/problem+json', what);
    t.match(await problemIn(answer), { code }, what);
  }
  await until('all are on record', async () => {
    const events = await server.events('action=ACCESS_DENIED&action=REQUEST_REFUSED');
    return events.length === cases.length;
  });
  for (const [what, , , code, user] of cases) {
    const events = (await server.events('action=ACCESS_DENIED&action=REQUEST_REFUSED')).filter(
      ({ user_id, details }) => user_id === user && details.code === code,
    );
    t.match(events, [{ details: { method: 'POST', route: '/ws/ticket', count: 1 } }], what);
    t.equal(events.length, 1, what);
  }
  t.equal((await query(server.databaseUrl, 'select 1 from chat_ticket')).length, 0, 'nobody got one');
  t.equal((await order(server, chat, { origin: server.url })).status, 201);
  t.equal(
    (
      await fetch(`${server.url}/ws/ticket?user=alice`, {
        method: 'POST',
        headers: { authorization: `Bearer ${chat}` },
      })
    ).status,
    400,
  );
});

test('nothing is asked beside a ticket: any body but none and {} is refused, and buys none', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('alice', 'chat')}`;
  const send = (body: string | undefined, type = 'application/json') =>
    fetch(`${server.url}/ws/ticket`, {
      method: 'POST',
      headers: { authorization, ...(body === undefined ? {} : { 'content-type': type }) },
      ...(body === undefined ? {} : { body }),
    });
  const badRequest = { code: 'bad_request' };
  for (const [body, type, status, problem] of [
    ['{"room":"lobby"}', undefined, 400, { code: 'invalid_parameter', parameter: 'room' }],
    ['{"__proto__":{}}', undefined, 400, badRequest],
    ['[]', undefined, 400, badRequest],
    ['null', undefined, 400, badRequest],
    ['0', undefined, 400, badRequest],
    ['"lobby"', undefined, 400, badRequest],
    ['{', undefined, 400, badRequest],
    ['{}', 'text/plain', 400, badRequest],
    ['room=lobby', 'application/x-www-form-urlencoded', 415, { code: 'unsupported_media_type' }],
  ] as const) {
    const answer = await send(body, type);
    t.equal(answer.status, status, body);
    t.match(await problemIn(answer), problem, body);
  }
  t.strictSame(await query(server.databaseUrl, 'select 1 from chat_ticket'), [], 'nobody got one');
  for (const body of [undefined, '{}', ' {} ']) t.equal((await send(body)).status, 201, String(body));
});

/** Both ways into a session, by the same token; each resolves with its answer. */
const bothWays = async (server: TestApp, user: string): Promise<Response[]> => {
  const token = await server.token(user, 'chat');
  const text = await answerOf(await handshake(server, '/ws', { Authorization: `Bearer ${token}` }));
  const [head = '', body = ''] = text.split('\r\n\r\n');
  const [status = '', ...lines] = head.split('\r\n');
  const headers = lines.map((line) => line.split(': ', 2) as [string, string]);
  return [await order(server, token), new Response(body, { status: Number(status.split(' ')[1]), headers })];
};

/** Both are refused by the same limit, in the same words. */
async function bothLimited(t: Test, server: TestApp, user: string): Promise<Response[]> {
  const answers = await bothWays(server, user);
  const problems = await Promise.all(answers.map(problemIn));
  for (const problem of problems) t.match(problem, { status: 429, code: 'rate_limited' });
  t.equal(problems[0]?.detail, problems[1]?.detail);
  for (const answer of answers) t.ok(Number(answer.headers.get('retry-after')) > 0);
  return answers;
}

test('a ticket is refused where a user has as many sessions as they may, and sold one below', async (t) => {
  const server = await build(t, { LIMIT_SESSIONS_PER_USER: '2' });
  const token = await server.token('alice', 'chat');
  const first = await open(t, server, withTicket(await buy(server, token)));
  for (let n = 0; n < 5; n += 1) t.equal((await order(server, token)).status, 201, 'none of these counts');
  await open(t, server, withTicket(await buy(server, token)));
  await bothLimited(t, server, 'alice');
  await buy(server, await server.token('bob', 'chat'));
  await first.close();
  await until('there is room again', async () => (await order(server, token)).status === 201);
  await open(t, server, withTicket(await buy(server, token)));
});

test('a ticket is refused where an address has as many connections as it may, and sold one below', async (t) => {
  // Behind a proxy, where plain connections are the proxy's: elsewhere the one that asks for the ticket counts as well.
  const server = await build(t, { LIMIT_CONNECTIONS_PER_IP: '2', TRUST_PROXY: '127.0.0.1' });
  const token = await server.token('carol', 'chat');
  const alice = await connect(t, server, 'alice');
  for (let n = 0; n < 5; n += 1) t.equal((await order(server, token)).status, 201, 'none of these counts');
  await open(t, server, withTicket(await buy(server, await server.token('bob', 'chat'))));
  await bothLimited(t, server, 'carol');
  await alice.close();
  await until('there is room again', async () => (await order(server, token)).status === 201);
});

test('a ticket is refused where an address has begun as many handshakes as it may, and takes none of them', async (t) => {
  const server = await build(t, { LIMIT_HANDSHAKES_PER_MINUTE_IP: '2' });
  const token = await server.token('alice', 'chat');
  await open(t, server, withTicket(await buy(server, token)));
  const tickets = await Promise.all(Array.from({ length: 10 }, () => buy(server, token)));
  await open(t, server, withTicket(tickets[0] ?? ''));
  for (const { headers } of await bothLimited(t, server, 'alice')) {
    t.equal(headers.get('ratelimit-policy'), '"handshakes";q=2;w=60');
    t.equal(headers.get('ratelimit'), `"handshakes";r=0;t=${headers.get('retry-after')}`);
  }
});

test('guards are asked about whoever comes with a ticket, each time', async (t) => {
  const server = await build(t);
  const seen: string[] = [];
  let isBanned = false;
  server.app.auth.addGuard(({ userId }, request) => {
    seen.push(`${userId} ${request.method} ${request.routeOptions.url}`);
    if (isBanned && userId === 'alice') throw new CodedError('forbidden', 'You are banned.');
  });
  const token = await sign({});
  const [good, late] = [await buy(server, token), await buy(server, token)];
  await (await open(t, server, withTicket(good))).next('welcome');
  isBanned = true;
  await t.rejects(open(t, server, withTicket(late)), refused(403), 'banned since the ticket was bought');
  t.strictSame(
    seen.filter((what) => what.startsWith('alice')),
    ['POST /ws/ticket', 'POST /ws/ticket', 'GET /ws', 'GET /ws'].map((what) => `alice ${what}`),
  );
  await until('it is on record', async () => (await server.events('action=CONNECTION_REFUSED')).length > 0);
  t.match(await server.events('action=CONNECTION_REFUSED'), [
    { user_id: 'alice', details: { code: 'forbidden' } },
  ]);
});

test('what is refused unread leaves the ticket good', async (t) => {
  const server = await build(t);
  const token = await sign({});
  const ticket = await buy(server, token);
  for (const [what, protocols, options, status] of [
    ['another origin', withTicket(ticket), { headers: { origin: 'https://evil.example' } }, 403],
    ['an origin that says nothing', withTicket(ticket), { headers: { origin: 'null' } }, 403],
    ['nothing of ours beside it', [`ticket.${ticket}`], {}, 400],
    ['another one beside it', [...withTicket(ticket), 'ticket.x'], {}, 400],
    ['a token beside it', withTicket(ticket), { headers: { authorization: `Bearer ${token}` } }, 400],
    ['a name beside it', withTicket(ticket), { search: '?user=alice' }, 400],
  ] as [string, string[], { headers?: Record<string, string>; search?: string }, number][]) {
    await t.rejects(open(t, server, protocols, options), refused(status), what);
  }
  await (await open(t, server, withTicket(ticket))).next('welcome');
});

test('a ticket that is none is 401, with one event that does not hold it', async (t) => {
  const server = await build(t);
  const made = 'made-up-by-somebody-made-up-by-somebody-abc';
  for (const ticket of [made, '', 'short', `${made}${made}`]) {
    await t.rejects(open(t, server, withTicket(ticket)), refused(401), ticket);
  }
  await until('it is on record', async () => (await server.events('action=CONNECTION_REFUSED')).length > 0);
  const events = await server.events();
  t.match(
    events.filter(({ action }) => action === 'CONNECTION_REFUSED'),
    [{ user_id: null, ip: '127.0.0.1', details: { code: 'unauthenticated', count: 1 } }],
  );
  t.notMatch(JSON.stringify(events), 'made-up-by');
});

test('while the database is away there are no tickets, and it is said so', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const token = await sign({});
  const ticket = await buy(server, token);
  between.setMode('refuse');
  const answer = await order(server, token);
  t.equal(answer.status, 503);
  t.match(await problemIn(answer), { code: 'audit_unavailable' });
  await t.rejects(open(t, server, withTicket(ticket)), refused(503));
  between.setMode('pass');
  await until('there are again', async () => (await order(server, token)).status === 201);
  await (await open(t, server, withTicket(ticket))).next('welcome');
});

test('no ticket reaches the server’s log, the audit log or the database, good or bad', async (t) => {
  const { databaseUrl, ...reader } = await build(t);
  const server = await startServer(t, {
    env: { DATABASE_URL: databaseUrl, JWT_SECRET: SECRET, LOG_LEVEL: 'trace' },
  });
  const token = await tokenFor('alice', 'chat');
  const ticket = await buy(server, token);
  const alice = await open(t, server, withTicket(ticket));
  await alice.next('welcome');
  const made = 'made-up-by-somebody-made-up-by-somebody-abc';
  await t.rejects(open(t, server, withTicket(made)), refused(401));
  await t.rejects(open(t, server, [...withTicket(ticket), 'ticket.x']), refused(400));
  await t.rejects(open(t, server, withTicket(ticket)), refused(401));
  await alice.close();
  await until('all is on record', async () => {
    const actions = (await reader.events()).map(({ action }) => action);
    return actions.includes('DISCONNECTED') && actions.includes('CONNECTION_REFUSED');
  });
  server.child.kill('SIGTERM');
  await server.exited;
  const records = JSON.stringify(await query(databaseUrl, 'select e::text from audit_event e'));
  const kept = JSON.stringify(await query(databaseUrl, 'select t::text from chat_ticket t'));
  t.match(server.output(), '/ws/ticket', 'there is a log to look at');
  for (const secret of [ticket, made, token]) {
    for (const text of [server.output(), records, kept]) t.notOk(text.includes(secret));
  }
});

test('the subprotocol is named to whoever offers it, and nothing else ever is', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await sign({})}`;
  const bot = await open(t, server, ['soap', 'minutebook.v1'], { headers: { authorization } });
  t.equal(bot.socket.protocol, 'minutebook.v1');
  await bot.next('welcome');
  const plain = await connect(t, server, 'alice');
  t.equal(plain.socket.protocol, '');
  // RFC 6455 4.2.2: the server may agree to none, and it is for the client to go on or not.
  const { port, hostname, host } = new URL(server.url);
  const socket = connectTcp(Number(port), hostname);
  t.teardown(() => socket.destroy());
  socket.write(
    `GET /ws HTTP/1.1\r\nHost: ${host}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n` +
      'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: soap, wamp\r\n' +
      `Authorization: ${authorization}\r\n\r\n`,
  );
  const answer = await new Promise<string>((resolve) =>
    socket.once('data', (data) => resolve(data.toString('latin1'))),
  );
  t.match(answer, 'HTTP/1.1 101');
  t.notMatch(answer, /sec-websocket-protocol/i);
});
