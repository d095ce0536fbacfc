import { createHash } from 'node:crypto';
import { connect as connectTcp, type Socket } from 'node:net';
import { type Test, test } from 'tap';
import { eventFields } from '../../src/core/event-fields.ts';
import type { Draft } from '../../src/core/events.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build, problemIn, SECRET, type TestApp } from '../support/app.ts';
import { until } from '../support/client.ts';
import { parseCsv } from '../support/csv.ts';
import { eventsIn, fill, takeExport } from '../support/export.ts';
import { issuer, makeKey, signWith } from '../support/issuer.ts';
import { act } from '../support/moderation.ts';
import { query } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';
import { head } from '../support/raw.ts';
import { startServer } from '../support/server.ts';
import { tokenFor } from '../support/token.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const MESSAGES = 'action=MESSAGE_SENT';

/** Records messages; resolves when all are on record. */
async function say(server: TestApp, messages: readonly string[], fields: Partial<Draft> = {}): Promise<void> {
  await Promise.all(
    messages.map((message) =>
      server.app.audit.record({
        action: 'MESSAGE_SENT',
        user_id: 'alice',
        room: 'lobby',
        message,
        ...fields,
      } as Draft),
    ),
  );
}

/** How exports ended so far, oldest first. */
const ends = async (server: TestApp): Promise<AuditEvent['details'][]> =>
  (await server.events('action=AUDIT_EXPORTED'))
    .map(({ details }) => details)
    .filter(({ outcome }) => outcome !== undefined);

/** Waits for the record of the next end; there is none yet. */
async function endOf(server: TestApp): Promise<AuditEvent['details']> {
  await until('the end of the export is on record', async () => (await ends(server)).length === 1);
  const [end = {}] = await ends(server);
  return end;
}

/** Asks for an export over a socket that reads nothing until it is told to. */
async function ask(
  t: Test,
  server: Pick<TestApp, 'url' | 'token'>,
  path: string,
  { user = 'auditor', token }: { user?: string; token?: string } = {},
): Promise<Socket> {
  const authorization = `Bearer ${token ?? (await server.token(user, 'audit:read'))}`;
  const { hostname, port } = new URL(server.url);
  const socket = connectTcp(Number(port), hostname);
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  socket.pause();
  socket.write(head(`GET ${path}`, { authorization }));
  return socket;
}

/** Everything that still comes; resolves when the connection has ended. */
const rest = (socket: Socket): Promise<string> =>
  new Promise((resolve) => {
    let text = '';
    socket.on('data', (chunk: Buffer) => {
      text += chunk.toString('latin1');
    });
    socket.on('close', () => resolve(text));
    socket.resume();
  });

/** Resolves when an export has begun, and the socket that reads nothing has taken what it can. */
async function begun(server: TestApp): Promise<void> {
  await until('the export is on record', async () => {
    const rows = await query(server.databaseUrl, "select from audit_event where action = 'AUDIT_EXPORTED'");
    return rows.length === 1;
  });
}

test('an export holds all that matches up to the head at its start, and its last line says so', async (t) => {
  const server = await build(t);
  await say(
    server,
    Array.from({ length: 2_500 }, (_, n) => `${n}`),
  );
  await say(server, ['elsewhere'], { room: 'other' });
  const all = await server.events();
  const exported = await takeExport(server, '');
  const events = eventsIn(exported);
  // What came between is the record of the reading itself.
  t.strictSame(events.slice(0, all.length), all);
  t.ok(events.slice(all.length).every(({ action }) => action === 'AUDIT_READ'));
  const before = exported.text.slice(0, exported.text.lastIndexOf('\n', exported.text.length - 2) + 1);
  t.strictSame(JSON.parse(exported.text.slice(before.length)), {
    end: true,
    count: events.length,
    first_seq: 0,
    last_seq: events.length - 1,
    sha256: createHash('sha256').update(before).digest('hex'),
  });
  const some = await takeExport(server, `${MESSAGES}&room=lobby`);
  t.equal(eventsIn(some).length, 2_500);
  t.ok(some.verdict.ok);
});

test('every filter of /audit gives the same events in an export', async (t) => {
  const server = await build(t);
  await say(server, ['Hello', 'hello there', 'bye']);
  await say(server, ['by bob'], { user_id: 'bob', ip: '10.0.0.1', target_user_id: 'alice' });
  const middle = (await server.events(MESSAGES))[1]?.timestamp ?? '';
  const at = encodeURIComponent(middle);
  for (const filter of [
    MESSAGES,
    'user_id=alice&user_id=bob',
    'target_user_id=alice',
    'involves=alice',
    'room=lobby',
    'ip=10.0.0.1',
    'q=HELLO',
    `${MESSAGES}&from=${at}`,
    `to=${at}`,
    'session_id=00000000-0000-4000-8000-000000000000',
  ]) {
    t.strictSame(eventsIn(await takeExport(server, filter)), await server.events(filter), filter);
  }
});

