import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { needles, rooms, users } from '../../bench/seed/cast.ts';
import { seedDatabase } from '../../bench/seed/run.ts';
import { indexNext } from '../../db/search-index.ts';
import { dumpLog } from '../faults/dump.ts';
import { gatherFacts, Judge } from '../faults/facts.ts';
import { batchesTile, endsOnce, lostAreSilent, numbered } from '../faults/log-checks.ts';
import { checkLog } from '../fuzz/log-checks.ts';
import { build } from '../support/app.ts';
import { connect } from '../support/client.ts';
import { openDb, restartLog } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';

/** More than one block of the index. */
const EVENTS = 20_000;

/** A migrated database that is filled. */
async function seeded(t: Test, events = EVENTS): Promise<string> {
  const url = await createDatabase(t);
  await seedDatabase(url, { events, seed: 1 });
  return url;
}

/** Every check of a log that there is. */
async function checkWhole(t: Test, url: string): Promise<void> {
  const log = await dumpLog({ sql: (text) => query(url, text) });
  const facts = gatherFacts([], log);
  for (const check of [numbered, endsOnce, batchesTile, lostAreSilent]) {
    const judge = new Judge();
    check(facts, judge);
    t.strictSame(judge.violations.slice(0, 3), [], check.name);
    t.ok(judge.checked > 0 || check === lostAreSilent, check.name);
  }
  t.strictSame((await checkLog(url, new Map())).faults, []);
  for (const { room, session_id, seq } of log.events.filter(({ action }) => action === 'MESSAGE_SENT')) {
    const isIn = facts.memberships
      .get(session_id ?? '')
      ?.some((stay) => stay.room === room && stay.from < seq && seq < stay.to);
    if (!isIn) t.fail(`${seq} is said in ${room} by somebody who is not there`);
  }
}

test('a seeded log is one that a server could have written', async (t) => {
  const url = await seeded(t);
  await checkWhole(t, url);
  const [live] = await query(
    url,
    `select (select count(*) from chat_session)::int as sessions, (select count(*) from chat_ban)::int as bans,
       (select count(*) from audit_event)::int as events, (select count(distinct details->'rooms') from audit_event
         where action = 'DISCONNECTED')::int as rooms,
       (select bool_or(tgenabled = 'D') from pg_trigger where not tgisinternal) as disabled,
       (select max(timestamp) <= clock_timestamp() and max(timestamp) > clock_timestamp() - interval '1 day'
         and max(timestamp) - min(timestamp) > interval '89 days' from audit_event) as past`,
  );
  t.match(live, { sessions: 0, bans: 0, events: EVENTS + 1, disabled: false, past: true });
  t.ok(live?.rooms > 5, 'sessions end with the rooms that they were in');
  const unknown = await query(
    url,
    `select relname from pg_class where reltuples < 0 and relkind = 'r'
       and (relname like 'audit\\_event\\_%' or relname in ('audit_batch', 'audit_posting', 'audit_gram'))`,
  );
  t.strictSame(unknown, [], 'Postgres knows how much there is of it, as after a quiet night');
});

test('the users that readers stumble over are there, as rare and as common as they should be', async (t) => {
  const url = await seeded(t);
  const count = async (condition: string): Promise<number> => {
    const [row] = await query<{ count: number }>(
      url,
      `select count(*)::int as count from audit_event where ${condition}`,
    );
    return row?.count ?? 0;
  };
  const third = await count(`user_id = '${users.third}'`);
  t.ok(Math.abs(third / EVENTS - 1 / 3) < 0.01, `a third: ${third}`);
  t.equal(await count(`user_id = '${users.third}' and room = '${rooms.common}'`), 0);
  t.ok((await count(`room = '${rooms.common}'`)) > EVENTS / 20);
  t.ok((await count(`user_id = '${users.silent}'`)) > EVENTS / 30);
  t.equal(await count(`user_id = '${users.silent}' and action = 'MESSAGE_SENT'`), 0);
  t.equal(await count(`user_id = '${users.single}'`), 1);
  t.equal(await count(`room = '${rooms.single}'`), 1);
  t.equal(await count(`user_id = '${users.rare}' and seq > ${EVENTS / 10}`), 0, 'all of them long ago');
  t.ok((await count(`user_id = '${users.rare}'`)) > 20);
  t.ok((await count(`target_user_id = '${users.target}'`)) > 0);
  for (const [needle, found] of [
    [needles.common, (n: number) => n > EVENTS / 100],
    [needles.thai, (n: number) => n > 10],
    [needles.rare, (n: number) => n === 20],
    [needles.single, (n: number) => n === 1],
    [needles.never, (n: number) => n === 0],
  ] as const) {
    const n = await count(`message like '%${needle}%'`);
    t.ok(found(n), `${needle}: ${n}`);
  }
  t.equal(await count(`user_id = '${users.never}' or room = '${rooms.never}'`), 0);
});

