import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Test, test } from 'tap';
import { createClient } from '../../db/client.ts';
import { migrate, migrationStatus } from '../../db/migrate.ts';
import { migrations } from '../../db/migrations/index.ts';
import { SetupError } from '../../src/core/setup-error.ts';
import { plainEnvironment } from '../support/environment.ts';
import { openDb } from '../support/log-store.ts';
import { createDatabase, query, serverUrl } from '../support/postgres.ts';

const ALL = Object.keys(migrations);

/** A role that may log in and no more; gone after the test’s databases. */
async function createRole(t: Test): Promise<(url: string) => string> {
  const name = `role_${randomBytes(6).toString('hex')}`;
  const server = serverUrl();
  await query(server, `create role ${name} login password 'secret'`);
  t.teardown(() => query(server, `drop role if exists ${name}`));
  return (url) => {
    const as = new URL(url);
    as.username = name;
    as.password = 'secret';
    return as.href;
  };
}

test('a fresh database is migrated once, also by five servers at the same moment', async (t) => {
  for (let round = 0; round < 2; round += 1) {
    const url = await createDatabase(t, { empty: true });
    const clients = Array.from({ length: 5 }, () => openDb(t, url, 'migrate'));
    const applied = await Promise.all(clients.map(migrate));
    t.strictSame(applied.flat().sort(), ALL, 'each migration was applied by one of them');
    const rows = await query<{ name: string }>(url, 'select name from kysely_migration order by name');
    t.strictSame(
      rows.map(({ name }) => name),
      ALL,
    );
    t.match(await query(url, 'select count(*) from audit_log'), [{ count: '1' }], 'there is one history');
    t.match(await query(url, 'select count(*) from audit_event'), [{ count: '1' }], 'which began once');
    await Promise.all(clients.map((db) => db.destroy()));
  }
});

test('a second run applies nothing', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url, 'migrate');
  const before = await query(url, 'select epoch from audit_log');
  t.strictSame(await migrate(db), []);
  t.strictSame(await migrationStatus(db), { applied: ALL, pending: [], unknown: [] });
  t.strictSame(await query(url, 'select epoch from audit_log'), before);
});

test('the status of an empty database is told without changing it', async (t) => {
  const url = await createDatabase(t, { empty: true });
  t.strictSame(await migrationStatus(openDb(t, url, 'migrate')), { applied: [], pending: ALL, unknown: [] });
  t.strictSame(
    await query(url, "select relname from pg_class where relnamespace = 'public'::regnamespace"),
    [],
  );
});

test('a migration happens as a whole or not at all', async (t) => {
  const url = await createDatabase(t, { empty: true });
  // In the way of the last table, when the others are made already.
  await query(url, 'create table chat_session (stranger text)');
  const db = openDb(t, url, 'migrate');
  await t.rejects(migrate(db), { name: 'SetupError', message: /^A migration failed: .*chat_session/ });
  t.match(await query(url, "select to_regclass('audit_event') as found"), [{ found: null }]);
  t.strictSame((await migrationStatus(db)).pending, ALL);
  await query(url, 'drop table chat_session');
  t.strictSame(await migrate(db), ALL, 'mended, it goes through');
});

test('a server that dies while it migrates leaves nothing behind, and the next one migrates', async (t) => {
  const url = await createDatabase(t, { empty: true });
  const name = 'minutebook dying';
  const dying = createClient({ url, applicationName: name, purpose: 'migrate', onError: () => {} });
  // The first migration waits for a name that somebody else is about to take.
  const holder = openDb(t, url, 'migrate');
  await holder.transaction().execute(async (other) => {
    await other.schema.createTable('chat_session').addColumn('stranger', 'text').execute();
    const failed = t.rejects(migrate(dying), SetupError);
    for (let ended = 0; ended === 0; ) {
      const rows = await query(
        url,
        `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = '${name}' and wait_event_type = 'Lock' and datname = current_database()`,
      );
      ended = rows.length;
    }
    await failed;
    await other.schema.dropTable('chat_session').execute();
  });
  await dying.destroy();
  t.strictSame(await migrate(holder), ALL);
  t.match(await query(url, 'select count(*) from audit_event'), [{ count: '1' }]);
});

test('a schema that is newer than the server is refused by name', async (t) => {
  const url = await createDatabase(t);
  await query(url, "insert into kysely_migration (name, timestamp) values ('0999_from_the_future', 'now')");
  const db = openDb(t, url, 'migrate');
  await t.rejects(migrate(db), {
    name: 'SetupError',
    message:
      'The database’s schema is newer than this server: it has 0999_from_the_future. Start the newer version.',
  });
  t.strictSame(await migrationStatus(db), { applied: ALL, pending: [], unknown: ['0999_from_the_future'] });
});

