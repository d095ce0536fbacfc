import { test } from 'tap';
import { OnDemandPool } from '../../bench/servers/on-demand-pool.ts';
import { connection, createDatabase } from '../support/postgres.ts';

const OPEN =
  'select count(*)::int as open from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()';

test('the pool opens what is asked for at once, up to its bound, and keeps two', async (t) => {
  const url = await createDatabase(t, { empty: true });
  const watcher = await connection(t, url);
  const open = async (): Promise<number> => (await watcher.query<{ open: number }>(OPEN)).rows[0]?.open ?? -1;
  const until = async (wanted: number): Promise<void> => {
    while ((await open()) !== wanted);
  };
  const pool = new OnDemandPool({ url, maxIdle: 2, maxOpen: 5 });
  t.teardown(() => pool.end());
  // All hold their connection until the lock is free.
  await watcher.query('select pg_advisory_lock(1)');
  const done: number[] = [];
  const held = Array.from({ length: 8 }, async (_, index) => {
    await pool.query('select pg_advisory_lock_shared(1), pg_advisory_unlock_shared(1)', []);
    done.push(index);
  });
  await until(5);
  t.same(done, []);
  await watcher.query('select pg_advisory_unlock(1)');
  await Promise.all(held);
  t.equal(done.length, 8, 'those who waited had their turn');
  await until(2);
  await pool.query('select 1', []);
  t.equal(await open(), 2, 'an idle connection is used again');
});

test('a connection that cannot be had fails its caller, and takes no place', async (t) => {
  const url = new URL(await createDatabase(t, { empty: true }));
  url.pathname = '/there_is_no_such_database';
  const pool = new OnDemandPool({ url: url.href, maxIdle: 2, maxOpen: 1 });
  for (let attempt = 0; attempt < 3; attempt += 1) {
    await t.rejects(pool.query('select 1', []), /does not exist/);
  }
});

test('a statement that fails fails its caller, and the connection is used again', async (t) => {
  const pool = new OnDemandPool({ url: await createDatabase(t, { empty: true }), maxIdle: 2, maxOpen: 1 });
  t.teardown(() => pool.end());
  await t.rejects(pool.query('select 1/0', []), /division by zero/);
  t.resolves(pool.query('select 1', []));
});
