import { createHash, randomBytes } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { makePartitions } from '../../db/append.ts';
import { findBan, readBans } from '../../db/bans.ts';
import { getEvent, listEvents, readCursorKey, readLogState } from '../../db/events.ts';
import { migrate } from '../../db/migrate.ts';
import { migrations } from '../../db/migrations/index.ts';
import { fillBlock, indexNext, readNextBlock, writeBlock } from '../../db/search-index.ts';
import { checkDatabase } from '../../db/self-check.ts';
import { issueTicket, takeTicket } from '../../db/tickets.ts';
import { BlockBuilder, finish } from '../../src/core/search/block.ts';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { fields } from '../../src/core/search/terms.ts';
import { build } from '../support/app.ts';
import { connect } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { takeExport } from '../support/export.ts';
import { joinLog, messages, openDb, pendingEvent } from '../support/log-store.ts';
import { connection, createDatabase, query, serverUrl } from '../support/postgres.ts';

const PASSWORD = 'a password for tests';

/** An empty database with the two roles of db/roles.sql, under names of their own: roles belong to the whole server. */
async function createRoles(t: Test) {
  const suffix = randomBytes(6).toString('hex');
  const [owner, app] = [`owner_${suffix}`, `app_${suffix}`];
  t.teardown(async () => {
    if (t.passing()) await query(serverUrl(), `drop role if exists ${owner}, ${app}`);
  });
  const url = await createDatabase(t, { empty: true });
  const script = await readFile(join(import.meta.dirname, '../../db/roles.sql'), 'utf8');
  await query(
    url,
    script
      .replaceAll('minutebook_owner', owner)
      .replaceAll('minutebook_app', app)
      .replaceAll(/:'(owner|app)_password'/g, `'${PASSWORD}'`),
  );
  const as = (role: string): string => {
    const it = new URL(url);
    it.username = role;
    it.password = encodeURIComponent(PASSWORD);
    return it.href;
  };
  return { url, owner, app, ownerUrl: as(owner), appUrl: as(app) };
}

test('the owner migrates, and the app’s role serves: it appends, reads and makes partitions', async (t) => {
  const { ownerUrl, appUrl } = await createRoles(t);
  t.strictSame(await migrate(openDb(t, ownerUrl, 'migrate')), Object.keys(migrations));

  t.strictSame(await migrate(openDb(t, appUrl, 'migrate')), [], 'what a server does at its start');
  const write = openDb(t, appUrl, 'write');
  await t.resolves(checkDatabase(write));
  t.equal(await makePartitions(write), 2);

  const store = await joinLog(write);
  const session = { user_id: 'alice', session_id: '6f2c1d8e-4b7a-4c59-9d3e-0a1b2c3d4e5f' };
  const ended = { code: 1000, reason: '', duration_ms: 1, rooms: [], room_count: 0 };
  const connected = pendingEvent({ action: 'CONNECTED', ...session, details: { user_agent: null } });
  t.match(await store.append(1, [connected, ...messages(3)]), { first_seq: 1 });
  t.match(await store.renew(), { held: true, others: 0, lapseMs: null });
  t.match(await store.checkHistory(new Map()), { reason: null, nextSeq: 5 });
  t.equal(await store.reap(500), 0);
  t.match(await store.resolve(1), { first_seq: 1 });

  const read = openDb(t, appUrl, 'read');
  t.match(await readLogState(read), { firstSeq: 0, nextSeq: 5 });
  t.match(await readCursorKey(read), Buffer);
  t.match(await getEvent(read, 1), { action: 'CONNECTED', user_id: 'alice' });
  t.equal((await listEvents(read, {}, { from: 0, to: 5 }, 'asc', 10)).events.length, 5);
  t.match(await read.selectFrom('chat_session').select('user_id').execute(), [{ user_id: 'alice' }]);
  await store.append(2, [
    pendingEvent({
      action: 'USER_BANNED',
      target_user_id: 'mallory',
      details: { reason: 'spam', until: null },
    }),
    pendingEvent({ action: 'DISCONNECTED', ...session, details: ended }),
  ]);
  t.match(await findBan(read, 'mallory'), { reason: 'spam' });
  t.match(await readBans(openDb(t, appUrl, 'tail')), { nextSeq: 7 });
  await store.leave();
  t.strictSame(await query(appUrl, 'select * from audit_writer'), []);
});

