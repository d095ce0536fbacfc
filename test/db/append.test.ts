import { randomBytes, randomUUID } from 'node:crypto';
import { createServer } from 'node:net';
import { Kysely, PostgresDialect, sql } from 'kysely';
import pg from 'pg';
import { type Test, test } from 'tap';
import {
  classifyAppendFailure,
  joinWriters,
  leaveWriters,
  makePartitions,
  type PostgresLogStore,
  rejoinWriters,
  renewLease,
} from '../../db/append.ts';
import type { Db } from '../../db/client.ts';
import { getEvent } from '../../db/events.ts';
import type { Database } from '../../db/tables.ts';
import { AppendError, type AppendFailure, type BatchReceipt } from '../../src/core/commit-batch.ts';
import type { PendingEvent } from '../../src/core/events.ts';
import { until } from '../support/client.ts';
import { joinLog, messages, openDb, pendingEvent, restartLog, uncheckedEvent } from '../support/log-store.ts';
import { connection, createDatabase, databaseUrl, query, serverUrl } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';
import { wire } from '../support/wire.ts';

/** Fails unless the log’s numbers and times are as promised; resolves with how many events there are. */
async function checkLog(t: Test, url: string): Promise<number> {
  const [log] = await query<{ events: number; gaps: number; back: number; homeless: number; strays: number }>(
    url,
    `with e as (select *, lag(timestamp) over (order by seq) as before, row_number() over (order by seq) - 1 as n
        from audit_event),
      b as (select *, coalesce(sum(count) over (order by first_seq rows between unbounded preceding and 1 preceding), 0)
        as expected from audit_batch)
      select count(*)::int as events, count(*) filter (where seq <> n)::int as gaps,
        count(*) filter (where timestamp < before)::int as back,
        (select count(*)::int from b where first_seq <> expected) as strays,
        count(*) filter (where not exists (select from audit_batch b where e.seq >= b.first_seq
          and e.seq < b.first_seq + b.count and e.timestamp = b.timestamp and e.instance = b.writer))::int as homeless
      from e`,
  );
  t.match(
    log,
    { gaps: 0, back: 0, strays: 0, homeless: 0 },
    'no gap, no time that goes back, each event in its batch',
  );
  return log?.events ?? 0;
}

/** Waits until so many statements of a database wait for a lock. */
const untilWaiting = (url: string, count = 1, name = 'minutebook test'): Promise<void> =>
  until(`${count} of ${name} wait for a lock`, async () => {
    const rows = await query(
      url,
      `select from pg_stat_activity
       where datname = current_database() and application_name = $1 and wait_event_type = 'Lock'`,
      [name],
    );
    return rows.length === count;
  });

const rejectsAs = (
  t: Test,
  append: Promise<unknown>,
  kind: AppendFailure,
  message?: string,
): Promise<unknown> =>
  t.rejects(append, { name: 'AppendError', kind }, message ?? `the failure is “${kind}”`);

const stateOf = (url: string): Promise<unknown[]> =>
  query(
    url,
    'select (select count(*) from audit_event) as events, (select count(*) from audit_batch) as batches',
  );

test('a batch gets the next numbers and one time, and its events keep every field', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const store = await joinLog(db, 'the-writer');
  const session_id = randomUUID();
  const full = pendingEvent({
    action: 'CONNECTED',
    user_id: 'älice',
    message: 'a “quoted” {brace}, \\backslash, NULL, 🙂 and\nnew lines',
    room: 'null',
    session_id,
    target_user_id: 'bob',
    ip: '2001:db8::1',
    details: { user_agent: 'x"y\\z' },
  });
  full.event.occurred_at = '2026-01-02T03:04:05.678901Z';
  const receipt = await store.append(1, [full, pendingEvent({ action: 'LEFT' })]);
  t.equal(receipt.first_seq, 1);
  t.match(receipt.timestamp, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  t.strictSame(await getEvent(db, 1), {
    ...full.event,
    seq: 1,
    timestamp: receipt.timestamp,
    instance: 'the-writer',
    erased_by: null,
  });
  t.match(await getEvent(db, 2), { timestamp: receipt.timestamp, user_id: null, message: null, details: {} });
  t.equal((await store.append(2, messages(1))).first_seq, 3);
  t.equal(await checkLog(t, url), 4);
});

/** Appends; again, as the server would, when a slow disk kept the lock from it for too long. */
async function appendPatiently(
  store: PostgresLogStore,
  number: number,
  batch: PendingEvent[],
): Promise<BatchReceipt> {
  for (;;) {
    try {
      return await store.append(number, batch);
    } catch (error) {
      if (!(error instanceof AppendError) || error.kind !== 'not_applied') throw error;
    }
  }
}

