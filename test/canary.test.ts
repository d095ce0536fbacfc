import { randomBytes } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SignJWT } from 'jose';
import { type Test, test } from 'tap';
import { WebSocket } from 'ws';
import { Client, until } from './support/client.ts';
import { createDatabase, query, serverUrl } from './support/postgres.ts';
import { type Proxy as DatabaseProxy, proxy } from './support/proxy.ts';
import { handshake, head, sendRaw } from './support/raw.ts';
import { type RunningServer, startServer } from './support/server.ts';

/**
 * Every place where something that is told to the server may come out: what the process prints, what it answers to
 * anybody, the frames of the chat, what an auditor reads, follows and exports, the tables of the log, what the database
 * shows of its connections and writes into a log of its own, and the files in DATA_DIR.
 */
const SINKS = [
  'output',
  'answers',
  'frames',
  'auditor',
  'stream',
  'export',
  'log',
  'activity',
  'postgres',
  'files',
] as const;
type Sink = (typeof SINKS)[number];
/** Whatever is on record comes out wherever the log is read. */
const RECORD = ['auditor', 'stream', 'export', 'log'] as const;

/** What is told to the server, and where it comes out. Everywhere else it must not. */
const allowed = {
  jwtSecret: [],
  databasePassword: [],
  // Of tokens the signature is looked for: without it the rest is worth nothing.
  goodToken: [],
  expiredToken: [],
  badToken: [],
  otherScheme: [],
  queryToken: [],
  // But for the answer to who bought it.
  boughtTicket: [],
  usedTicket: [],
  badTicket: [],
  cookie: [],
  body: [],
  malformed: [],
  message: ['frames', ...RECORD],
  userAgent: RECORD,
  filter: RECORD,
  // Where in the log a reader left off. It looks like an epoch, which has no capitals.
  position: [],
  kickReason: RECORD,
  // The user who is banned is told.
  banReason: ['answers', ...RECORD],
  ref: ['frames'],
  brokenFrame: [],
  unknownFrame: [],
  refusedText: [],
  binaryFrame: [],
  // Said while it could not be recorded.
  lost: [],
} as const satisfies Record<string, readonly Sink[]>;
type Canary = keyof typeof allowed;

const forEach = <Name extends string>(names: readonly Name[], make: (name: Name) => string) =>
  Object.fromEntries(names.map((name) => [name, make(name)])) as Record<Name, string>;

type World = {
  server: RunningServer;
  /** The database as its superuser reaches it. */
  databaseUrl: string;
  /** The way by which the server reaches it. */
  between: DatabaseProxy;
  /** Texts that stand nowhere else. */
  canary: Record<Canary, string>;
  /** What has come out so far. */
  seen: Record<Sink, string>;
  /** A header with a token that is good for everything, and one of a user who will be banned. */
  authorization: string;
  mallory: string;
};

async function startWorld(t: Test): Promise<World> {
  const suffix = randomBytes(8).toString('hex');
  const canary = forEach(Object.keys(allowed) as Canary[], (name) => `canary-${name}-${suffix}`);
  const databaseUrl = await createDatabase(t);
  const role = `canary_${suffix}`;
  await query(serverUrl(), `create role ${role} superuser login password '${canary.databasePassword}'`);
  t.teardown(() => query(serverUrl(), `drop role ${role}`));
  const asRole = new URL(databaseUrl);
  asRole.username = role;
  asRole.password = canary.databasePassword;
  const between = await proxy(t, asRole.href);
  const server = await startServer(t, {
    env: { DATABASE_URL: between.url, LOG_LEVEL: 'trace', JWT_SECRET: canary.jwtSecret },
  });
  const sign = (lifetime: string, user = 'alice'): Promise<string> =>
    new SignJWT({ scope: 'chat audit:read admin' })
      .setProtectedHeader({ alg: 'HS256' })
      .setSubject(user)
      .setExpirationTime(lifetime)
      .sign(new TextEncoder().encode(canary.jwtSecret));
  const [good, expired] = [await sign('1h'), await sign('-1h')];
  canary.goodToken = good.split('.')[2] ?? '';
  canary.expiredToken = expired.split('.')[2] ?? '';
  const seen = forEach(SINKS, () => '');
  const mallory = `Bearer ${await sign('1h', 'mallory')}`;
  const world = { server, databaseUrl, between, canary, seen, authorization: `Bearer ${good}`, mallory };
  await ask(world, head('GET /audit', { authorization: `Bearer ${expired}` }));
  return world;
}