test('the app’s role indexes a block that is whole, and searches it', async (t) => {
  const { url, ownerUrl, appUrl } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  await query(
    url,
    `insert into audit_event (seq, timestamp, occurred_at, action, user_id, message, instance)
       select n, now(), now(), 'MESSAGE_SENT', case n when 777 then 'mallory' else 'alice' end,
         case n when 777 then 'a needle' else 'hay' end, 'a test'
       from generate_series(1, ${BLOCK_SIZE - 1}) n;
     insert into audit_batch values (1, ${BLOCK_SIZE - 1}, now(), 'a test', 1)`,
  );
  const index = openDb(t, appUrl, 'index');
  t.equal(await indexNext(index), true);
  t.equal(await readNextBlock(index), 1);
  t.equal(await indexNext(index), false, 'the next block is not whole');
  const read = openDb(t, appUrl, 'read');
  const whole = { from: 0, to: BLOCK_SIZE };
  for (const filter of [{ user_id: ['mallory'] }, { q: 'needle' }]) {
    t.match(await listEvents(read, filter, whole, 'asc', 10), { events: [{ seq: 777 }], hasMore: false });
  }
});

test('the app’s role cannot write an index that counts fewer events than a block has, in any field', async (t) => {
  const { url, ownerUrl, appUrl } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  await query(
    url,
    `insert into audit_event
         (seq, timestamp, occurred_at, action, user_id, room, target_user_id, session_id, ip, instance)
       select n, now(), now(), 'MESSAGE_SENT', 'alice', 'lobby', case when n % 2 = 0 then 'bob' end,
         case when n = 5 then gen_random_uuid() end, case when n > 9 then '192.0.2.1' end, 'a test'
       from generate_series(1, ${BLOCK_SIZE - 1}) n;
     insert into audit_batch values (1, ${BLOCK_SIZE - 1}, now(), 'a test', 1)`,
  );
  const index = openDb(t, appUrl, 'index');
  const builder = new BlockBuilder(0);
  await fillBlock(index, builder, builder.to);
  const whole = finish(builder);
  for (const { number, column } of fields) {
    // One event less of one value of one field, and nothing else.
    const counts = whole.counts.with(
      whole.fields.indexOf(number),
      (whole.counts[whole.fields.indexOf(number)] ?? 0) - 1,
    );
    const message = new RegExp(`the index of block 0 misses events: 1 of \\d+ by ${column}$`);
    await t.rejects(writeBlock(index, { ...whole, counts }), { code: '23514', message }, column);
  }
  const empty = { fields: [], values: [], counts: [], actions: [], rooms: [], lists: Buffer.alloc(0) };
  await t.rejects(writeBlock(index, { ...whole, ...empty }), { code: '23514' });
  t.equal(await readNextBlock(index), 0, 'nothing of them was written');
  t.equal(await writeBlock(index, whole), true);
});

test('partitions that the owner’s function makes for the app are readable by it, and closed to it', async (t) => {
  const { ownerUrl, appUrl } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  // The log has reached the second partition, so that one more is due.
  await query(ownerUrl, `insert into audit_batch values (4000000, 1, now(), 'a test', 1)`);
  t.match(await query(appUrl, 'select audit_make_partitions() as spare'), [{ spare: '2' }]);
  t.strictSame(await query(appUrl, 'select * from audit_event_12000000'), []);
  t.match(
    await query(
      appUrl,
      "select tableowner = (select tableowner from pg_tables where tablename = 'audit_event') as same from pg_tables where tablename = 'audit_event_12000000'",
    ),
    [{ same: true }],
  );
  await t.rejects(query(appUrl, 'delete from audit_event_12000000'), { code: '42501' });
  await t.rejects(query(appUrl, 'drop table audit_event_12000000'), { code: '42501' });
});