test('its index is the one that is made from the log', async (t) => {
  const url = await seeded(t);
  const read = async () => ({
    next: await query(url, 'select next_block from audit_index'),
    postings: await query(url, 'select * from audit_posting order by field, value, block'),
    grams: await query(url, 'select * from audit_gram order by part, block'),
  });
  const made = await read();
  t.strictSame(made.next, [{ next_block: 1 }]);
  t.ok(made.postings.length > 1_000 && made.grams.length > 0);
  await query(url, 'truncate audit_posting, audit_gram; update audit_index set next_block = 0');
  const db = openDb(t, url, 'index');
  t.equal(await indexNext(db), true);
  t.strictSame(await read(), made);
  t.equal(await indexNext(db), false, 'the next block is not whole');
});

test('a log of many partitions has them all made by the owner’s function', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 300);
  await seedDatabase(url, { events: 2_000, seed: 2 });
  await checkWhole(t, url);
  const [log] = await query(url, 'select partitioned_to::int as made from audit_log');
  t.strictSame(log, { made: 2_700 }, 'and two are spare');
});

test('a server starts on it, chats, and is read', async (t) => {
  const server = await build(t, { DATABASE_URL: await seeded(t) });
  const epoch = await server.page('action=EPOCH_STARTED');
  t.equal(epoch.data.length, 1, 'its history is the one it had');
  const alice = await connect(t, server, 'alice');
  alice.send({ type: 'message', text: 'hello', ref: '1' });
  const { seq } = await alice.next('ack');
  t.ok(Number(seq) > EVENTS);
  const { data } = await server.page(`user_id=${users.rare}&order=asc&limit=1000`);
  t.ok(data.length > 20);
  t.equal(data[0]?.action, 'CONNECTED');
  const page = await server.page('user_id=alice&from=-1h&q=hello');
  t.strictSame(
    page.data.map((event) => event.seq),
    [seq],
    'nothing of it is in the future',
  );
  const ready = await server.get('/health/ready');
  t.match(await ready.json(), { status: 'ready' });
});

test('what is no new log is refused', async (t) => {
  const url = await seeded(t, 1_000);
  await t.rejects(seedDatabase(url, { events: 1_000, seed: 1 }), {
    message: 'This log holds 1001 events already. Only a new one can be filled, of 100 at most.',
  });
  const server = await build(t);
  await t.rejects(seedDatabase(server.databaseUrl, { events: 1_000, seed: 1 }), { message: /A server runs/ });
});

async function seed(...parameters: string[]): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [
    join(import.meta.dirname, '../../bench/seed/main.ts'),
    ...parameters,
  ]);
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

test('the command fills an empty database, and says how fast', async (t) => {
  const url = await createDatabase(t, { empty: true });
  const filled = await seed('--events', '1500', '--seed', '7', '--database-url', url);
  t.match(filled, { code: 0, output: /^1,500 events in [\d.]+ s: [\d,]+ a second\.\n$/ });
  t.strictSame(await query(url, 'select count(*)::int as events from audit_event'), [{ events: 1_501 }]);
  t.match(await seed('--events', '999'), {
    code: 2,
    output: /--events: “999” is not a whole number from 1000/,
  });
  t.match(await seed(), { code: 2, output: /--events/ });
});
