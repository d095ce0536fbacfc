import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { checkDatabase } from '../../db/self-check.ts';
import { openDb } from '../support/log-store.ts';
import { alterSystem, loosePostgres } from '../support/loose-postgres.ts';
import { query } from '../support/postgres.ts';

/** The check as a server makes it, over new connections, which is when settings of role and database take hold. */
async function check(t: Test, url: string): Promise<{ version: string }> {
  const db = openDb(t, url);
  try {
    return await checkDatabase(db);
  } finally {
    await db.destroy();
  }
}

test('a database that would lose what was acknowledged is refused, with the cure', async (t) => {
  const { url, clusterDir, restart } = await loosePostgres(t);
  t.match(await check(t, url), { version: /^\d+\.\d+/ }, 'as it comes, it passes');

  const cases: [
    what: string,
    spoil: () => Promise<unknown>,
    mend: () => Promise<unknown>,
    message: RegExp,
  ][] = [
    [
      'fsync=off',
      () => alterSystem(url, 'fsync', 'off'),
      () => alterSystem(url, 'fsync', 'on'),
      /fsync=off.*alter system set fsync = on/,
    ],
    [
      'full_page_writes=off',
      () => alterSystem(url, 'full_page_writes', 'off'),
      () => alterSystem(url, 'full_page_writes', 'on'),
      /full_page_writes=off.*alter system set full_page_writes = on/,
    ],
    [
      'synchronous_commit=off for the server',
      () => alterSystem(url, 'synchronous_commit', 'off'),
      () => alterSystem(url, 'synchronous_commit', 'on'),
      /synchronous_commit is off.*postgresql\.conf/,
    ],
    [
      'synchronous_commit=off for the role',
      () => query(url, 'alter role current_user set synchronous_commit = off'),
      () => query(url, 'alter role current_user reset synchronous_commit'),
      /synchronous_commit is off.*“alter role … reset synchronous_commit”/,
    ],
    [
      'synchronous_commit=off for the database',
      () => query(url, 'alter database postgres set synchronous_commit = off'),
      () => query(url, 'alter database postgres reset synchronous_commit'),
      /synchronous_commit is off.*“alter database … reset synchronous_commit”/,
    ],
    [
      'an UNLOGGED table',
      () => query(url, 'alter table chat_session set unlogged'),
      () => query(url, 'alter table chat_session set logged'),
      /UNLOGGED.*: chat_session\. Run “alter table chat_session set logged”/,
    ],
    [
      'an UNLOGGED partition',
      () => query(url, 'alter table audit_event_0 set unlogged'),
      () => query(url, 'alter table audit_event_0 set logged'),
      /UNLOGGED.*: audit_event_0\. Run “alter table audit_event_0 set logged”/,
    ],
    [
      'an UNLOGGED sequence',
      () => query(url, 'alter sequence audit_term set unlogged'),
      () => query(url, 'alter sequence audit_term set logged'),
      /UNLOGGED.*: audit_term\. Run “alter table audit_term set logged”/,
    ],
    [
      'the UNLOGGED rooms of sessions',
      () => query(url, 'alter table chat_session_room set unlogged'),
      () => query(url, 'alter table chat_session_room set logged'),
      /UNLOGGED.*: chat_session_room\. Run “alter table chat_session_room set logged”/,
    ],
    [
      'two UNLOGGED tables',
      () => query(url, 'alter table audit_writer set unlogged; alter table audit_batch set unlogged'),
      () => query(url, 'alter table audit_writer set logged; alter table audit_batch set logged'),
      /UNLOGGED.*: audit_batch, audit_writer\. Run “alter table audit_batch set logged” for each/,
    ],
  ];
  for (const [what, spoil, mend, message] of cases) {
    await spoil();
    await t.rejects(check(t, url), { name: 'SetupError', message }, what);
    await mend();
    await t.resolves(check(t, url), `${what}: mended, it passes`);
  }

  for (const value of ['local', 'remote_write', 'on', 'remote_apply']) {
    await query(url, `alter role current_user set synchronous_commit = ${value}`);
    await t.resolves(check(t, url), `synchronous_commit=${value} is the operator’s choice`);
  }
  await query(
    url,
    'create unlogged table cache (x text); create schema other; create unlogged table other.audit_event (x text)',
  );
  await t.resolves(check(t, url), 'an UNLOGGED table of somebody else is none of our business');

  await writeFile(join(clusterDir, 'standby.signal'), '');
  await restart();
  await t.rejects(
    check(t, url),
    { name: 'SetupError', message: /read-only standby; point DATABASE_URL at the primary/ },
    'a standby',
  );
});