const TABLES = [
  'audit_log',
  'audit_writer',
  'audit_batch',
  'audit_event',
  'audit_event_0',
  'chat_session',
  'chat_ban',
  'chat_kick',
  'chat_session_room',
  'audit_index',
  'audit_posting',
  'audit_gram',
];
const MIGRATOR_TABLES = ['kysely_migration', 'kysely_migration_lock'];

const forbidden = [
  ...[...TABLES, ...MIGRATOR_TABLES].flatMap((table) => [
    `insert into ${table} select * from ${table}`,
    `delete from ${table}`,
    `truncate ${table}`,
    `select * from ${table} for share`,
    `do 'begin lock table ${table} in row exclusive mode; end'`,
    `drop table ${table} cascade`,
    `alter table ${table} add column stranger text`,
    `alter table ${table} disable trigger all`,
    `alter table ${table} set unlogged`,
    `create trigger stranger before insert on ${table} execute function audit_refuse_change()`,
    `create rule stranger as on insert to ${table} do instead nothing`,
    `create index on ${table} ((1))`,
    `copy ${table} from stdin`,
  ]),
  'update audit_log set first_seq = 1',
  'update audit_writer set lease_until = now()',
  "update audit_batch set timestamp = '1999-12-31'",
  "update audit_event set message = 'never said'",
  "update audit_event_0 set message = 'never said'",
  "update chat_session set user_id = 'mallory'",
  'update chat_ban set until = now()',
  'update chat_kick set kicked_seq = 0',
  'update audit_index set next_block = 9',
  'update audit_posting set count = 0',
  'update audit_gram set part = 0',
  // What audit_append leaves to it needs the rights of its caller: no live state without an event.
  `select chat_apply('x', 1, now(), '{USER_BANNED}', '{admin}', '{null}', '{null}', '{mallory}', '{null}',
    '{"{\\"reason\\": \\"\\"}"}')`,
  "update kysely_migration set name = 'never applied'",
  "insert into audit_event (seq, timestamp, occurred_at, action, instance) values (9, now(), now(), 'LEFT', 'x')",
  "select nextval('audit_term')",
  "select setval('audit_term', 1)",
  'alter table audit_event detach partition audit_event_0',
  'drop trigger audit_append_only on audit_event',
  'drop function audit_refuse_change() cascade',
  "create or replace function audit_refuse_change() returns trigger language plpgsql as 'begin return new; end'",
  'alter function audit_make_partitions() security invoker',
  'alter function audit_join(text) set search_path = stranger',
  'create table public.stranger (x text)',
  'create table stranger (x text)',
  'create view public.stranger as select 1',
  'create schema stranger',
  "create function public.stranger() returns int language sql as 'select 1'",
  'drop schema public cascade',
  'create temporary table audit_event (x text)',
  "create function pg_temp.audit_append() returns int language sql as 'select 1'",
  "create function pg_catalog.stranger() returns int language sql as 'select 1'",
  'create extension dblink',
  'create role stranger',
  'set session_replication_role = replica',
  'set session authorization $owner',
  'set role $owner',
  'grant $owner to $app',
  'alter role $app superuser',
  'alter database $database set synchronous_commit = off',
  'alter system set fsync = off',
  "copy audit_event to program 'true'",
  "copy (select 1) to '/tmp/never'",
  "select pg_read_file('/etc/passwd')",
  "select lo_import('/etc/passwd')",
  "select pg_ls_dir('.')",
  "select pg_stat_file('postgresql.conf')",
  'select * from pg_authid',
  'select * from pg_shadow',
  'select * from pg_hba_file_rules',
  'select * from pg_file_settings',
  'select * from pg_statistic',
  'select pg_switch_wal()',
  'select pg_promote()',
  'select pg_reload_conf()',
  "select pg_create_restore_point('stranger')",
  "select pg_replication_origin_create('stranger')",
  "select * from pg_create_logical_replication_slot('stranger', 'pgoutput')",
  'alter role $owner nologin',
  "set session log_statement = 'none'",
  'create publication stranger for all tables',
  'create event trigger stranger on ddl_command_end execute function audit_refuse_change()',
  "comment on table audit_event is 'mine'",
  'alter table audit_event owner to $app',
  'alter table audit_event replica identity nothing',
  'alter table audit_event enable row level security',
  'create policy stranger on audit_event using (false)',
  'cluster audit_event',
  'refresh materialized view audit_event',
  'alter default privileges for role $owner in schema public grant all on tables to $app',
  'reassign owned by $owner to $app',
  'drop owned by $owner',
] as const;