test('four stores that append at the same time leave no gap, and no time goes back', async (t) => {
  const url = await createDatabase(t);
  const receipts: [BatchReceipt, number][] = [];
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const store = await joinLog(openDb(t, url));
      for (let number = 1; number <= 100; number += 1) {
        const size = 1 + (number % 3);
        receipts.push([await appendPatiently(store, number, messages(size)), size]);
      }
    }),
  );
  receipts.sort(([a], [b]) => a.first_seq - b.first_seq);
  let next = 1;
  let time = '';
  for (const [{ first_seq, timestamp }, size] of receipts) {
    if (first_seq !== next || timestamp < time)
      t.fail(`${first_seq} at ${timestamp} came after ${next} at ${time}`);
    next += size;
    time = timestamp;
  }
  t.equal(await checkLog(t, url), next);
});

test('a time is never below the one before it, even when the database’s clock was set back', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 100);
  const ahead = '2999-01-01 00:00:00.123456+00';
  await query(url, `insert into audit_batch values (0, 1, '${ahead}', 'x', 1)`);
  await query(
    url,
    `insert into audit_event (seq, timestamp, occurred_at, action, instance) values (0, '${ahead}', now(), 'LEFT', 'x')`,
  );
  const store = await joinLog(openDb(t, url));
  t.strictSame(await store.append(1, messages(2)), {
    first_seq: 1,
    timestamp: '2999-01-01T00:00:00.123456Z',
  });
  t.equal(await checkLog(t, url), 3);
});

test('the same number again is a no-op that answers as the first did', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const other = await joinLog(openDb(t, url));
  const batch = messages(3);
  const receipt = await store.append(7, batch);
  await other.append(7, messages(2));
  t.strictSame(await store.append(7, batch), receipt);
  await store.rejoin();
  t.strictSame(await store.append(7, batch), receipt, 'also under a new term');
  t.strictSame(
    await stateOf(url),
    [{ events: '6', batches: '3' }],
    'another writer’s number is another number',
  );
});

test('the same number twice at the same moment is one batch', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  for (let number = 1; number <= 20; number += 1) {
    const batch = messages(2);
    const [one, two, three] = await Promise.all([1, 2, 3].map(() => store.append(number, batch)));
    if (one?.first_seq !== 2 * number - 1) t.fail(`batch ${number} began at ${one?.first_seq}`);
    t.strictSame([two, three], [one, one]);
  }
  t.equal(await checkLog(t, url), 41);
});

test('a retry while the first attempt is under way waits for it, and then answers as it did', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const slow = await connection(t, url);
  const term = (await query<{ term: string }>(url, 'select term from audit_writer'))[0]?.term;
  const attempt = `select first_seq, at from audit_append('${store.id}', ${term}, 1, array[now()], '{LEFT}',
    '{null}', '{null}', '{null}', '{null}', '{null}', '{null}', '{null}')`;

  await slow.query('begin');
  const { rows } = await slow.query<{ first_seq: string; at: string }>(attempt);
  const retry = store.append(1, messages(1));
  await untilWaiting(url);
  await slow.query('commit');
  t.strictSame(await retry, { first_seq: Number(rows[0]?.first_seq), timestamp: rows[0]?.at });

  await slow.query('begin');
  await slow.query(attempt.replace(', 1, array', ', 2, array'));
  const afterRollback = store.append(2, messages(1, { message: 'the retry' }));
  await untilWaiting(url);
  await slow.query('rollback');
  t.match(await afterRollback, { first_seq: 2 }, 'when it was rolled back, the retry takes its number');
  t.match(await query(url, 'select message from audit_event where seq = 2'), [{ message: 'the retry' }]);
  t.equal(await checkLog(t, url), 3);
});

test('a rollback leaves no gap', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  await store.append(1, messages(2));
  await rejectsAs(t, store.append(2, [...messages(2), uncheckedEvent({ message: 'NUL: \0' })]), 'item');
  await rejectsAs(t, store.append(3, [...messages(2), uncheckedEvent({ action: null })]), 'item');
  t.match(await store.append(4, messages(2)), { first_seq: 3 });
  t.equal(await checkLog(t, url), 5);
});

test('what a batch appends is on record as a whole or not at all', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const session_id = randomUUID();
  const connected = pendingEvent({
    action: 'CONNECTED',
    user_id: 'alice',
    session_id,
    details: { user_agent: null },
  });
  // The session’s row comes last in the statement; this one has no user, which only that table minds.
  const bad = uncheckedEvent({ action: 'CONNECTED', session_id: randomUUID(), user_id: null });
  await rejectsAs(t, store.append(1, [connected, bad]), 'item');
  t.strictSame(await stateOf(url), [{ events: '1', batches: '1' }]);
  t.strictSame(await query(url, 'select * from chat_session'), []);
  t.match(await store.append(2, [connected]), { first_seq: 1 });
});

