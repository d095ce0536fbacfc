import { test } from 'tap';
import { build, problemIn } from './support/app.ts';
import { type Client, connect, until } from './support/client.ts';
import { connection, query } from './support/postgres.ts';
import { proxy } from './support/proxy.ts';

/** Everything in the log, straight from the table. */
const rowsOf = (url: string) =>
  query<{ seq: string; timestamp: string; action: string; user_id: string | null; message: string | null }>(
    url,
    `select seq, timestamp::text, action, user_id, message from audit_event order by seq`,
  );

const texts = (client: Client): string[] => client.all('message').map(({ text }) => text);

test('promise 1: nothing is delivered or acknowledged before its event is committed', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  await alice.next('welcome');
  await bob.next('welcome');

  // The writer's row is locked elsewhere, so the append waits inside the database: received, not committed.
  const lock = await connection(t, server.databaseUrl);
  await lock.query('begin');
  await lock.query('select * from audit_writer for update');
  alice.send({ type: 'message', text: 'held', ref: '1' });
  await until('the append waits for the lock', async () => {
    const rows = await query(
      server.databaseUrl,
      `select 1 from pg_stat_activity where wait_event_type = 'Lock' and query like '%audit_append%'`,
    );
    return rows.length > 0;
  });
  t.strictSame(texts(bob), [], 'nobody has received it');
  t.strictSame(alice.all('ack'), [], 'the sender has no acknowledgement');
  t.strictSame(texts(alice), [], 'not even as an echo');

  await lock.query('rollback');
  const ack = await alice.next('ack');
  await bob.next('message', ({ text }) => text === 'held');
  const rows = await query(server.databaseUrl, 'select message from audit_event where seq = $1', [ack.seq]);
  t.strictSame(rows, [{ message: 'held' }]);
});

test('promise 1: without the database a message is refused, nobody receives it, and readiness is 503', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  await alice.next('welcome');
  await bob.next('welcome');

  between.setMode('refuse');
  await until('it is not ready', async () => (await server.get('/health/ready')).status === 503);
  t.match(await problemIn(await server.get('/health/ready')), { code: 'not_ready', detail: /database/ });
  const sentAt = performance.now();
  alice.send({ type: 'message', text: 'lost', ref: 'lost' });
  const error = await alice.next('error');
  t.equal(error.ref, 'lost');
  t.ok(performance.now() - sentAt < 6_000, 'within about five seconds');
  t.equal(error.code, 'audit_unavailable');
  await t.rejects(connect(t, server, 'carol'), { message: 'refused: 503' });

  between.setMode('pass');
  await until('the log can be written again', async () => (await server.get('/health/ready')).status === 200);
  await alice.ask({ type: 'message', text: 'found' });
  await bob.next('message', ({ text }) => text === 'found');
  t.strictSame(texts(bob), ['found'], 'the refused message reached nobody');
  const said = (await rowsOf(databaseUrl)).filter(({ action }) => action === 'MESSAGE_SENT');
  t.strictSame(
    said.map(({ message }) => message),
    ['found'],
    'and is not on record',
  );
});

test('promise 2: an answer lost after the commit is asked for again: acknowledged once, on record once', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');

  // The statement goes through; its answer never arrives, because the connection is cut under it.
  between.onRequest('audit_append', () => {
    between.setMode('swallow-answers');
    until('it is committed', async () =>
      (await rowsOf(databaseUrl)).some(({ message }) => message === 'once'),
    ).then(() => {
      between.setMode('pass');
      between.cut();
    });
  });
  const ack = await alice.ask({ type: 'message', text: 'once' });
  const said = (await rowsOf(databaseUrl)).filter(({ message }) => message === 'once');
  t.equal(said.length, 1);
  t.equal(Number(said[0]?.seq), ack.seq);
  t.strictSame(texts(alice), ['once']);
});