test('CSV carries line ends, quotes, formulas, emoji and 64 KiB as they were said', async (t) => {
  const server = await build(t);
  const said = [
    'a\r\nb',
    '"quoted", and more',
    '=1+1',
    "'=1+1",
    '😀 é 漢',
    '#end,1,0,0,x',
    'x'.repeat(64 * KIB),
    ',',
  ];
  await say(server, said);
  const { bytes, text, verdict } = await takeExport(server, MESSAGES, 'csv');
  t.match(verdict, { ok: true, trailer: { count: said.length } });
  const [header, ...records] = parseCsv(text);
  t.strictSame(header, [...eventFields]);
  t.ok(records.every(({ length }) => length === eventFields.length));
  const messages = records.slice(0, -1).map((record) => (record[5] ?? '').replace(/^'/, ''));
  t.strictSame(messages, said);
  t.ok(text.includes(",'=1+1,"), 'the formula is none');
  const [end, , , , sha256 = ''] = records.at(-1) ?? [];
  t.equal(end, '#end');
  const before = bytes.subarray(0, bytes.lastIndexOf('#end'));
  t.equal(sha256, createHash('sha256').update(before).digest('hex'));
});

test('an export of nothing is a last line', async (t) => {
  const server = await build(t);
  t.match(JSON.parse((await takeExport(server, 'room=nowhere')).text), {
    end: true,
    count: 0,
    first_seq: null,
    last_seq: null,
  });
  t.equal(parseCsv((await takeExport(server, 'room=nowhere', 'csv')).text).length, 2);
  const later = encodeURIComponent('2999-01-01T00:00:00Z');
  t.match(JSON.parse((await takeExport(server, `from=${later}`)).text), { count: 0 });
});

test('an export is on record before its first byte, and again at its end, with who, what and how many', async (t) => {
  const server = await build(t);
  await say(server, ['one', 'two']);
  await takeExport(server, `${MESSAGES}&user_id=alice`);
  await until('its end is on record', async () => (await ends(server)).length === 1);
  const [start, end] = await server.events('action=AUDIT_EXPORTED');
  const filters = { action: ['MESSAGE_SENT'], user_id: ['alice'] };
  t.match(start, { user_id: 'auditor', ip: '127.0.0.1' });
  t.strictSame(start?.details, {
    phase: 'started',
    format: 'ndjson',
    filters,
    from_seq: 0,
    to_seq: start?.seq,
  });
  t.strictSame(end?.details, {
    ...start?.details,
    phase: 'ended',
    started_seq: start?.seq,
    rows: 2,
    outcome: 'complete',
  });
});

test('the headers name a file that nobody stores on the way', async (t) => {
  const server = await build(t);
  const answer = await server.get('/audit/export?format=csv&from=-1h');
  t.equal(answer.status, 200);
  t.equal(answer.headers.get('content-type'), 'text/csv; charset=utf-8; header=present');
  t.equal(answer.headers.get('cache-control'), 'no-store');
  t.match(answer.headers.get('content-disposition'), /^attachment; filename="minutebook-0-\d+\.csv"$/);
  t.match(await answer.text(), /^seq,/);
});

test('HEAD tells nothing of the log, reads nothing, and leaves no record', async (t) => {
  const server = await build(t);
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  const ask = (query: string) =>
    fetch(`${server.url}/audit/export?${query}`, { method: 'HEAD', headers: { authorization } });
  await query(server.databaseUrl, 'alter table audit_batch rename to gone');
  const answer = await ask('format=csv&from=-1h');
  await query(server.databaseUrl, 'alter table gone rename to audit_batch');
  t.equal(answer.status, 200, 'without the log');
  t.equal(answer.headers.get('content-type'), 'text/csv; charset=utf-8; header=present');
  t.equal(answer.headers.get('cache-control'), 'no-store');
  t.equal(answer.headers.get('content-disposition'), null);
  t.equal((await ask('format=xml')).status, 400);
  t.equal((await ask('user_id=')).status, 400);
  t.strictSame(await server.events('action=AUDIT_EXPORTED'), []);
});

test('what is wrong is refused before anything is sent', async (t) => {
  const server = await build(t);
  const cases: [path: string, status: number, parameter?: string][] = [
    ['?format=xml', 400, 'format'],
    ['?formt=csv', 400, 'formt'],
    ['?limit=5', 400, 'limit'],
    ['?from=-1h&to=-2h', 400, 'from'],
    ['?user_id=', 400, 'user_id'],
  ];
  for (const [path, status, parameter] of cases) {
    const answer = await server.get(`/audit/export${path}`);
    t.equal(answer.status, status, path);
    t.match(await problemIn(answer), { parameter }, path);
  }
  t.equal((await server.get('/audit/export', {})).status, 401);
  const chatter = await server.token('alice', 'chat');
  t.equal((await server.get('/audit/export', { authorization: `Bearer ${chatter}` })).status, 403);
  const hurried = await server.get('/audit/export?from=-1h&to=-2h');
  t.equal(hurried.headers.get('content-disposition'), null, 'a problem is no file');
  t.strictSame(await server.events('action=AUDIT_EXPORTED'), []);
});

/** The resident memory of a server, in bytes, as it says itself. */
async function memoryOf(url: string): Promise<number> {
  const text = await (await fetch(`${url}/metrics`)).text();
  return Number(/^process_resident_memory_bytes (\S+)$/m.exec(text)?.[1]);
}

test('a client that stops reading costs next to no memory, keeps nobody waiting, and goes on where it was', async (t) => {
  const filled = await build(t);
  await fill(filled, 64);
  await filled.app.close();
  // Else what V8 has not collected yet would hide what is held.
  const command: [string, ...string[]] = [process.execPath, '--heap-growing-percent=20', 'src/server.ts'];
  const env = { DATABASE_URL: filled.databaseUrl, JWT_SECRET: SECRET };
  const { url } = await startServer(t, { command, env });
  const server = { ...filled, url, token: tokenFor };
  const path = `/audit/export?${MESSAGES}`;
  const whole = async (): Promise<number> => {
    const headers = { authorization: `Bearer ${await tokenFor('other', 'audit:read')}` };
    let length = 0;
    for await (const chunk of (await fetch(url + path, { headers })).body ?? []) length += chunk.length;
    return length;
  };
  t.ok((await whole()) > 64 * MIB);
  await whole();
  const before = await memoryOf(url);
  const sockets = [await ask(t, server, path), await ask(t, server, path)];
  await until('both are under way', async () => {
    const rows = await query(filled.databaseUrl, "select from audit_event where action = 'AUDIT_EXPORTED'");
    return rows.length === 6;
  });
  // Meanwhile one is served to its end, in which time those who wait would have been read to theirs.
  t.ok((await whole()) > 64 * MIB);
  const grown = (await memoryOf(url)) - before;
  t.ok(grown < 40 * MIB, `${Math.round(grown / MIB)} MiB for two that would take 128`);
  const text = await rest(sockets[0] as Socket);
  t.match(text.slice(-250), /"end":true,"count":1024,/);
});

test('a client that goes away ends the reading, and the log says so', async (t) => {
  const server = await build(t);
  await fill(server, 24);
  const socket = await ask(t, server, `/audit/export?${MESSAGES}`);
  await begun(server);
  socket.destroy();
  const end = await endOf(server);
  t.equal(end.outcome, 'client_gone');
  t.ok(Number(end.rows) < 24 * 16, `${end.rows} rows were sent`);
});

test('when the database goes away in the middle, the connection breaks and there is no last line', async (t) => {
  const direct = await build(t);
  await fill(direct, 24);
  await direct.app.close();
  const way = await proxy(t, direct.databaseUrl);
  const server = await build(t, { DATABASE_URL: way.url });
  const socket = await ask(t, server, `/audit/export?${MESSAGES}`);
  await until(
    'it has begun',
    async () => socket.readableLength > 0 || server.app.audit.stats() !== undefined,
  );
  await begun(direct);
  way.setMode('refuse');
  const text = await rest(socket);
  t.match(text.slice(0, 20), 'HTTP/1.1 200');
  t.notMatch(text.slice(-300), '"end":true');
  t.notMatch(text.slice(-10), /\r\n0\r\n\r\n$/, 'not even the body has an end');
  way.setMode('pass');
  t.match(await endOf(server), { outcome: 'failed' });
});

test('an export outlives a break of the database’s connections', async (t) => {
  const direct = await build(t);
  await fill(direct, 24);
  await direct.app.close();
  const way = await proxy(t, direct.databaseUrl);
  const server = await build(t, { DATABASE_URL: way.url });
  const socket = await ask(t, server, `/audit/export?${MESSAGES}`);
  await begun(direct);
  let isBroken = false;
  way.onRequest('"action" =', () => {
    way.setMode('refuse');
    isBroken = true;
  });
  const text = rest(socket);
  await until('the next page is asked for, in vain', () => isBroken);
  way.setMode('pass');
  t.match((await text).slice(-250), /"end":true,"count":384,/);
});

test('an export never goes on in another history, nor past what is no longer kept', async (t) => {
  for (const change of ["epoch = 'another-epoch'", 'first_seq = 380']) {
    const server = await build(t);
    await fill(server, 24);
    const socket = await ask(t, server, `/audit/export?${MESSAGES}`);
    await begun(server);
    await query(server.databaseUrl, `update audit_log set ${change}`);
    const text = await rest(socket);
    t.match(text.slice(0, 20), 'HTTP/1.1 200', change);
    t.notMatch(text.slice(-300), '"end":true', change);
    t.match(await endOf(server), { outcome: 'failed' }, change);
  }
});

test('a ban ends an export under way, on record', async (t) => {
  const server = await build(t);
  await fill(server, 24);
  const socket = await ask(t, server, `/audit/export?${MESSAGES}`, { user: 'mallory' });
  await begun(server);
  await act(server, 'PUT', '/bans/mallory', { reason: 'leaks' });
  t.notMatch((await rest(socket)).slice(-300), '"end":true');
  t.match(await endOf(server), { outcome: 'denied' });
});

test('an export ends when the key of its token is withdrawn', async (t) => {
  const [old, renewed] = [makeKey('ES256', 'old'), makeKey('ES256', 'new')];
  const keys = await issuer(t, old);
  const server = await build(t, { JWT_SECRET: '', JWKS_URL: keys.url });
  await fill(server, 24);
  const socket = await ask(t, server, `/audit/export?${MESSAGES}`, { token: await signWith(old) });
  await begun(server);
  keys.publish(renewed);
  // Who comes with a key that is not known has the keys fetched anew.
  const stranger = await signWith(makeKey('ES256', 'unknown'));
  await server.get('/audit', { authorization: `Bearer ${stranger}` });
  const ended = async (): Promise<{ outcome: string }[]> =>
    query(
      server.databaseUrl,
      "select details->>'outcome' as outcome from audit_event where details->>'phase' = 'ended'",
    );
  await until('its end is on record', async () => (await ended()).length === 1);
  t.strictSame(await ended(), [{ outcome: 'denied' }]);
  t.notMatch((await rest(socket)).slice(-300), '"end":true');
});

test('the end of the server does not wait for an export, and is on record after its end', async (t) => {
  const server = await build(t);
  await fill(server, 24);
  const socket = await ask(t, server, `/audit/export?${MESSAGES}`);
  await begun(server);
  const closing = performance.now();
  await server.app.close();
  t.ok(performance.now() - closing < 5_000);
  t.notMatch((await rest(socket)).slice(-300), '"end":true');
  const rows = await query<{ action: string; details: { outcome?: string } }>(
    server.databaseUrl,
    'select action, details from audit_event order by seq desc limit 2',
  );
  t.strictSame(
    rows.map(({ action }) => action),
    ['SERVER_STOPPED', 'AUDIT_EXPORTED'],
  );
  t.equal(rows[1]?.details.outcome, 'shutdown');
});

test('a user may have two exports under way, and all together three', async (t) => {
  const server = await build(t);
  await fill(server, 24);
  const path = `/audit/export?${MESSAGES}`;
  const sockets = [await ask(t, server, path), await ask(t, server, path)];
  const exported = async (): Promise<number> =>
    (await query(server.databaseUrl, "select from audit_event where action = 'AUDIT_EXPORTED'")).length;
  await until('both are under way', async () => (await exported()) === 2);
  const third = await server.get(path);
  t.equal(third.status, 429);
  t.equal(third.headers.get('retry-after'), '10');
  t.match(await problemIn(third), { code: 'rate_limited' });
  sockets.push(await ask(t, server, path, { user: 'other' }));
  await until('all three are under way', async () => (await exported()) === 3);
  const token = await server.token('fourth', 'audit:read');
  const fourth = await server.get(path, { authorization: `Bearer ${token}` });
  t.equal(fourth.status, 503);
  t.match(await problemIn(fourth), { code: 'overloaded' });
  sockets[0]?.destroy();
  await until('there is room again', async () => (await exported()) === 4);
  t.ok((await takeExport(server, 'action=SERVER_STARTED')).verdict.ok);
});