/** Sends a request as bytes, and keeps the whole answer. */
async function ask({ server, seen }: World, bytes: string): Promise<void> {
  seen.answers += (await sendRaw(server.url, bytes)).text;
}

/** Follows the log from its beginning until now, and keeps what is shown. */
async function follow({ server, seen, authorization }: World, search = '', headers = {}): Promise<void> {
  const interval = `from=-1h&to=${new Date().toISOString()}`;
  const answer = await fetch(`${server.url}/audit/stream?${interval}${search}`, {
    headers: { authorization, ...headers },
  });
  seen.stream += await answer.text();
}

/** Opens a session, with a ticket if there is one; its frames are kept. */
async function chat(t: Test, world: World, ticket?: string): Promise<Client> {
  const { server, canary, seen, authorization } = world;
  const { userAgent, cookie } = canary;
  const socket = new WebSocket(
    `${server.url.replace('http', 'ws')}/ws`,
    ticket === undefined ? [] : ['minutebook.v1', `ticket.${ticket}`],
    { headers: { ...(ticket === undefined && { authorization }), cookie, 'user-agent': userAgent } },
  );
  t.teardown(() => socket.terminate());
  const client = new Client(socket);
  socket.on('message', (data: Buffer) => {
    seen.frames += data.toString();
  });
  await client.next('welcome');
  return client;
}

/** Good frames and bad ones. */
async function talk(t: Test, world: World): Promise<void> {
  const { message, ref, brokenFrame, unknownFrame, refusedText, binaryFrame } = world.canary;
  const alice = await chat(t, world);
  alice.send({ type: 'message', text: message, ref });
  await alice.next('ack');
  for (const frame of [
    `{"type":"message","text":"${brokenFrame}`,
    { type: unknownFrame },
    { type: 'message', text: unknownFrame, room: 7 },
    { type: 'message', text: `${refusedText}\0` },
    { type: 'message', text: refusedText, room: 'a room that nobody is in' },
    { type: 'join', room: 'lobby', since: { epoch: unknownFrame, seq: -1 } },
  ]) {
    alice.send(frame);
    await alice.next('error');
  }
  alice.socket.send(Buffer.from(binaryFrame), { binary: true });
  await alice.closed;
}

/** Tickets that are good, used up, made up, and shown where none belongs. */
async function knock(t: Test, world: World): Promise<void> {
  const { server, canary, authorization } = world;
  const buy = async (): Promise<string> => {
    const answer = await fetch(`${server.url}/ws/ticket`, { method: 'POST', headers: { authorization } });
    return ((await answer.json()) as { ticket: string }).ticket;
  };
  canary.boughtTicket = await buy();
  canary.usedTicket = await buy();
  const { usedTicket, boughtTicket, badTicket } = canary;
  await (await chat(t, world, usedTicket)).close();
  for (const offer of [
    `minutebook.v1, ticket.${usedTicket}`,
    `minutebook.v1, ticket.${badTicket}`,
    `ticket.${boughtTicket}`,
    `minutebook.v1, ticket.${boughtTicket}, ticket.${badTicket}`,
    `minutebook.v1, ticket.${boughtTicket} ticket.${badTicket}`,
  ]) {
    await ask(world, handshake('/ws', { 'sec-websocket-protocol': offer }));
  }
  await ask(world, handshake(`/ws?ticket=${boughtTicket}`));
  await ask(world, head(`POST /ws/ticket?ticket=${badTicket}`, { authorization }));
  await ask(world, head('GET /audit', { authorization: `Bearer ${boughtTicket}` }));
}

