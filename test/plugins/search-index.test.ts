import { test } from 'tap';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { build } from '../support/app.ts';
import { until } from '../support/client.ts';
import { joinLog, messages, openDb } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';

test('the log is indexed after the commit by one instance, and by the other when that one is gone', async (t) => {
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
