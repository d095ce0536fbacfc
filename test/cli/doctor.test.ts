import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { test } from 'tap';
import { countMissing, readRights, readSparePartitions } from '../../db/doctor.ts';
import { indexNext } from '../../db/search-index.ts';
import { exitCodes } from '../../src/cli/exit.ts';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { build, temporaryFolder } from '../support/app.ts';
import { runCli, startCli } from '../support/cli.ts';
import { openDb, restartLog } from '../support/log-store.ts';
import { alterSystem, loosePostgres } from '../support/loose-postgres.ts';
import { createDatabase, query } from '../support/postgres.ts';
import { startServer } from '../support/server.ts';

/** What a doctor's lines say, by the names of the checks. */
const findingsIn = (stdout: string): Record<string, string> =>
  Object.fromEntries(
    [...stdout.matchAll(/^(ok|warn|fail) +(\S+) +(.*)$/gm)].map(([, level, name, text]) => [
      `${name}${level === 'fail' ? ' fails' : ''}`,
      `${level}: ${text}`,
    ]),
  );

/** Changes what nobody may change, stepping over the triggers, as only a superuser can. */
const damage = (url: string, statement: string): Promise<unknown> =>
  query(url, `begin; set local session_replication_role = replica; ${statement}; commit`);

test('a database that is as it must be passes every check', async (t) => {
  const server = await build(t);
  await Promise.all(Array.from({ length: 50 }, () => server.app.audit.record({ action: 'JOINED' })));
  const { code, stdout, stderr } = await runCli(t, ['doctor'], { DATABASE_URL: server.databaseUrl });
  t.strictSame({ code, stderr }, { code: 0, stderr: '' });
  t.match(findingsIn(stdout), {
    versions: /^ok: Minutebook \d+\.\d+\.\d+, Node v24\S+, Postgres \d+/,
    database: /^ok: at DATABASE_URL; it keeps what it commits/,
    schema: /^ok: up to date \(\d{4}_/,
    rights: /^warn: \S+ could change the log by itself \(.*superuser\)/,
    clocks: /^ok: /,
    partitions: 'ok: 2 spare',
    indexes: 'ok: all in use',
    search: 'ok: the index is up to date; compared with the log in 0 blocks',
    gaps: /^ok: none in \d+ events$/,
  });
});

test('the embedded Postgres of a running server is looked at, and none is made by looking', async (t) => {
  const dataDir = await temporaryFolder(t);
  const none = await runCli(t, ['doctor'], { DATA_DIR: dataDir });
  t.match(none, { code: exitCodes.failed, stdout: /^fail {2}database +there is none in .* yet/ });
  t.notOk(existsSync(join(dataDir, 'postgres')));
  const server = await startServer(t, { dataDir, env: { LOG_LEVEL: 'warn' } });
  t.match(server.url, 'http');
  const found = await runCli(t, ['doctor'], { DATA_DIR: dataDir });
  t.match(found, { code: 0 }, found.stdout);
  t.match(findingsIn(found.stdout), { database: /^ok: embedded in/, rights: /^ok: / });
});

test('whoever has read enough, or cannot take it, leaves no Postgres running that was started to look at it', async (t) => {
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn' } });
  server.child.kill('SIGTERM');
  await server.exited;
  const env = { DATA_DIR: server.dataDir };
  const postmaster = join(server.dataDir, 'postgres/postmaster.pid');
  const { child, ended } = await startCli(t, ['doctor'], env);
  child.stdout?.once('data', () => child.stdout?.destroy());
  t.match(await ended, { code: 0, stderr: '' });
  t.notOk(existsSync(postmaster));
  if (!existsSync('/dev/full')) return;
  const full = await startCli(t, ['doctor'], env, '/dev/full');
  t.match(await full.ended, { code: exitCodes.failed, stderr: /^minutebook: The output cannot be written/ });
  t.notOk(existsSync(postmaster));
});

test('gaps and lost batches are found, wherever they are', async (t) => {
  const server = await build(t);
  await Promise.all(Array.from({ length: 50 }, () => server.app.audit.record({ action: 'JOINED' })));
  await server.app.close();
  const { databaseUrl: url } = server;
  const db = openDb(t, url);
  t.strictSame(await countMissing(db, { from: 10, to: 20 }), { events: 0, batches: 0 });
  await damage(url, 'delete from audit_event where seq in (7, 12)');
  t.strictSame(await countMissing(db, { from: 10, to: 20 }), { events: 1, batches: 0 });
  t.match(await runCli(t, ['doctor'], { DATABASE_URL: url }), {
    code: exitCodes.failed,
    stdout: /^fail {2}gaps +2 events and 0 numbers of batches are missing between seq 0 and \d+$/m,
  });
  await damage(url, 'delete from audit_batch where first_seq = 0');
  t.match(await countMissing(db, { from: 0, to: 20 }), { events: 2, batches: 1 });
});

test('an index that is not what the log gives is found, whatever of it is wrong', async (t) => {
  const url = await createDatabase(t);
  await damage(
    url,
    `insert into audit_event (seq, timestamp, occurred_at, action, user_id, message, room, instance)
       select n, now(), now(), 'MESSAGE_SENT', 'user-' || n % 40, 'hello ' || n, 'room-' || n % 3, 'a test'
       from generate_series(1, ${2 * BLOCK_SIZE}) n;
     insert into audit_batch values (1, ${2 * BLOCK_SIZE}, now(), 'a test', 1)`,
  );
  const db = openDb(t, url);
  while (await indexNext(db));
  const doctor = async () => findingsIn((await runCli(t, ['doctor'], { DATABASE_URL: url })).stdout);
  t.match(await doctor(), { search: 'ok: the index is up to date; compared with the log in 2 blocks' });
  const changes: [wrong: string, right?: string][] = [
    // As whoever holds the server's role could have written it: all counts are as they should be.
    ["list = set_byte(list, 0, get_byte(list, 0) # 1) where value = 'user-7'"],
    ["value = 'user-7x' where value = 'user-7'", "value = 'user-7' where value = 'user-7x'"],
    ["rooms = rooms # 1 where value = 'user-7'"],
  ];
  for (const [wrong, right] of changes) {
    await query(url, `update audit_posting set ${wrong} and block = 1`);
    t.match(
      await doctor(),
      { 'search fails': /^fail: .* from seq 16384 to 32767: filters may miss events/ },
      wrong,
    );
    await query(url, `update audit_posting set ${right ?? wrong} and block = 1`);
  }
  await query(
    url,
    'update audit_gram set bits = set_bit(bits, 5, 1 - get_bit(bits, 5)) where part = 17 and block = 0',
  );
  t.match(await doctor(), { 'search fails': /^fail: .* from seq 0 to 16383/ });
});

test('a schema that is not this version’s, an index that was never finished, and a clock are told', async (t) => {
  const server = await build(t);
  await server.app.close();
  const { databaseUrl: url } = server;
  await query(url, "update kysely_migration set name = '9999_later' where name like '0004%'");
  await query(
    url,
    'update pg_index set indisvalid = false where indexrelid = (select min(indexrelid) from pg_index i ' +
      "join pg_class c on c.oid = i.indrelid where c.relname = 'audit_batch')",
  );
  await damage(url, "update audit_batch set timestamp = now() + interval '1 hour'");
  await query(url, 'update audit_log set partitioned_to = partition_size');
  const { code, stdout } = await runCli(t, ['doctor'], { DATABASE_URL: url });
  t.equal(code, exitCodes.failed);
  t.match(findingsIn(stdout), {
    'schema fails': 'fail: newer than this version: it has 9999_later',
    'indexes fails': /^fail: not in use: audit_batch/,
    clocks: /^warn: the log’s time is 3\d{3}\.\d s ahead/,
    partitions: 'warn: 0 spare',
  });
  const empty = await createDatabase(t, { empty: true });
  t.match(await runCli(t, ['doctor'], { DATABASE_URL: empty }), {
    code: exitCodes.failed,
    stdout: /^fail {2}schema +not up to date: 0001_audit_log/m,
  });
});

test('past the last partition nothing can be written, and the doctor says so', async (t) => {
  const url = await createDatabase(t);
  await restartLog(url, 100);
  const db = openDb(t, url);
  t.equal(await readSparePartitions(db), 2);
  await query(url, 'update audit_log set partitioned_to = 0');
  t.ok((await readSparePartitions(db)) < 0);
});

test('a role that may only serve lacks nothing and could change nothing; one that lacks something is told', async (t) => {
  const url = await createDatabase(t);
  const role = `doctor_${new URL(url).pathname.slice(1)}`;
  await query(
    url,
    `create role ${role} login password 'x'; grant usage on schema public to ${role};
    grant select on all tables in schema public to ${role}; grant execute on all functions in schema public to ${role}`,
  );
  t.teardown(() => query(url, `drop owned by ${role}; drop role ${role}`).catch(() => {}));
  const as = new URL(url);
  as.username = role;
  as.password = 'x';
  const db = openDb(t, as.href);
  t.strictSame(await readRights(db), { role, missing: [], excess: [] });
  t.match(findingsIn((await runCli(t, ['doctor'], { DATABASE_URL: as.href })).stdout), { rights: /^ok: / });
  await query(
    url,
    `revoke execute on all functions in schema public from ${role}; revoke select on audit_batch from ${role};
    grant delete on audit_event to ${role}`,
  );
  t.match(await readRights(db), { missing: ['audit_append()', 'audit_batch'], excess: ['delete'] });
});

test('a database that would lose what it commits fails, and so does one that cannot be reached', async (t) => {
  const { url } = await loosePostgres(t);
  await alterSystem(url, 'fsync', 'off');
  t.match(await runCli(t, ['doctor'], { DATABASE_URL: url }), {
    code: exitCodes.failed,
    stdout: /^fail {2}database +Postgres runs with fsync=off.*alter system set fsync = on/,
  });
  t.match(await runCli(t, ['doctor'], { DATABASE_URL: 'postgres://a:b@127.0.0.1:1/c' }), {
    code: exitCodes.failed,
    stdout: /^fail {2}database +connect ECONNREFUSED/,
    stderr: '',
  });
});