test('the app’s role can do nothing else', async (t) => {
  const { url, ownerUrl, appUrl, owner, app } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  const asApp = await connection(t, appUrl);
  await query(
    ownerUrl,
    `insert into audit_batch values (1, 1, now(), 'a test', 1);
     insert into audit_event (seq, timestamp, occurred_at, action, user_id, message, instance)
       values (1, now(), now(), 'MESSAGE_SENT', 'alice', 'said', 'a test')`,
  );
  const fingerprint = `select (select string_agg(e::text, ';' order by seq) from audit_event e) as events,
    (select string_agg(b::text, ';') from audit_batch b) as batches, (select l::text from audit_log l) as log,
    (select string_agg(c.relname || coalesce(c.relacl::text, '') || c.relpersistence::text, ';' order by c.relname) from pg_class c
      where c.relnamespace = 'public'::regnamespace) as tables,
    (select string_agg(p::text, ';' order by p.oid) from pg_proc p where pronamespace = 'public'::regnamespace) as functions,
    (select string_agg(t::text, ';' order by t.oid) from pg_trigger t) as triggers`;
  const before = await query(url, fingerprint);
  for (const pattern of forbidden) {
    const statement = pattern
      .replaceAll('$owner', owner)
      .replaceAll('$app', app)
      .replaceAll('$database', new URL(url).pathname.slice(1));
    await t.rejects(asApp.query(statement), { code: '42501' }, pattern);
  }
  for (const table of [...TABLES, ...MIGRATOR_TABLES]) {
    // Postgres only warns of this one, and does nothing.
    await asApp.query(`grant insert, update, delete on ${table} to ${app}`);
  }
  t.strictSame(await query(url, fingerprint), before, 'and nothing changed');
});

test('the app’s role issues and takes tickets, and sees none', async (t) => {
  const { url, app, ownerUrl, appUrl } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  const db = openDb(t, appUrl, 'handshake');
  const hash = createHash('sha256').update('a ticket').digest();
  t.match(await issueTicket(db, hash, 'alice'), /^\d{4}-.*Z$/);
  for (const statement of [
    'select * from chat_ticket',
    'select count(*) from chat_ticket',
    'select hash from chat_ticket',
    "insert into chat_ticket values (sha256('x'), 'mallory', now() + interval '1 day')",
    "update chat_ticket set principal = 'mallory'",
    'delete from chat_ticket',
    'truncate chat_ticket',
    'alter table chat_ticket set logged',
    'drop table chat_ticket',
    'copy chat_ticket to stdout',
    'grant select on chat_ticket to public',
    'drop function ticket_take(bytea)',
  ]) {
    await t.rejects(query(appUrl, statement), { code: '42501' }, statement);
  }
  // Temporary tables are searched first unless a function says otherwise. The right to make them is one that
  // roles.sql takes away, but that a restored database gives again.
  await query(url, `grant temporary on database ${new URL(url).pathname.slice(1)} to ${app}`);
  const asApp = await connection(t, appUrl);
  await asApp.query(
    'create temporary table chat_ticket (hash bytea, principal text, expires_at timestamptz)',
  );
  await asApp.query('set search_path = pg_temp, public');
  await asApp.query("insert into chat_ticket values ($1, 'mallory', now() + interval '1 day')", [hash]);
  t.match(await asApp.query('select public.ticket_take($1) as principal', [hash]), {
    rows: [{ principal: 'alice' }],
  });
  t.equal(await takeTicket(db, hash), null);
});

