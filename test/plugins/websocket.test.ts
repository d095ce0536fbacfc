import { test } from 'tap';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { answerOf, handshake, speak } from '../support/handshake.ts';
import { connection, query } from '../support/postgres.ts';

test('a refused handshake is answered, ended by the server, and on record', async (t) => {
  const server = await build(t, { JWT_SECRET: '' });
  for (const [path, headers, status] of [
    ['/ws', {}, 401],
    ['/ws?user=alice', { Host: 'evil.example' }, 403],
    ['/ws?user=alice', { Origin: 'https://evil.example' }, 403],
    ['/ws?user=alice&room=%00', {}, 400],
    ['/%zz', {}, 400],
    ['/nowhere', {}, 404],
    ['/health/live', {}, 404],
    ['/audit', {}, 404],
    ['/ws?user=alice', { 'Sec-WebSocket-Version': '8' }, 426],
    ['/ws?user=alice', { 'Sec-WebSocket-Key': 'short' }, 400],
    ['/ws?user=alice', { 'Sec-WebSocket-Protocol': 'one,,two' }, 400],
    ['/ws?user=alice', { 'Sec-WebSocket-Protocol': 'one, two, one' }, 400],
  ] as [string, Record<string, string>, number][]) {
    const text = await answerOf(await handshake(server, path, headers));
    t.match(text, `HTTP/1.1 ${status}`, path);
    t.match(text, 'application/problem+json', path);
    t.match(text, /^connection: .*close/im, path);
  }
  await until('all are on record', async () => {
    const codes = (await server.events('action=CONNECTION_REFUSED')).map(({ details }) => details.code);
    const expected = ['bad_request', 'host_not_allowed', 'invalid_parameter', 'not_found'];
    return [...expected, 'origin_not_allowed', 'unauthenticated'].every((code) => codes.includes(code));
  });
  t.strictSame(await server.events('action=REQUEST_REFUSED&action=ACCESS_DENIED&action=CONNECTED'), []);
});

test('connections that asked for an upgrade and stay do not hold up the end of the server', async (t) => {
  const server = await build(t, { JWT_SECRET: '' });
  const sockets = await Promise.all(
    ['/ws', '/%zz', '/health/live', '/nowhere'].map((path) => handshake(server, path)),
  );
  for (const socket of sockets) socket.on('error', () => {}).pause();
  const startedAt = performance.now();
  await server.app.close();
  t.ok(performance.now() - startedAt < 5_000);
  for (const socket of sockets) socket.destroy();
});

test('a handshake under way when the server stops opens no session', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  const lock = await connection(t, server.databaseUrl);
  await lock.query('begin');
  await lock.query('lock table audit_batch in exclusive mode');
  alice.send('refused');
  await alice.next('error');
  // After a failure, a handshake asks whether the log can be written, and waits here for the answer.
  let isOver = false;
  const open = async (): Promise<string> => {
    isOver = false;
    const outcome = await connect(t, server, 'late').then(
      () => 'opened',
      (error: Error) => error.message,
    );
    isOver = true;
    return outcome;
  };
  let opening = open();
  await until('the question waits', async () => {
    // It waits for a second only, which a slow machine may miss.
    if (isOver) opening = open();
    const waiting = await query(
      server.databaseUrl,
      `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%audit_probe%'`,
    );
    return waiting.length > 0;
  });
  const closing = server.app.close();
  await lock.query('rollback');
  await closing;
  t.equal(await opening, 'refused: 503');
  const { rows } = await lock.query(`select user_id from audit_event where action = 'CONNECTED'`);
  t.strictSame(rows, [{ user_id: 'alice' }]);
});

test('bytes that are no request are answered with a problem, and on record', async (t) => {
  const server = await build(t);
  for (const [bytes, status, code] of [
    ['FOO / HTTP/1.1\r\nHost: x\r\n\r\n', 400, 'bad_request'],
    [`GET /audit?cursor=${'x'.repeat(40_000)} HTTP/1.1\r\nHost: x\r\n\r\n`, 431, 'headers_too_large'],
  ] as const) {
    const text = await answerOf(await speak(server, bytes));
    t.match(text, `HTTP/1.1 ${status}`);
    t.match(JSON.parse(text.split('\r\n\r\n')[1] ?? ''), { status, code });
    await until(
      `${code} is on record`,
      async () => (await server.events('action=REQUEST_REFUSED')).at(-1)?.details.code === code,
    );
  }
  t.match(
    await server.events('action=REQUEST_REFUSED'),
    ['bad_request', 'headers_too_large'].map((code) => ({
      user_id: null,
      ip: '127.0.0.1',
      details: { code, count: 1, method: '*', route: '*' },
    })),
  );
});

test('an offer to speak another protocol is ignored, as HTTP clients make it by habit', async (t) => {
  const server = await build(t);
  const text = await answerOf(
    await handshake(server, '/health/live', {
      Connection: 'Upgrade, HTTP2-Settings, close',
      Upgrade: 'h2c',
      'HTTP2-Settings': 'AAMAAABkAARAAAAAAAIAAAAA',
    }),
  );
  t.match(text, 'HTTP/1.1 200');
  t.match(text, '"status":"live"');
});
