import { test } from 'tap';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { noLimits } from '../support/limits.ts';
import { connection, createDatabase, query } from '../support/postgres.ts';
import { head, sendRaw } from '../support/raw.ts';
import { startServer } from '../support/server.ts';

test('T-API-13: whatever the media type is called, a body is checked or refused, and nothing comes of it', async (t) => {
  const server = await build(t, noLimits);
  const authorization = `Bearer ${await server.token('admin', 'admin')}`;
  const ban = (type: string, body: string) =>
    sendRaw(
      server.url,
      `${head('PUT /bans/mallory', { authorization, 'content-type': type, 'content-length': `${body.length}` })}${body}`,
    );
  for (const type of [
    ' application/json',
    'application/json\ta',
    'application/json garbage',
    'application/json;',
    'APPLICATION/JSON;',
    'application/json; charset=utf-16',
    'application/json, text/plain',
    'text/json',
    'text/plain',
    'application/x-www-form-urlencoded',
    'multipart/form-data; boundary=x',
    '',
  ]) {
    for (const body of [
      '{"reason":5}',
      '{"reason":"x","admin":true}',
      '{"__proto__":{"reason":"x"}}',
      '[]',
      '',
    ]) {
      const { status } = await ban(type, body);
      t.ok(status === 400 || status === 415, `“${type}” ${body}: ${status}`);
    }
  }
  t.strictSame(await query(server.databaseUrl, 'select from chat_ban'), [], 'nobody is banned');
  t.equal((await ban('application/json', '{"reason":"x"}')).status, 200, 'and as it should be, it works');
});

test('a body that is no UTF-8 is refused, not repaired', async (t) => {
  const server = await build(t, noLimits);
  const authorization = `Bearer ${await server.token('admin', 'admin')}`;
  for (const bytes of ['ff', 'c328', 'eda080', 'c080', 'f4908080', 'c3']) {
    const body = Buffer.concat([Buffer.from('{"reason":"'), Buffer.from(bytes, 'hex'), Buffer.from('"}')]);
    const about = { authorization, 'content-type': 'application/json', 'content-length': `${body.length}` };
    for (const line of ['PUT /bans/mallory', 'DELETE /bans/mallory']) {
      const answer = await sendRaw(server.url, Buffer.concat([Buffer.from(head(line, about)), body]));
      t.equal(answer.status, 400, `${line} ${bytes}`);
      t.match(JSON.parse(answer.body), { code: 'bad_request', detail: 'The body is not UTF-8.' });
    }
  }
  t.strictSame(await query(server.databaseUrl, 'select from chat_ban'), [], 'nobody is banned');
  t.match(await server.events('action=REQUEST_REFUSED'), [
    { user_id: 'admin', details: { code: 'bad_request', count: 1, method: 'PUT', route: '/bans/:user_id' } },
  ]);
});

test('letters in an address that are not percent-encoded are refused, with a word on what to do', async (t) => {
  const server = await build(t);
  const answer = await sendRaw(server.url, head('GET /audit?q=สวัสดี'));
  t.equal(answer.status, 400);
  t.match(JSON.parse(answer.body), { code: 'bad_request', detail: /must be percent-encoded/ });
});

test('what is no request of HTTP is answered and counted as such, and is no line of the log', async (t) => {
  const server = await startServer(t, { env: { DATABASE_URL: await createDatabase(t), LOG_LEVEL: 'warn' } });
  const counted = async (): Promise<number> => {
    const metrics = await (await fetch(`${server.url}/metrics`)).text();
    return Number(
      /refusals_total{action="REQUEST_REFUSED",code="bad_request"} (\d+)/.exec(metrics)?.[1] ?? 0,
    );
  };
  for (const [index, bytes] of [
    head('CONNECT evil.example:80'),
    head('CONNECT /ws', { connection: 'Upgrade', upgrade: 'websocket' }),
    ...['ANNOUNCE', 'DESCRIBE', 'FLUSH', 'SETUP'].map((method) =>
      head(`${method} /audit`).replace('HTTP/1.1', 'RTSP/1.0'),
    ),
  ].entries()) {
    const answer = await sendRaw(server.url, bytes);
    t.equal(answer.status, 400, bytes);
    t.match(JSON.parse(answer.body || '{}'), { code: 'bad_request' });
    t.equal(await counted(), index + 1, 'once');
  }
  t.notMatch(server.output(), /"level":/);
});

test('T-DOS-4: fifty reads that hang at a time hold up nobody who writes, and end', async (t) => {
  const server = await build(t, noLimits);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  const lock = await connection(t, server.databaseUrl);
  await lock.query('begin');
  // Every search waits for this, and no append; a log of which each read takes so long would have to be very large.
  await lock.query('lock table audit_index in access exclusive mode');
  const paths = [
    '/audit?user_id=alice',
    '/audit/stats?group_by=room&user_id=alice',
    '/audit/export?user_id=alice',
  ];
  const auditors = await Promise.all(
    Array.from({ length: 10 }, (_, n) => server.token(`auditor-${n}`, 'audit:read')),
  );
  const startedAt = performance.now();
  let over = 0;
  const reads = Array.from({ length: 50 }, async (_, n) => {
    const authorization = `Bearer ${auditors[n % auditors.length]}`;
    const { status } = await fetch(server.url + paths[n % paths.length], { headers: { authorization } });
    over += 1;
    return status;
  });
  await until('the connections for reads hang', async () => {
    const { rows } = await lock.query(
      "select 1 from pg_locks where relation = 'audit_index'::regclass and not granted",
    );
    return rows.length >= 4;
  });
  let longest = 0;
  for (let n = 0; n < 50; n += 1) {
    const saidAt = performance.now();
    await alice.ask({ type: 'message', text: `${n}` });
    longest = Math.max(longest, performance.now() - saidAt);
  }
  t.ok(over < 50, `${50 - over} of them hang still`);
  t.ok(longest < 1_000, `the slowest message took ${Math.round(longest)} ms`);
  const statuses = await Promise.all(reads);
  // 429: an auditor has two reads and two exports at a time.
  t.strictSame([...new Set(statuses)].toSorted(), [429, 503], 'each is told that it did not work');
  const took = performance.now() - startedAt;
  // An export tries for a while.
  t.ok(took < 20_000, `and soon: after ${Math.round(took)} ms`);
  await lock.query('rollback');
  for (const path of paths) {
    const authorization = `Bearer ${auditors[0]}`;
    t.equal((await fetch(server.url + path, { headers: { authorization } })).status, 200, path);
  }
});

test('T-DOS-5: who follows the log is one event for each request, however many events they are shown', async (t) => {
  const server = await build(t, noLimits);
  const alice = await connect(t, server, 'alice');
  for (let n = 0; n < 20; n += 1) await alice.ask({ type: 'message', text: `${n}` });
  const first = await server.page('order=asc&limit=1000');
  t.ok(first.data.length > 20);
  let cursor = first.next_cursor;
  for (let n = 0; n < 10; n += 1) {
    const { data, next_cursor } = await server.page(`order=asc&limit=1000&cursor=${cursor}`);
    t.strictSame(
      data.map(({ action }) => action),
      ['AUDIT_READ'],
      'each sees the one before, and no more',
    );
    cursor = next_cursor;
  }
});