test('after a new term was taken, the old one is fenced', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const store = await joinLog(db, 'x');
  await t.rejects(joinLog(db, 'x'), { code: '23505' }, 'a name is taken once');
  await rejoinWriters(db, 'x');
  const before = await stateOf(url);
  await rejectsAs(t, store.append(1, messages(1)), 'fenced');
  await rejectsAs(t, store.append(1, messages(1)), 'fenced', 'and stays so');
  t.strictSame(await stateOf(url), before, 'it wrote nothing');
  t.ok(await store.rejoin());
  t.match(await store.append(1, messages(1)), { first_seq: 1 }, 'with a new term it may append');
});

test('an expired lease is fenced, until it is renewed', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const store = await joinLog(db);
  const [lease] = await query<{ seconds: number }>(
    url,
    'select extract(epoch from lease_until - clock_timestamp())::float8 as seconds from audit_writer',
  );
  t.ok(lease !== undefined && lease.seconds > 9 && lease.seconds <= 10, 'a lease is 10 s');
  await query(url, "update audit_writer set lease_until = clock_timestamp() - interval '1 ms'");
  await rejectsAs(t, store.append(1, messages(1)), 'fenced');
  await store.renew();
  t.match(await store.append(1, messages(1)), { first_seq: 1 });
  t.equal(await checkLog(t, url), 2);
});

test('a lease is prolonged only under its term, and only while it lasts', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const expire = () =>
    query(url, "update audit_writer set lease_until = clock_timestamp() + interval '1 second'");
  const seconds = () =>
    query<{ left: number }>(
      url,
      'select round(extract(epoch from lease_until - clock_timestamp()))::int as left from audit_writer',
    );
  const old = await joinWriters(db, 'x');
  const term = (await rejoinWriters(db, 'x')) ?? 0;
  t.ok(term > old, 'terms grow');
  await expire();
  t.match(await renewLease(db, 'x', old), { held: false });
  t.strictSame(await seconds(), [{ left: 1 }]);
  t.match(await renewLease(db, 'x', term), { held: true });
  t.strictSame(await seconds(), [{ left: 10 }]);
  await query(url, 'update audit_writer set lease_until = clock_timestamp()');
  t.match(await renewLease(db, 'x', term), { held: false }, 'what has ended is not prolonged');
  await leaveWriters(db, 'x', old);
  t.equal((await seconds()).length, 1, 'an old term takes nobody off the list');
  await leaveWriters(db, 'x', term);
  t.equal((await seconds()).length, 0);
  t.ok((await joinWriters(db, 'x')) > term, 'a term is never given twice, not even after leaving');
});

test('resolve finds a batch whose answer was lost', async (t) => {
  const url = await createDatabase(t);
  const between = await proxy(t, url);
  const store = await joinLog(openDb(t, between.url));
  between.setMode('swallow-answers');
  const append = store.append(1, messages(2));
  const failed = rejectsAs(t, append, 'unknown');
  await until(
    'the batch is committed',
    async () => (await query(url, 'select from audit_batch')).length === 2,
  );
  between.cut();
  between.setMode('pass');
  await failed;
  const receipt = await store.resolve(1);
  t.match(receipt, { first_seq: 1, timestamp: /\.\d{6}Z$/ });
  t.strictSame(await store.append(1, messages(2)), receipt, 'and a retry answers the same');
  t.equal(await checkLog(t, url), 3);
});

test('resolve says null of a batch that never arrived', async (t) => {
  const url = await createDatabase(t);
  const between = await proxy(t, url);
  const store = await joinLog(openDb(t, between.url));
  between.onRequest('audit_append', () => {
    between.setMode('swallow-all');
    between.cut();
  });
  await rejectsAs(t, store.append(1, messages(2)), 'unknown');
  await rejectsAs(
    t,
    store.resolve(1).finally(() => between.setMode('pass')),
    'not_applied',
    'no guess while unreachable',
  );
  t.equal(await store.resolve(1), null);
  t.match(await store.append(2, messages(1)), { first_seq: 1 });
  t.equal(await checkLog(t, url), 2);
});

/** An append of one event by hand, under the term that the store has now. */
async function attemptOf(
  url: string,
  store: PostgresLogStore,
): Promise<(client: pg.Client) => Promise<unknown>> {
  const rows = await query<{ term: string }>(url, 'select term from audit_writer where id = $1', [store.id]);
  return (client) =>
    client.query(
      `select audit_append($1, $2, 1, array[now()], '{LEFT}', '{null}', '{null}', '{null}', '{null}', '{null}',
        '{null}', '{null}')`,
      [store.id, rows[0]?.term],
    );
}

