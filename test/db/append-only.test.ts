import { test } from 'tap';
import { connection, createDatabase } from '../support/postgres.ts';

// What would change the past, by plain statements that a superuser may run anywhere else.
const changes = [
  ['UPDATE', 'audit_event', "update audit_event set message = 'never said'"],
  ['UPDATE', 'audit_event', 'update audit_event set seq = seq where false'],
  ['DELETE', 'audit_event', 'delete from audit_event'],
  ['DELETE', 'audit_event', 'delete from audit_event where seq = 0'],
  ['TRUNCATE', 'audit_event', 'truncate audit_event'],
  ['TRUNCATE', 'audit_event', 'truncate audit_event cascade'],
  [
    'UPDATE',
    'audit_event',
    `insert into audit_event select * from audit_event where seq = 0
     on conflict (seq) do update set message = 'never said'`,
  ],
  [
    'DELETE',
    'audit_event',
    'merge into audit_event e using (values (0)) as v (seq) on e.seq = v.seq when matched then delete',
  ],
  ['UPDATE', 'audit_event_0', "update audit_event_0 set message = 'never said' where seq = 0"],
  ['DELETE', 'audit_event_0', 'delete from audit_event_0'],
  ['TRUNCATE', 'audit_event_0', 'truncate audit_event_0'],
  ['DELETE', 'audit_event_4000000', 'delete from audit_event_4000000'],
  ['TRUNCATE', 'audit_event_8000000', 'truncate audit_event_8000000'],
  ['UPDATE', 'audit_batch', "update audit_batch set timestamp = '1999-12-31'"],
  ['DELETE', 'audit_batch', 'delete from audit_batch where first_seq = 0'],
  ['TRUNCATE', 'audit_batch', 'truncate audit_batch'],
  ['TRUNCATE', 'audit_event', 'truncate audit_event, audit_batch, audit_log'],
] as const;

test('no plain statement changes the log, not even a superuser’s, and the refusal says why', async (t) => {
  const url = await createDatabase(t);
  const superuser = await connection(t, url);
  t.match(await superuser.query("select current_setting('is_superuser') as yes"), { rows: [{ yes: 'on' }] });
  const everything = 'select e, b from audit_event e join audit_batch b on b.first_seq = e.seq';
  const before = await superuser.query(everything);
  for (const [operation, table, statement] of changes) {
    await t.rejects(
      superuser.query(statement),
      {
        code: '42501',
        message: `${operation} on ${table} is refused: the audit log is append-only, because it is evidence`,
        hint: 'To correct something, record a new event.',
      },
      statement,
    );
  }
  t.strictSame((await superuser.query(everything)).rows, before.rows, 'and nothing changed');
});

test('a partition made later refuses as those before it', async (t) => {
  const url = await createDatabase(t);
  const superuser = await connection(t, url);
  // The log has reached the second partition, so that one more is due.
  await superuser.query(`insert into audit_batch values (4000000, 1, now(), 'a test', 1)`);
  await superuser.query('select audit_make_partitions()');
  for (const statement of [
    'update audit_event_12000000 set seq = 1',
    'delete from audit_event_12000000',
    'truncate audit_event_12000000',
  ]) {
    await t.rejects(superuser.query(statement), { code: '42501', message: /is append-only/ }, statement);
  }
});