test('a connection that dies without a word makes the server not ready, and is not used again', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  // What is open stands still; new connections are answered.
  between.forget();
  alice.send({ type: 'message', text: 'into the void', ref: 'x' });
  await until('it is not ready', async () => (await server.get('/health/ready')).status === 503);
  await alice.next('error', ({ code }) => code === 'outcome_unknown');
  const settledAt = performance.now();
  await until('the log can be written again', async () => (await server.get('/health/ready')).status === 200);
  await alice.ask({ type: 'message', text: 'again' });
  t.ok(performance.now() - settledAt < 10_000);
  for (let n = 0; n < 20; n += 1) await alice.ask({ type: 'message', text: `${n}` });
  t.strictSame(
    alice
      .all('error')
      .map(({ code }) => code)
      .filter((code) => code !== 'audit_unavailable'),
    ['outcome_unknown'],
    'once, and never again',
  );
});

test('promise 2: with no answer at all the sender is told so, and then the truth', async (t) => {
  for (const committed of [true, false]) {
    const { databaseUrl } = await build(t);
    const between = await proxy(t, databaseUrl);
    const server = await build(t, { DATABASE_URL: between.url });
    const alice = await connect(t, server, 'alice');
    await alice.next('welcome');
    between.setMode(committed ? 'swallow-answers' : 'swallow-all');
    alice.send({ type: 'message', text: 'in doubt', ref: 'x' });
    t.match(await alice.next('error'), { code: 'outcome_unknown', ref: 'x' });
    between.cut();
    between.setMode('pass');
    const isRecorded = async () => (await rowsOf(databaseUrl)).some(({ message }) => message === 'in doubt');
    if (committed) {
      await alice.next('ack', ({ ref }) => ref === 'x');
      t.ok(await isRecorded(), 'acknowledged late, and on record');
      t.strictSame(texts(alice), ['in doubt'], 'and delivered once');
    } else {
      t.match(await alice.next('error'), { code: 'audit_unavailable', ref: 'x' });
      t.notOk(await isRecorded(), 'refused late, and not on record');
      await alice.ask({ type: 'message', text: 'after' });
      t.notOk(await isRecorded(), 'nor will it ever be');
    }
  }
});

test('promise 3: seq has no gaps and is the commit order, whatever fails on the way', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const one = await build(t, { DATABASE_URL: between.url });
  const two = await build(t, { DATABASE_URL: databaseUrl });
  const clients = await Promise.all([
    ...['a', 'b', 'c'].map((user) => connect(t, one, user)),
    ...['d', 'e', 'f'].map((user) => connect(t, two, user)),
  ]);
  let seen = -1;
  let polls = 0;
  let skipped = 0;
  const reader = await connection(t, databaseUrl);
  let done = false;
  // A reader that has seen n has seen all below: it never finds later what it has passed.
  const watching = (async () => {
    while (!done) {
      const { rows } = await reader.query<{ seq: string }>(
        'select seq from audit_event where seq > $1 order by seq',
        [seen],
      );
      for (const { seq } of rows) {
        if (Number(seq) !== seen + 1) skipped += 1;
        seen = Number(seq);
      }
      polls += 1;
    }
  })();
  await Promise.all(
    clients.map(async (client, index) => {
      await client.next('welcome');
      for (let n = 0; n < 40; n += 1) {
        if (index === 0 && n % 10 === 5) between.cut();
        await client.ask({ type: 'message', text: `${index}:${n}` });
      }
    }),
  );
  done = true;
  await watching;
  t.equal(skipped, 0);
  t.ok(polls > 10, `${polls} polls`);
  const rows = await rowsOf(databaseUrl);
  t.strictSame(
    rows.map(({ seq }) => Number(seq)),
    rows.map((_, index) => index),
  );
  t.equal(rows.filter(({ action }) => action === 'MESSAGE_SENT').length, 240);
});