test('resolve waits for an attempt that is under way, and tells what became of it', async (t) => {
  const url = await createDatabase(t);
  const attempting = await connection(t, url);
  for (const end of ['commit', 'rollback'] as const) {
    const store = await joinLog(openDb(t, url), `under-way-${end}`);
    const attempt = await attemptOf(url, store);
    await attempting.query('begin');
    await attempt(attempting);
    let answered = false;
    const resolved = store.resolve(1).finally(() => {
      answered = true;
    });
    await untilWaiting(url);
    t.notOk(answered, 'no answer yet');
    await attempting.query(end);
    t.match(await resolved, end === 'commit' ? { first_seq: 1 } : null, `after a ${end}`);
  }
  t.equal(await checkLog(t, url), 2);
});

test('what resolve said stays true: an attempt under the term before cannot commit any more', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const attempt = await attemptOf(url, store);
  t.equal(await store.resolve(1), null);
  await t.rejects(attempt(await connection(t, url)), { code: 'MB001' });
  t.equal(await store.resolve(1), null);
});

test('an attempt that waits for a lock while a new term is taken cannot commit', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const holder = await connection(t, url);
  await holder.query('begin');
  await holder.query('select from audit_writer where id = $1 for update', [store.id]);
  const delayed = rejectsAs(t, store.append(1, messages(2)), 'fenced');
  await untilWaiting(url);
  await holder.query('select audit_rejoin($1)', [store.id]);
  await holder.query('commit');
  await delayed;
  t.equal(await store.resolve(1), null);
  t.strictSame(await stateOf(url), [{ events: '1', batches: '1' }]);
});

test('an attempt that arrives after resolve said null cannot commit', async (t) => {
  const url = await createDatabase(t);
  const between = await proxy(t, url);
  const late = await joinLog(openDb(t, between.url));
  const onItsWay = new Promise<void>((resolve) => between.onRequest('audit_append', resolve));
  between.setMode('hold');
  const append = rejectsAs(t, late.append(1, messages(2)), 'fenced');
  await onItsWay;
  const direct = openDb(t, url);
  await rejoinWriters(direct, late.id);
  t.strictSame(
    await direct.selectFrom('audit_batch').selectAll().where('writer', '=', late.id).execute(),
    [],
  );
  between.setMode('pass');
  await append;
  t.strictSame(await stateOf(url), [{ events: '1', batches: '1' }], 'null was the truth');
});

const connectedOf = (session_id: string): PendingEvent =>
  pendingEvent({
    action: 'CONNECTED',
    user_id: 'alice',
    session_id,
    ip: '192.0.2.1',
    details: { user_agent: null },
  });
const disconnectedOf = (session_id: string): PendingEvent =>
  pendingEvent({
    action: 'DISCONNECTED',
    user_id: 'alice',
    session_id,
    details: { code: 1000, reason: '', duration_ms: 1, rooms: [], room_count: 0 },
  });

test('a session’s row comes and goes in the commit of its event', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url), 'the-writer');
  const [one, two, brief] = [randomUUID(), randomUUID(), randomUUID()];
  const sessions = () =>
    query<{ session_id: string }>(
      url,
      `select s.session_id, s.user_id, s.instance, connected_seq, s.ip, s.xmin = e.xmin as same_commit,
        connected_at = e.timestamp as same_time
       from chat_session s join audit_event e on e.seq = connected_seq order by connected_seq`,
    );
  const rowOf = (session_id: string, connected_seq: string) => ({
    session_id,
    user_id: 'alice',
    instance: 'the-writer',
    connected_seq,
    ip: '192.0.2.1',
    same_commit: true,
    same_time: true,
  });
  const talk = messages(1, { session_id: two });
  await store.append(1, [...messages(1), connectedOf(one), connectedOf(two)]);
  t.strictSame(await sessions(), [rowOf(one, '2'), rowOf(two, '3')]);
  await store.append(2, [connectedOf(brief), disconnectedOf(one), ...talk, disconnectedOf(brief)]);
  t.strictSame(
    await sessions(),
    [rowOf(two, '3')],
    'a session that came and went in one batch leaves no row',
  );
  await store.append(2, [connectedOf(brief), disconnectedOf(one), ...talk, disconnectedOf(brief)]);
  t.strictSame(await sessions(), [rowOf(two, '3')], 'neither does the batch again');
  await store.append(3, [disconnectedOf(one), disconnectedOf(two)]);
  t.strictSame(await sessions(), [], 'the end of a session that has no row is no trouble');
  t.equal(await checkLog(t, url), 10);
});

