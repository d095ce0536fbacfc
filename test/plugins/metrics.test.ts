import { test } from 'tap';
import { actionNames } from '../../src/core/actions.ts';
import { appendFailures } from '../../src/core/commit-batch.ts';
import { errorCodes } from '../../src/core/errors.ts';
import { version } from '../../src/version.ts';
import { build, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { readScrape, type Scrape } from '../support/exposition.ts';
import { query } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';

async function scrape(server: TestApp): Promise<Scrape> {
  const answer = await server.get('/metrics', {});
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  return readScrape(await answer.text());
}

const MESSAGES = { action: 'MESSAGE_SENT' };

test('the numbers move with what happens, and agree with the log itself', async (t) => {
  const startedAt = performance.now();
  const server = await build(t);
  const before = await scrape(server);
  t.equal(before.value('minutebook_events_recorded_total', MESSAGES), 0, 'there from the start');
  t.equal(before.value('minutebook_sessions_open'), 0);
  t.equal(
    before.value('minutebook_tail_subscriptions'),
    5,
    'the chat, moderation, the live streams, the index, and the memory of how far the log was seen',
  );
  t.equal(before.value('minutebook_log_writable'), 1);

  const alice = await connect(t, server, 'alice');
  const bob = await connect(t, server, 'bob');
  await alice.next('welcome');
  await bob.next('welcome');
  for (let n = 0; n < 20; n += 1) alice.send({ type: 'message', text: `${n}`, ref: `${n}` });
  await until('all are delivered', () => bob.all('message').length === 20 && alice.all('ack').length === 20);
  for (let n = 0; n < 3; n += 1) alice.send('{');
  await until('all are refused', () => alice.all('error').length === 3);
  const REFUSED = { action: 'MESSAGE_REFUSED' };
  const isOnRecord = async () =>
    (await scrape(server)).value('minutebook_events_recorded_total', REFUSED) === 1;
  await until('the refusal is on record, which is answered before', isOnRecord);

  const after = await scrape(server);
  const { app, databaseUrl } = server;
  const own = await query<{ events: number; batches: number }>(
    databaseUrl,
    `select sum(count)::int as events, count(*)::int as batches from audit_batch where writer = '${app.audit.instance}'`,
  );
  t.equal(after.value('minutebook_events_recorded_total', MESSAGES), 20);
  t.equal(after.value('minutebook_events_recorded_total', { action: 'CONNECTED' }), 2);
  t.equal(after.value('minutebook_batch_events_sum'), own[0]?.events);
  t.equal(after.value('minutebook_batch_events_count'), own[0]?.batches);
  t.equal(after.value('minutebook_commit_seconds_count'), own[0]?.batches);
  const took = after.value('minutebook_commit_seconds_sum') ?? 0;
  t.ok(took > 0 && took < (performance.now() - startedAt) / 1_000, `${took} s`);
  t.equal(after.value('minutebook_sessions_open'), 2);
  t.equal(after.value('minutebook_frames_received_total'), 23);
  t.equal(after.value('minutebook_frames_sent_total'), alice.frames.length + bob.frames.length);
  const [sent, received] = ['sent', 'received'].map((way) =>
    after.value(`minutebook_socket_${way}_bytes_total`),
  );
  const payload = [...alice.raw, ...bob.raw].reduce((sum, frame) => sum + Buffer.byteLength(frame), 0);
  t.ok((sent ?? 0) > payload && (sent ?? 0) < 2 * payload, `${sent} bytes for ${payload} of frames`);
  t.ok((received ?? 0) > 0);
  t.equal(
    after.value('minutebook_refusals_total', { action: 'MESSAGE_REFUSED', code: 'bad_frame' }),
    3,
    'each, though they are one event in the log',
  );
  const head = app.tail.next;
  t.equal(after.value('minutebook_tail_next_seq'), head);
  t.equal(after.value('minutebook_log_next_seq'), head);
  t.equal(after.value('minutebook_tail_lag_events'), 0);
  t.ok((after.value('minutebook_tail_read_age_seconds') ?? 99) < 5);
  t.equal(after.value('minutebook_queue_events'), 0);
  t.equal(after.value('minutebook_queue_oldest_seconds'), 0);
  t.equal(after.value('minutebook_log_spare_partitions'), 2);
  t.equal(after.value('minutebook_lease_held'), 1);
  const left = after.value('minutebook_lease_left_seconds') ?? 0;
  t.ok(left > 5 && left <= 10, `${left} s`);
  t.equal(after.value('minutebook_disk_free_bytes'), undefined, 'not known: the database may be anywhere');
  t.equal(
    after.value('minutebook_build_info', {
      version,
      node: process.version,
      postgres: app.database.facts.version,
    }),
    1,
  );

  await bob.close();
  await until('bob is gone', async () => (await scrape(server)).value('minutebook_sessions_open') === 1);
  const later = await scrape(server);
  t.ok((later.value('minutebook_socket_sent_bytes_total') ?? 0) >= (sent ?? 0), 'what was sent stays sent');
});

test('the size of the log is what Postgres says, and is not asked for at every scrape', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const [sizes] = await query<{ bytes: string }>(
    databaseUrl,
    `select sum(pg_total_relation_size(oid)) as bytes from pg_class
     where relkind = 'r' and (relname in ('audit_batch', 'audit_posting', 'audit_gram') or relname like 'audit_event_%')`,
  );
  t.equal((await scrape(server)).value('minutebook_log_bytes'), Number(sizes?.bytes));
  let asked = false;
  between.onRequest('pg_total_relation_size', () => {
    asked = true;
  });
  for (let n = 0; n < 20; n += 1) await scrape(server);
  t.notOk(asked);
});