test('by what the database says of itself, the app’s role may read tables, execute pinned functions, and no more', async (t) => {
  const { url, ownerUrl, appUrl, app } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  // Whatever is there, so that a table or function to come is looked at as well.
  const rights = 'INSERT UPDATE DELETE TRUNCATE REFERENCES TRIGGER'.split(' ');
  const tables = await query<{ name: string; has: string[]; reads: boolean }>(
    url,
    `select c.relname as name, has_table_privilege($1, c.oid, 'SELECT') as reads,
       array(select r from unnest($2::text[]) r where has_table_privilege($1, c.oid, r)
         or (r in ('INSERT', 'UPDATE', 'REFERENCES') and has_any_column_privilege($1, c.oid, r))) as has
     from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind in ('r', 'p', 'v', 'm')`,
    [app, rights],
  );
  t.ok(tables.length >= 12);
  // Tickets are issued and taken, and nobody need see them.
  for (const { name, has, reads } of tables) {
    t.strictSame({ has, reads }, { has: [], reads: name !== 'chat_ticket' }, name);
  }
  t.strictSame(
    await query(
      url,
      `select c.relname from pg_class c where c.relnamespace = 'public'::regnamespace and c.relkind = 'S'
         and (has_sequence_privilege($1, c.oid, 'USAGE') or has_sequence_privilege($1, c.oid, 'UPDATE'))`,
      [app],
    ),
    [],
    'no sequence',
  );
  const functions = await query<{ name: string; type: string; definer: boolean; settings: string[] | null }>(
    url,
    `select p.proname as name, p.prorettype::regtype::text as type, p.prosecdef as definer, p.proconfig as settings
     from pg_proc p where p.pronamespace = 'public'::regnamespace and has_function_privilege($1, p.oid, 'EXECUTE')`,
    [app],
  );
  t.ok(functions.length > 5);
  for (const { name, type, definer, settings } of functions) {
    // What a trigger runs cannot be called.
    if (type === 'trigger') continue;
    // Called by an append, with its rights; by anybody else with their own, which are not enough (see above).
    if (name === 'chat_apply') continue;
    t.ok(definer, `${name} runs with the owner’s rights`);
    t.ok(settings?.includes('search_path=pg_catalog, public, pg_temp'), `${name} finds what the owner means`);
  }
  t.match(
    await query(
      appUrl,
      `select rolsuper, rolcreaterole, rolcreatedb, rolreplication, rolbypassrls,
         has_schema_privilege('public', 'CREATE') as creates,
         has_database_privilege(current_database(), 'CREATE, TEMPORARY') as makes_schemas,
         (select count(*)::int from pg_auth_members m where m.member = r.oid) as memberships
       from pg_roles r where rolname = current_user`,
    ),
    [
      {
        rolsuper: false,
        rolcreaterole: false,
        rolcreatedb: false,
        rolreplication: false,
        rolbypassrls: false,
        creates: false,
        makes_schemas: false,
        memberships: 0,
      },
    ],
  );
});