test('when the commit fails, the session’s row neither comes nor goes', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  const [stays, never] = [randomUUID(), randomUUID()];
  await store.append(1, [connectedOf(stays)]);
  // Past the point where both are done, at the very end of the transaction.
  await query(
    url,
    `create function fail() returns trigger language plpgsql as
       $$ begin raise exception 'no' using errcode = 'disk_full'; end $$;
     create constraint trigger fail after insert on audit_batch deferrable initially deferred
       for each row execute function fail()`,
  );
  await rejectsAs(t, store.append(2, [connectedOf(never), disconnectedOf(stays)]), 'not_applied');
  t.match(await query(url, 'select session_id from chat_session'), [{ session_id: stays }]);
  t.strictSame(await stateOf(url), [{ events: '2', batches: '2' }]);
});

/** A connection of one’s own under Kysely, with settings that production has not. */
async function singleConnection(t: Test, config: pg.PoolConfig, setting = 'select'): Promise<Db> {
  const pool = new pg.Pool({ ...config, max: 1, application_name: 'minutebook test' });
  pool.on('error', () => {});
  pool.on('connect', (client) => client.on('error', () => {}));
  const db = new Kysely<Database>({ dialect: new PostgresDialect({ pool }) });
  t.teardown(() => db.destroy());
  await sql.raw(setting).execute(db);
  return db;
}

type Provocation = {
  what: string;
  kind: AppendFailure;
  /** The SQLSTATE or system error that it is about; undefined: there is none. */
  code: string | undefined;
  provoke: (t: Test, url: string) => Promise<unknown>;
};

const appendOf =
  (event: () => PendingEvent): Provocation['provoke'] =>
  async (t, url) =>
    (await joinLog(openDb(t, url))).append(1, [...messages(1), event()]);

/** An append that waits for the writer’s row, and what happens to it meanwhile. */
const appendHeld =
  (setting: string, meanwhile: (holder: pg.Client) => Promise<unknown>): Provocation['provoke'] =>
  async (t, url) => {
    const store = await joinLog(await singleConnection(t, { connectionString: url }, setting));
    const holder = await connection(t, url);
    await holder.query('begin; update audit_writer set lease_until = lease_until');
    const append = store.append(1, messages(1));
    append.catch(() => {});
    await untilWaiting(url);
    await meanwhile(holder);
    return append;
  };

/** An append under which the database raises this. */
const appendRaising =
  (code: string): Provocation['provoke'] =>
  async (t, url) => {
    await query(
      url,
      `create function fail() returns trigger language plpgsql as
         $$ begin raise exception 'provoked' using errcode = '${code}'; end $$;
       create trigger fail after insert on audit_event_0 for each row execute function fail()`,
    );
    t.teardown(() => query(url, 'drop function fail() cascade'));
    return (await joinLog(openDb(t, url))).append(1, messages(1));
  };

const WAITING =
  "(select pid from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock')";

