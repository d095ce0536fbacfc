import { type Test, test } from 'tap';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { build } from '../support/app.ts';
import { until } from '../support/client.ts';
import { joinLog, messages, openDb } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';

/** A database, what writes a log into it, and how far that is indexed. */
async function openLog(t: Test) {
  const databaseUrl = await createDatabase(t);
  const db = openDb(t, databaseUrl);
  /** As another instance would that is gone at once, so that it is never the eldest. */
  const write = async (count: number): Promise<void> => {
    const store = await joinLog(db);
    let number = 0;
    for (let left = count; left > 0; left -= 500) await store.append(++number, messages(Math.min(500, left)));
    await query(databaseUrl, 'delete from audit_writer where id = $1', [store.id]);
  };
  const indexed = async (): Promise<number> => {
    const [row] = await query<{ next_block: number }>(databaseUrl, 'select next_block from audit_index');
    return row?.next_block ?? 0;
  };
  return { databaseUrl, write, indexed };
}

test('the log is indexed after the commit by one instance, and by the other when that one is gone', async (t) => {
  const { databaseUrl, write, indexed } = await openLog(t);
  await write(BLOCK_SIZE + 50);
  const one = await build(t, { DATABASE_URL: databaseUrl });
  await until('what was there before is indexed', async () => (await indexed()) === 1, 30_000);
  const two = await build(t, { DATABASE_URL: databaseUrl });
  await write(BLOCK_SIZE);
  await until('what came is indexed', async () => (await indexed()) === 2, 30_000);
  await one.app.close();
  await write(BLOCK_SIZE);
  await until('the other goes on', async () => (await indexed()) === 3, 30_000);
  const page = await two.page('user_id=alice&action=MESSAGE_SENT&q=499&order=asc&limit=1000&total=exact');
  t.equal(page.data.length, 96, 'every whole batch of 500 says it once');
  t.equal(page.total?.value, 96);
  t.ok(page.data.every(({ message }) => message === '499'));
});

test('while the eldest instance cannot make the index, the other does', async (t) => {
  const { databaseUrl, write, indexed } = await openLog(t);
  const eldest = await build(t, { DATABASE_URL: databaseUrl });
  await build(t, { DATABASE_URL: databaseUrl });
  await eldest.app.database.index.destroy();
  await write(3 * BLOCK_SIZE + 50);
  await until('the other makes what waits', async () => (await indexed()) === 3, 60_000);
  t.equal(
    (await eldest.page('q=499&limit=1&total=exact')).total?.value,
    98,
    'which the eldest reads as well',
  );
});