test('no name, text, address or session of anybody is in a scrape, and labels come from closed lists', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'canary-user', { room: 'canary-room' });
  const { session_id } = await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'canary-text' });
  alice.send({ type: 'message', room: 'canary-elsewhere', text: 'canary-refused', ref: 'canary-ref' });
  await alice.next('error');
  await server.get('/canary-path?canary=1', { authorization: 'Bearer canary-token' });
  await server.get('/audit?canary=1');
  const { text, families } = await scrape(server);
  for (const canary of [
    'canary',
    session_id,
    '127.0.0.1',
    server.app.audit.instance,
    server.app.audit.epoch,
  ]) {
    t.notOk(text.includes(canary), canary);
  }
  const lists: Record<string, readonly string[]> = {
    action: actionNames,
    code: Object.keys(errorCodes),
    kind: appendFailures,
    purpose: ['write', 'tail', 'read', 'handshake', 'moderation', 'index'],
    state: ['idle', 'busy'],
    version: [version],
    node: [process.version],
    postgres: [server.app.database.facts.version],
  };
  for (const { samples } of families.values()) {
    for (const { name, labels } of samples) {
      for (const [label, value] of Object.entries(labels)) {
        if (label !== 'le' && !lists[label]?.includes(value)) t.fail(`${name}{${label}="${value}"}`);
      }
    }
  }
  t.ok(families.size > 40, `${families.size} metrics`);
});

for (const mode of ['refuse', 'swallow-all'] as const) {
  test(`a scrape works while the database is away (${mode}), with what was last known`, async (t) => {
    const { databaseUrl } = await build(t);
    const between = await proxy(t, databaseUrl);
    const server = await build(t, { DATABASE_URL: between.url });
    const alice = await connect(t, server, 'alice');
    await alice.next('welcome');
    const bytes = (await scrape(server)).value('minutebook_log_bytes');
    t.ok((bytes ?? 0) > 0);

    between.setMode(mode);
    alice.send({ type: 'message', text: 'lost' });
    let last: Scrape | undefined;
    let slowest = 0;
    await until('the log is not writable', async () => {
      const startedAt = performance.now();
      last = await scrape(server);
      slowest = Math.max(slowest, performance.now() - startedAt);
      return last.value('minutebook_log_writable') === 0;
    });
    t.ok(slowest < 1_000, `the slowest took ${Math.round(slowest)} ms`);
    t.equal(last?.value('minutebook_log_bytes'), bytes, 'as last known');
    t.ok((last?.value('minutebook_queue_oldest_seconds') ?? 0) > 0, 'somebody waits');
    await alice.next('error');
    const down = await scrape(server);
    const failures = ['not_applied', 'unknown'].map(
      (kind) => down.value('minutebook_commit_failures_total', { kind }) ?? 0,
    );
    t.ok(Math.max(...failures) > 0, `${failures} failures`);
    t.ok((down.value('minutebook_tail_read_age_seconds') ?? 0) > 2, 'the tail has heard nothing');

    between.setMode('pass');
    between.cut();
    await until('the log is writable', async () => {
      return (await scrape(server)).value('minutebook_log_writable') === 1;
    });
    await until('alice can speak', async () => (await server.get('/health/ready')).status === 200);
    await alice.ask({ type: 'message', text: 'found' });
    const up = await scrape(server);
    t.equal(up.value('minutebook_tail_lag_events'), 0);
    t.equal(up.value('minutebook_queue_oldest_seconds'), 0);
  });
}

test('a first scrape while the database does not answer leaves out what nobody knows', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  between.setMode('swallow-all');
  const startedAt = performance.now();
  const { value } = await scrape(server);
  t.ok(performance.now() - startedAt < 1_000);
  t.equal(value('minutebook_log_bytes'), undefined);
  t.equal(value('minutebook_log_spare_partitions'), 2);
});

test('two apps in one process have numbers of their own', async (t) => {
  const [one, two] = await Promise.all([build(t), build(t)]);
  const alice = await connect(t, one, 'alice');
  await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'only here' });
  t.equal((await scrape(one)).value('minutebook_events_recorded_total', MESSAGES), 1);
  t.equal((await scrape(two)).value('minutebook_events_recorded_total', MESSAGES), 0);
  t.equal((await scrape(two)).value('minutebook_sessions_open'), 0);
});