const provocations: Provocation[] = [
  {
    what: 'NUL in a text',
    kind: 'item',
    code: '22021',
    provoke: appendOf(() => uncheckedEvent({ message: 'a\0b' })),
  },
  {
    what: 'NUL in the details',
    kind: 'item',
    code: '22P05',
    provoke: appendOf(() => uncheckedEvent({}, '{"a":"\\u0000"}')),
  },
  {
    what: 'a lone surrogate in the details',
    kind: 'item',
    code: '22P02',
    provoke: appendOf(() => uncheckedEvent({}, '{"a":"\\ud800"}')),
  },
  {
    what: 'details that are not JSON',
    kind: 'item',
    code: '22P02',
    provoke: appendOf(() => uncheckedEvent({}, '{')),
  },
  {
    what: 'details that nest too deeply',
    kind: 'item',
    code: '54001',
    provoke: appendOf(() => uncheckedEvent({}, '['.repeat(100_000))),
  },
  {
    what: 'a session that is no UUID',
    kind: 'item',
    code: '22P02',
    provoke: appendOf(() => uncheckedEvent({ session_id: 'x' })),
  },
  {
    what: 'a time that is none',
    kind: 'item',
    code: '22007',
    provoke: appendOf(() => uncheckedEvent({ occurred_at: 'x' })),
  },
  {
    what: 'a time out of range',
    kind: 'item',
    code: '22008',
    provoke: appendOf(() => uncheckedEvent({ occurred_at: '2026-13-32' })),
  },
  {
    what: 'no action',
    kind: 'item',
    code: '23502',
    provoke: appendOf(() => uncheckedEvent({ action: null })),
  },
  {
    what: 'a room too long for the index of who is where',
    kind: 'item',
    code: '54000',
    provoke: appendOf(() =>
      uncheckedEvent({
        action: 'JOINED',
        session_id: randomUUID(),
        room: randomBytes(6_000).toString('hex'),
      }),
    ),
  },
  {
    what: 'a session that connects twice',
    kind: 'item',
    code: '23505',
    provoke: async (t, url) => {
      const store = await joinLog(openDb(t, url));
      const event = connectedOf(randomUUID());
      await store.append(1, [event]);
      return store.append(2, [event]);
    },
  },
  {
    what: 'the end of the last partition',
    kind: 'not_applied',
    code: '23514',
    provoke: async (t) => {
      const url = await createDatabase(t);
      await restartLog(url, 1);
      return (await joinLog(openDb(t, url))).append(1, messages(4));
    },
  },
  {
    what: 'a database that is read-only',
    kind: 'not_applied',
    code: '25006',
    provoke: async (t, url) => {
      const db = await singleConnection(t, { connectionString: url });
      const store = await joinLog(db);
      await sql`set default_transaction_read_only = on`.execute(db);
      return store.append(1, messages(1));
    },
  },
  {
    what: 'a right that was taken away',
    kind: 'not_applied',
    code: '42501',
    provoke: async (t, url) => {
      const db = await singleConnection(t, { connectionString: url });
      const store = await joinLog(db);
      await sql`set role pg_monitor`.execute(db);
      return store.append(1, messages(1));
    },
  },
  {
    what: 'a lock that is not had in time',
    kind: 'not_applied',
    code: '55P03',
    provoke: appendHeld('set lock_timeout = 1000', async () => {}),
  },
  {
    what: 'a statement that takes too long',
    kind: 'not_applied',
    code: '57014',
    provoke: appendHeld('set statement_timeout = 1000', async () => {}),
  },
  {
    what: 'a statement that an operator cancels',
    kind: 'not_applied',
    code: '57014',
    provoke: appendHeld('select', (holder) => holder.query(`select pg_cancel_backend(${WAITING})`)),
  },
  {
    what: 'a conflict under another isolation level',
    kind: 'not_applied',
    code: '40001',
    provoke: appendHeld("set default_transaction_isolation = 'repeatable read'", (holder) =>
      holder.query('commit'),
    ),
  },
  {
    what: 'a connection that an operator ends',
    kind: 'unknown',
    code: '57P01',
    provoke: appendHeld('select', (holder) => holder.query(`select pg_terminate_backend(${WAITING})`)),
  },
  { what: 'a full disk', kind: 'not_applied', code: '53100', provoke: appendRaising('53100') },
  { what: 'no memory', kind: 'not_applied', code: '53200', provoke: appendRaising('53200') },
  { what: 'a deadlock', kind: 'not_applied', code: '40P01', provoke: appendRaising('40P01') },
  { what: 'a disk that fails', kind: 'unknown', code: '58030', provoke: appendRaising('58030') },
  { what: 'a page that is damaged', kind: 'unknown', code: 'XX001', provoke: appendRaising('XX001') },
  {
    what: 'no connection left',
    kind: 'not_applied',
    code: '53300',
    provoke: async (t, url) => {
      const role = `crowded_${randomBytes(6).toString('hex')}`;
      await query(url, `create role ${role} login password 'secret' connection limit 0`);
      t.teardown(() => query(serverUrl(), `drop role ${role}`));
      return singleConnection(t, { connectionString: url.replace(/\/\/[^@]*@/, `//${role}:secret@`) });
    },
  },
  {
    what: 'a wrong password',
    kind: 'not_applied',
    code: '28P01',
    provoke: (t, url) => singleConnection(t, { connectionString: url.replace(/:[^:@]*@/, ':wrong@') }),
  },
  {
    what: 'no such database',
    kind: 'not_applied',
    code: '3D000',
    provoke: (t) => singleConnection(t, { connectionString: databaseUrl('there_is_none') }),
  },
  {
    what: 'nobody who listens',
    kind: 'not_applied',
    code: 'ECONNREFUSED',
    provoke: async (t, url) => {
      const nobody = new URL(url);
      nobody.port = String(await closedPort());
      return singleConnection(t, { connectionString: nobody.href });
    },
  },
  {
    what: 'a connection that is cut before the answer',
    kind: 'unknown',
    code: undefined,
    provoke: async (t, url) => {
      const between = await proxy(t, url);
      const store = await joinLog(openDb(t, between.url));
      between.onRequest('audit_append', between.cut);
      return store.append(1, messages(1));
    },
  },
  {
    what: 'no answer in time',
    kind: 'unknown',
    code: undefined,
    provoke: async (t, url) => {
      const between = await proxy(t, url);
      const store = await joinLog(
        await singleConnection(t, { connectionString: between.url, query_timeout: 1_000 }),
      );
      between.setMode('swallow-answers');
      return store.append(1, messages(1));
    },
  },
];

/** A port on which nobody listens. */
const closedPort = (): Promise<number> =>
  new Promise((resolve) => {
    const server = createServer().listen(0, '127.0.0.1', () => {
      const { port } = server.address() as { port: number };
      server.close(() => resolve(port));
    });
  });