test('promise 4: timestamps never go back, so that an interval is a range of seq', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  const acks = [];
  for (let n = 0; n < 20; n += 1) acks.push(await alice.ask({ type: 'message', text: `${n}` }));
  // What the clock would do after a step back: the last batch stands in the future.
  await query(
    server.databaseUrl,
    `alter table audit_batch disable trigger audit_append_only; update audit_batch
     set timestamp = timestamp + interval '1 minute' where first_seq = (select max(first_seq) from audit_batch)`,
  );
  const after = await alice.ask({ type: 'message', text: 'after the clock stepped back' });
  const [{ future } = { future: '' }] = await query<{ future: string }>(
    server.databaseUrl,
    `select to_char(max(timestamp) at time zone 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') as future from audit_batch`,
  );
  t.equal(after.timestamp, future, 'the log waits for the clock to catch up');
  const times = (await server.events('action=MESSAGE_SENT')).map(({ timestamp }) => timestamp);
  t.strictSame(times, times.toSorted());
  const [from, to] = [acks[5], acks[15]];
  const within = await server.events(`from=${from?.timestamp}&to=${to?.timestamp}&action=MESSAGE_SENT`);
  const expected = acks.filter(
    ({ timestamp }) =>
      timestamp !== null && timestamp >= `${from?.timestamp}` && timestamp < `${to?.timestamp}`,
  );
  t.strictSame(
    within.map(({ seq }) => seq),
    expected.map(({ seq }) => seq),
  );
});

test('promise 5: members on two instances see the same messages in the order of the log, each once', async (t) => {
  const one = await build(t);
  const two = await build(t, { DATABASE_URL: one.databaseUrl });
  const clients = [
    await connect(t, one, 'a'),
    await connect(t, one, 'b'),
    await connect(t, two, 'c'),
    await connect(t, two, 'd'),
  ];
  for (const client of clients) await client.next('welcome');
  await Promise.all(
    clients.map(async (client) => {
      for (let n = 0; n < 25; n += 1) await client.ask({ type: 'message', text: `${n}` });
    }),
  );
  const logged = (await one.events('action=MESSAGE_SENT')).map(({ seq }) => seq);
  t.equal(logged.length, 100);
  for (const client of clients) {
    await until('everything has arrived', () => client.all('message').length >= 100);
    t.strictSame(
      client.all('message').map(({ seq }) => seq),
      logged,
    );
  }
});

test('promise 7: whoever reads the log is in the log, and before the answer is sent', async (t) => {
  const server = await build(t);
  const before = await server.page('limit=1');
  const newest = before.data[0]?.seq ?? -1;
  await server.page('action=CONNECTED&action=JOINED&user_id=alice&limit=3');
  await server.get('/audit/0');
  await server.get('/audit/999999');
  const reads = await server.events(`action=AUDIT_READ`);
  t.match(reads.filter(({ seq }) => seq > newest).slice(0, 4), [
    { user_id: 'auditor', ip: '127.0.0.1', details: { path: '/audit', filters: {}, rows: 1 } },
    {
      details: { path: '/audit', filters: { action: ['CONNECTED', 'JOINED'], user_id: ['alice'] }, rows: 0 },
    },
    { details: { path: '/audit/0', rows: 1 } },
    { details: { path: '/audit/999999', rows: 0 } },
  ]);

  // The log cannot be written, though it can be read: no answer.
  const lock = await connection(t, server.databaseUrl);
  await lock.query('begin');
  await lock.query('lock table audit_batch in exclusive mode');
  const answer = await server.get('/audit');
  t.equal(answer.status, 503);
  t.match(await problemIn(answer), { code: 'audit_unavailable' });
  await lock.query('rollback');
});

test('promise 8: a mistyped filter is refused by name, never an unfiltered page', async (t) => {
  const server = await build(t);
  for (const [given, parameter] of [
    ['acton=CONNECTED', 'acton'],
    ['usr=bob', 'usr'],
    ['action=CONECTED', 'action'],
    ['User_id=bob', 'User_id'],
  ] as const) {
    const answer = await server.get(`/audit?${given}`);
    t.equal(answer.status, 400, given);
    t.match(await problemIn(answer), { code: 'invalid_parameter', parameter }, given);
  }
  await until('it is on record', async () => (await server.events('action=REQUEST_REFUSED')).length > 0);
  const [refused] = await server.events('action=REQUEST_REFUSED');
  t.match(refused, {
    user_id: 'auditor',
    details: { code: 'invalid_parameter', method: 'GET', route: '/audit', count: 1 },
  });
});