test('a role that may not change the schema is told to run npm run db:migrate', async (t) => {
  const as = await createRole(t);
  const told = { name: 'SetupError', message: /npm run db:migrate/ };

  const fresh = await createDatabase(t, { empty: true });
  await t.rejects(migrate(openDb(t, as(fresh), 'migrate')), told, 'on an empty database');
  t.match(await query(fresh, "select to_regclass('kysely_migration') as found"), [{ found: null }]);

  const closed = await createDatabase(t);
  await t.rejects(migrate(openDb(t, as(closed), 'migrate')), told, 'where it may not even read the state');

  const older = await createDatabase(t);
  await query(older, 'grant select on all tables in schema public to public');
  await query(older, 'delete from kysely_migration');
  await t.rejects(
    migrate(openDb(t, as(older), 'migrate')),
    { ...told, message: new RegExp(`missing: ${ALL.join(', ')}.*npm run db:migrate`) },
    'on a schema that is older than the server',
  );
});

test('a role without rights serves on a schema that is up to date', async (t) => {
  const as = await createRole(t);
  const url = await createDatabase(t);
  await query(url, 'grant select on all tables in schema public to public');
  t.strictSame(await migrate(openDb(t, as(url), 'migrate')), []);
});

test('audit_event is partitioned by seq, with two spare partitions', async (t) => {
  const url = await createDatabase(t);
  t.strictSame(await query(url, "select pg_get_partkeydef('audit_event'::regclass) as key"), [
    { key: 'RANGE (seq)' },
  ]);
  const partitions = await query<{ bounds: string }>(
    url,
    `select pg_get_expr(c.relpartbound, c.oid) as bounds from pg_inherits join pg_class c on c.oid = inhrelid
     where inhparent = 'audit_event'::regclass order by c.relname`,
  );
  t.strictSame(
    partitions.map(({ bounds }) => bounds),
    [
      "FOR VALUES FROM ('0') TO ('4000000')",
      "FOR VALUES FROM ('4000000') TO ('8000000')",
      "FOR VALUES FROM ('8000000') TO ('12000000')",
    ],
  );
});

test('event 0 names the epoch', async (t) => {
  const url = await createDatabase(t, { empty: true });
  await migrate(openDb(t, url, 'migrate'));
  const [log] = await query<{ epoch: string; key_bytes: number }>(
    url,
    'select epoch, length(cursor_key) as key_bytes from audit_log',
  );
  t.match(log?.epoch, /^[a-z0-9-]{36}$/);
  t.equal(log?.key_bytes, 32);
  const columns = 'seq, action, user_id, message, room, session_id, instance, erased_by, details';
  t.strictSame(await query(url, `select ${columns} from audit_event`), [
    {
      seq: '0',
      action: 'EPOCH_STARTED',
      user_id: null,
      message: null,
      room: null,
      session_id: null,
      instance: 'migration',
      erased_by: null,
      details: { epoch: log?.epoch },
    },
  ]);
  t.strictSame(await query(url, 'select * from audit_writer'), [], 'its writer is gone');
});

test('two databases have two epochs and two cursor keys', async (t) => {
  const urls = [await createDatabase(t, { empty: true }), await createDatabase(t, { empty: true })];
  await Promise.all(urls.map((url) => migrate(openDb(t, url, 'migrate'))));
  const [one, two] = await Promise.all(
    urls.map((url) =>
      query<{ epoch: string; key: string }>(
        url,
        "select epoch, encode(cursor_key, 'hex') as key from audit_log",
      ),
    ),
  );
  t.not(one?.[0]?.epoch, two?.[0]?.epoch);
  t.not(one?.[0]?.key, two?.[0]?.key);
});

test('db/migrate.ts works by hand', async (t) => {
  const url = await createDatabase(t, { empty: true });
  const run = (...args: string[]) =>
    promisify(execFile)(process.execPath, [join(import.meta.dirname, '../../db/migrate.ts'), ...args], {
      env: { ...plainEnvironment(), DATABASE_URL: url },
    }).then(
      ({ stdout, stderr }) => ({ code: 0, stdout, stderr }),
      (error: { code: number; stdout: string; stderr: string }) => error,
    );
  const names = ALL.join(', ');
  t.match(await run('up'), { code: 0, stdout: `Applied: ${names}.\n` });
  await query(url, "insert into kysely_migration (name, timestamp) values ('0999_from_the_future', 'now')");
  t.match(await run('status'), {
    code: 0,
    stdout: `applied: ${names}\npending: none\nof a newer server: 0999_from_the_future\n`,
  });
  const refused = await run('up');
  t.match(refused, { code: 1, stdout: '', stderr: /^The database’s schema is newer than this server/ });
  t.equal(refused.stderr.trim().split('\n').length, 1, 'a line, not a stack');
});