/** Kicks somebody and bans somebody, who is told why when they come. */
async function moderate(t: Test, world: World): Promise<void> {
  const { canary, authorization, mallory } = world;
  const { kickReason, banReason } = canary;
  const act = (requestLine: string, body: string): Promise<void> =>
    ask(
      world,
      `${head(requestLine, { authorization, 'content-type': 'application/json', 'content-length': `${body.length}` })}${body}`,
    );
  const reason = JSON.stringify({ reason: kickReason });
  for (const [search, body] of [
    [`?reason=${kickReason}`, '{}'],
    ['', reason],
  ] as const) {
    const client = await chat(t, world);
    const path = `/sessions/${client.all('welcome')[0]?.session_id}`;
    await act(`DELETE ${path}?reason=${kickReason}`, reason);
    await act(`DELETE ${path}${search}`, body);
    await client.closed;
  }
  await act('PUT /bans/mallory', JSON.stringify({ reason: banReason }));
  await act('PUT /bans/mallory', JSON.stringify({ reason: banReason, until: banReason }));
  for (const bytes of [
    handshake('/ws', { authorization: mallory }),
    head('GET /audit', { authorization: mallory }),
    head('POST /ws/ticket', { authorization: mallory }),
    head('GET /bans', { authorization }),
  ]) {
    await ask(world, bytes);
  }
}

/** Good requests and bad ones. */
async function request(world: World): Promise<void> {
  const { badToken, otherScheme, queryToken, cookie, body, malformed, filter, position } = world.canary;
  const { authorization } = world;
  const named = Buffer.from(`{"alg":"HS256","kid":"${badToken}"}`).toString('base64url');
  for (const bad of [
    `Bearer ${badToken}.${badToken}.${badToken}`,
    `Bearer ${named}.${named}.${badToken}`,
    `Bearer ${badToken}`,
    `Basic ${otherScheme}`,
    otherScheme,
  ]) {
    await ask(world, head('GET /audit', { authorization: bad }));
    await ask(world, handshake('/ws', { authorization: bad }));
  }
  for (const bytes of [
    head(`GET /audit?token=${queryToken}`, { authorization, cookie }),
    head(`GET /audit?access_token=${queryToken}`, { cookie }),
    head(`GET /audit/0?token=${queryToken}`, { authorization }),
    head(`GET /nowhere?token=${queryToken}`),
    head(`GET /%?token=${queryToken}`),
    handshake(`/ws?token=${queryToken}`, { authorization, cookie }),
    handshake(`/ws?access_token=${queryToken}`),
    head('GET /health/live', { referer: `http://localhost/?token=${queryToken}` }),
    `${head('POST /audit', { authorization, 'content-length': `${body.length}` })}${body}`,
    `${malformed}\r\n\r\n`,
    `GET /health/live HTTP/1.1\r\nHost: x\r\n${malformed}\r\n\r\n`,
    head('GET /health/live', { x: `${malformed}${'x'.repeat(20_000)}` }),
    head(`GET /audit?user_id=${filter}`, { authorization }).replace('GET', 'HEAD'),
    head(`GET /audit/export?q=${filter}`, { authorization }),
    head(`GET /audit/stats?group_by=room&q=${filter}`, { authorization }),
    head(`GET /audit/export?token=${queryToken}`, { authorization }),
    head(`GET /audit/stream?token=${queryToken}`, { authorization }),
    head(`GET /audit/stream?after=${position}`, { authorization }),
    head('GET /audit/stream', { authorization, 'last-event-id': `${position}:x` }),
  ]) {
    await ask(world, bytes);
  }
  await follow(world, `&after=${position}:5`);
  await follow(world, '', { 'last-event-id': `${position}:5` });
  for (const path of ['/health/ready', '/metrics', '/docs/json']) await ask(world, head(`GET ${path}`));
}