test('what to do after a failed append is told from the error that Postgres gave', async (t) => {
  const url = await createDatabase(t);
  for (const { what, kind, code, provoke } of provocations) {
    await t.test(`${what}: ${kind}`, async (t) => {
      const error = await provoke(t, url).then(
        () => t.fail('it succeeded'),
        (error: unknown) => error,
      );
      if (error instanceof AppendError) t.equal(error.kind, kind);
      const cause = error instanceof AppendError ? error.cause : error;
      t.match(cause, { code }, String(cause));
      t.equal(classifyAppendFailure(cause), kind);
    });
  }
});

test('a host that cannot be found was sent nothing', async (t) => {
  const lost = singleConnection(t, { connectionString: 'postgres://x:x@nowhere.invalid/x' });
  const error = await lost.then(
    () => t.fail('it succeeded'),
    (error: unknown) => error,
  );
  // ENOTFOUND or EAI_AGAIN, as the resolver pleases.
  t.equal(classifyAppendFailure(error), 'not_applied', String(error));
});

test('what is no error of the database is taken for an unknown outcome', async (t) => {
  for (const error of [undefined, null, 'text', new Error('no code'), { code: '22021', severity: 'ERROR' }]) {
    t.equal(classifyAppendFailure(error), 'unknown');
  }
});

test('a failure tells an operator neither host nor statement nor data', async (t) => {
  const url = await createDatabase(t);
  const store = await joinLog(openDb(t, url));
  await t.rejects(store.append(1, [uncheckedEvent({ message: 'secret \0' })]), {
    message: 'the database answered 22021',
  });
});

const partitionsOf = (url: string): Promise<{ name: string; events: number }[]> =>
  query(
    url,
    `select tableoid::regclass::text as name, count(*)::int as events from audit_event group by 1 order by min(seq)`,
  );

const hasTable = async (url: string, name: string): Promise<boolean> =>
  (await query<{ found: boolean }>(url, 'select to_regclass($1) is not null as found', [name]))[0]?.found ===
  true;

test('a batch may cross the boundaries of partitions', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 4);
  const store = await joinLog(openDb(t, url));
  t.match(await store.append(1, messages(3)), { first_seq: 0 });
  t.match(await store.append(2, messages(7)), { first_seq: 3 });
  t.strictSame(await partitionsOf(url), [
    { name: 'audit_event_0', events: 4 },
    { name: 'audit_event_4', events: 4 },
    { name: 'audit_event_8', events: 2 },
  ]);
  t.equal(await checkLog(t, url), 10);
});

test('past the last partition nothing is appended; with more partitions it goes on without a gap', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 4);
  const db = openDb(t, url);
  const store = await joinLog(db);
  await store.append(1, messages(10));
  await rejectsAs(t, store.append(2, messages(3)), 'not_applied');
  t.strictSame(await stateOf(url), [{ events: '10', batches: '1' }]);
  t.equal(await makePartitions(db), 2);
  t.match(await store.append(2, messages(3)), { first_seq: 10 });
  t.equal(await checkLog(t, url), 13);
});

test('partitions are made until two are spare, and no more', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 4);
  const db = openDb(t, url);
  const store = await joinLog(db);
  const last = async () =>
    (await query<{ partitioned_to: string }>(url, 'select partitioned_to from audit_log'))[0]?.partitioned_to;
  t.equal(await makePartitions(db), 2);
  t.equal(await last(), '12');
  for (const [number, size, end] of [
    [1, 3, '12'],
    [2, 1, '16'],
    [3, 3, '16'],
    [4, 1, '20'],
  ] as const) {
    await store.append(number, messages(size));
    t.equal(await makePartitions(db), 2);
    t.equal(await last(), end);
  }
  await store.append(5, messages(11));
  t.equal(await makePartitions(db), 2, 'several at once, when they have run short');
  t.equal(await last(), '28');
});

test('servers that make partitions at the same moment do not make them twice', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 4);
  await (await joinLog(openDb(t, url))).append(1, messages(12));
  const made = await Promise.allSettled(Array.from({ length: 4 }, () => makePartitions(openDb(t, url))));
  for (const result of made) {
    // On a slow machine one may give up waiting for the others; it is never wrong.
    if (result.status === 'fulfilled') t.equal(result.value, 2);
    else t.match(result.reason, { code: '55P03' });
  }
  t.ok(made.some(({ status }) => status === 'fulfilled'));
  t.match(await query(url, "select count(*) from pg_inherits where inhparent = 'audit_event'::regclass"), [
    { count: '6' },
  ]);
});