test('the whole server runs with the rights of the app’s role', async (t) => {
  const { ownerUrl, appUrl } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  const server = await build(t, { DATABASE_URL: appUrl });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'hello' });
  await alice.ask({ type: 'join', room: 'trading' });
  t.match(await server.events('action=MESSAGE_SENT'), [{ message: 'hello' }]);
  t.equal((await server.get('/audit/1')).status, 200);
  t.equal((await server.get('/sessions')).status, 200);
  t.equal((await server.get('/audit?q=hello')).status, 200);
  t.equal((await server.get('/audit/stats?group_by=user_id')).status, 200);
  t.match((await takeExport(server, 'user_id=alice')).verdict, { ok: true });
  t.match(await (await openStream(t, server, 'action=MESSAGE_SENT&from=-1h')).next('audit'), {
    data: { message: 'hello' },
  });
  const authorization = `Bearer ${await server.token('bob', 'chat')}`;
  const ticket = await fetch(`${server.url}/ws/ticket`, { method: 'POST', headers: { authorization } });
  t.equal(ticket.status, 201);
  t.equal((await server.get('/health/ready')).status, 200);
  await alice.close();
  await server.app.close();
  t.match(await query(ownerUrl, 'select action from audit_event order by seq desc limit 1'), [
    { action: 'SERVER_STOPPED' },
  ]);
});

test('a stranger’s role can neither read nor execute', async (t) => {
  const { ownerUrl, url } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  const name = `stranger_${randomBytes(6).toString('hex')}`;
  await query(url, `create role ${name} login password '${PASSWORD}'`);
  t.teardown(() => query(serverUrl(), `drop role if exists ${name}`));
  const as = new URL(url);
  as.username = name;
  as.password = encodeURIComponent(PASSWORD);
  const stranger = await connection(t, as.href);
  for (const statement of [
    ...TABLES.map((table) => `select * from ${table}`),
    "select audit_join('stranger')",
    "select audit_renew('stranger', 1)",
    "select audit_leave('stranger', 1)",
    'select audit_make_partitions()',
    'select * from chat_ticket',
    "select ticket_issue(sha256('x'), 'stranger')",
    "select ticket_take(sha256('x'))",
    "select chat_apply('x', 1, now(), '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
    "select audit_index_block(0, '{}', '{}', '{}', '{}', '{}', '', '')",
    "select audit_append('stranger', 1, 1, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}')",
  ]) {
    await t.rejects(stranger.query(statement), { code: '42501' }, statement);
  }
});

test('the owner’s functions cannot be led astray by objects of the caller', async (t) => {
  const { url, app, ownerUrl, appUrl } = await createRoles(t);
  await migrate(openDb(t, ownerUrl, 'migrate'));
  // A right that roles.sql takes away, but that a restored database gives again.
  await query(url, `grant temporary on database ${new URL(url).pathname.slice(1)} to ${app}`);
  const asApp = await connection(t, appUrl);
  // Temporary tables are searched first unless a function says otherwise.
  for (const table of [
    'audit_log',
    'audit_writer',
    'audit_batch',
    'audit_event',
    'chat_session',
    'chat_ban',
    'chat_kick',
    'audit_index',
    'audit_posting',
    'audit_gram',
  ]) {
    await asApp.query(`create temporary table ${table} (like public.${table})`);
  }
  await asApp.query('set search_path = pg_temp, public');
  // By these tables the first block would be whole, and its turn.
  await asApp.query("insert into audit_batch values (0, 16384, now(), 'astray', 1)");
  await asApp.query('insert into audit_index select * from public.audit_index');
  await t.rejects(asApp.query("select public.audit_index_block(0, '{}', '{}', '{}', '{}', '{}', '', '')"), {
    code: '55000',
  });
  const term = await asApp.query("select public.audit_join('astray') as term");
  await asApp.query(
    `select public.audit_append('astray', $1, 1, array[now()], '{LEFT}', '{alice}', '{null}', '{lobby}', '{null}',
      '{null}', '{null}', '{null}')`,
    [term.rows[0].term],
  );
  t.match(
    await asApp.query(
      'select (select count(*) from audit_event) as mine, (select count(*) from public.audit_event) as real',
    ),
    {
      rows: [{ mine: '0', real: '2' }],
    },
  );
});