/** Breaks what is underneath, while something is said that the log then does not hold. */
async function breakThings(t: Test, world: World): Promise<void> {
  const { between, databaseUrl, server, authorization } = world;
  const { lost } = world.canary;
  const alice = await chat(t, world);
  const isReady = async (): Promise<boolean> => (await fetch(`${server.url}/health/ready`)).status === 200;

  // The database refuses the row, and tells all that is in it.
  await query(databaseUrl, `alter table audit_event add check (message not like '%${lost}%') not valid`);
  alice.send({ type: 'message', text: lost });
  await alice.next('error');
  // A read fails as none should.
  await query(databaseUrl, 'alter table audit_event rename column target_user_id to gone');
  await ask(world, head('GET /audit?target_user_id=x', { authorization }));
  await query(databaseUrl, 'alter table audit_event rename column gone to target_user_id');

  // The database goes away.
  between.setMode('refuse');
  await until('it is not ready', async () => !(await isReady()));
  alice.send({ type: 'message', text: lost });
  await alice.next('error');
  await ask(world, head(`GET /audit?user_id=${lost}`, { authorization }));
  await ask(world, head(`GET /audit/export?user_id=${lost}`, { authorization }));
  await ask(world, head('GET /health/ready'));
  await ask(world, head('GET /metrics'));
  between.setMode('pass');
  await until('it is ready again', isReady);
  // Its connections end: on command, and without a word.
  await query(
    databaseUrl,
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  );
  between.cut();
  await until('it is ready once more', isReady);
}

/** What an auditor reads, what the tables hold, and what the database shows of its connections. */
async function look(world: World): Promise<void> {
  const { server, databaseUrl, seen, authorization } = world;
  const read = async (path: string): Promise<string> =>
    (await fetch(server.url + path, { headers: { authorization } })).text();
  seen.auditor += await read('/audit?limit=1000');
  await follow(world);
  for (const format of ['ndjson', 'csv']) seen.export += await read(`/audit/export?format=${format}`);
  const rows = async (from: string): Promise<string> =>
    JSON.stringify(await query(databaseUrl, `select x::text from ${from} x`));
  seen.activity += await rows('pg_stat_activity');
  const tables = await query<{ name: string }>(
    databaseUrl,
    `select relname as name from pg_class where relnamespace = 'public'::regnamespace and relkind in ('r', 'p')`,
  );
  for (const { name } of tables) seen.log += await rows(`public.${name}`);
}

/** What was written into files meanwhile, by the server and by the Postgres of the tests. */
async function readFiles({ server, databaseUrl, seen }: World): Promise<void> {
  for (const name of await readdir(server.dataDir)) {
    seen.files += await readFile(join(server.dataDir, name), 'utf8');
  }
  const [row] = await query<{ folder: string }>(
    databaseUrl,
    "select current_setting('data_directory') as folder",
  );
  // Not there when the tests run on a Postgres of somebody’s own.
  seen.postgres = await readFile(join(row?.folder ?? '', '../postgres.log'), 'utf8').catch(() => '');
}

for (const withFaults of [false, true]) {
  const when = withFaults ? 'while everything breaks' : 'while all is well';
  test(`what is told in confidence comes out nowhere but where it belongs, ${when}`, async (t) => {
    const world = await startWorld(t);
    const { server, between, canary, seen } = world;
    await talk(t, world);
    await request(world);
    await knock(t, world);
    await moderate(t, world);
    if (withFaults) await breakThings(t, world);
    await look(world);
    // The last words are said to a database that does not listen.
    if (withFaults) between.setMode('swallow-all');
    server.child.kill('SIGTERM');
    await server.exited;
    await readFiles(world);
    seen.output = server.output();

    t.match(seen.output, '"path":"/audit"', 'requests are logged');
    t.match(seen.stream, 'event: reset', 'a reader came with a place of another log');
    for (const [name, sinks] of Object.entries(allowed)) {
      for (const sink of SINKS) {
        const isThere = seen[sink].includes(canary[name as Canary]);
        t.equal(isThere, (sinks as readonly Sink[]).includes(sink), `${name} in ${sink}`);
      }
    }
  });
}