test('making partitions neither waits for an open reader nor makes readers or writers wait', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 4);
  const db = openDb(t, url);
  const store = await joinLog(db);
  await store.append(1, messages(5));

  const reader = await connection(t, url);
  await reader.query('begin');
  await reader.query('select count(*) from audit_event');
  t.equal(await makePartitions(db), 2, 'with a reader’s transaction open');
  t.ok(await hasTable(url, 'audit_event_12'));
  await reader.query('commit');

  await store.append(2, messages(5));
  const maker = await connection(t, url);
  await maker.query('begin');
  await maker.query('select audit_make_partitions()');
  await reader.query("set lock_timeout = '500ms'");
  t.match(await reader.query('select count(*) from audit_event'), { rows: [{ count: '10' }] });
  t.match(await store.append(3, messages(2)), { first_seq: 10 }, 'with a maker’s transaction open');
  await maker.query('commit');
  t.ok(await hasTable(url, 'audit_event_16'));
});

test('making partitions gives up after 200 ms when the table is locked, leaves nothing, and succeeds later', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 4);
  const db = openDb(t, url);
  const store = await joinLog(db);
  await store.append(1, messages(5));
  const holder = await connection(t, url);
  // As VACUUM or CREATE INDEX CONCURRENTLY would.
  await holder.query('begin; lock table audit_event in share update exclusive mode');
  const times: number[] = [];
  for (let attempt = 0; attempt < 3; attempt += 1) {
    const start = performance.now();
    await t.rejects(makePartitions(db), { code: '55P03' });
    times.push(Math.round(performance.now() - start));
  }
  // The connection's own time-out is 1 s. A busy machine may make one attempt longer, hardly all of them.
  const fastest = Math.min(...times);
  t.ok(fastest >= 190 && fastest < 900, `it took ${times.join(', ')} ms`);
  t.notOk(await hasTable(url, 'audit_event_12'));
  t.match(await store.append(2, messages(1)), { first_seq: 5 }, 'meanwhile the log is written');
  await holder.query('rollback');
  t.equal(await makePartitions(db), 2);
  t.ok(await hasTable(url, 'audit_event_12'));
});

test('a batch of 512 events is one statement and one round trip, parsed once per connection', async (t) => {
  const url = await createDatabase(t);
  const counter = await wire(t, url);
  const store = await joinLog(openDb(t, counter.url));
  const batch = messages(512);
  counter.reset();
  await store.append(1, batch);
  t.strictSame(counter.types, ['P', 'B', 'D', 'E', 'S'], 'parse, bind, describe, execute, sync');
  counter.reset();
  await store.append(2, batch);
  t.strictSame(counter.types, ['B', 'D', 'E', 'S'], 'the statement is known by name');
  t.ok(counter.received() < 1_000, `the answer is small: ${counter.received()} bytes`);
  t.equal(await checkLog(t, url), 1_025);
});

test('with a foreign snapshot open, batches leave no dead rows behind', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const store = await joinLog(db);
  const report = await connection(t, url);
  await report.query('begin isolation level repeatable read');
  await report.query('select count(*) from audit_event');
  const sizes = () =>
    query(url, "select pg_relation_size('audit_writer') as writer, pg_relation_size('audit_log') as log");
  const before = await sizes();
  for (let number = 1; number <= 500; number += 1) await store.append(number, messages(1));
  await db.destroy();
  // A session hands its statistics in when it ends.
  const rows = await untilRows(
    () =>
      query<{ relname: string; n_tup_ins: string }>(
        url,
        `select relname, n_tup_ins, n_tup_upd, n_tup_del, n_dead_tup from pg_stat_user_tables
         where relname in ('audit_batch', 'audit_event_0', 'audit_log', 'audit_writer') order by relname`,
      ),
    (rows) => Number(rows[0]?.n_tup_ins) >= 500,
  );
  const none = { n_tup_upd: '0', n_tup_del: '0', n_dead_tup: '0' };
  t.match(rows, [
    { relname: 'audit_batch', n_tup_ins: '500', ...none },
    { relname: 'audit_event_0', n_tup_ins: '500', ...none },
    { relname: 'audit_log', n_tup_ins: '0', ...none },
    { relname: 'audit_writer', n_tup_ins: '1', ...none },
  ]);
  t.strictSame(await sizes(), before, 'the rows that every batch looks at stay where they are');
  t.match(
    await report.query('select count(*) from audit_event'),
    { rows: [{ count: '1' }] },
    'it was open all along',
  );
});

/** Asks until the answer is as wanted. */
async function untilRows<Row>(ask: () => Promise<Row[]>, wanted: (rows: Row[]) => boolean): Promise<Row[]> {
  let rows: Row[] = [];
  await until('the statistics are in', async () => {
    rows = await ask();
    return wanted(rows);
  });
  return rows;
}
