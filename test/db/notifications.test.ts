import { type Test, test } from 'tap';
import { Notifications } from '../../db/notifications.ts';
import { until } from '../support/client.ts';
import { createDatabase, query } from '../support/postgres.ts';
import { proxy } from '../support/proxy.ts';

/** One instance's connection, what it heard, and what went wrong; resolves when it listens. */
async function listen(t: Test, url: string, name = 'minutebook test') {
  const hints: (number | undefined)[] = [];
  const errors: string[] = [];
  const notifications = new Notifications({
    url,
    applicationName: name,
    onHint: (nextSeq) => hints.push(nextSeq),
    onError: (error) => errors.push(error.message),
  });
  t.teardown(() => notifications.close());
  await until('it listens', () => hints.length > 0);
  return { notifications, hints, errors };
}

test('what one tells, the others hear, and it does not hear itself', async (t) => {
  const url = await createDatabase(t);
  const [one, other] = [await listen(t, url), await listen(t, url)];
  t.strictSame(one.hints, [undefined], 'at first something may have been missed');
  t.notOk(other.notifications.hearsOthers);
  one.notifications.tell(7);
  await until('the other has heard', () => other.hints.length === 2);
  t.strictSame(other.hints, [undefined, 7]);
  t.ok(other.notifications.hearsOthers);
  other.notifications.tell(8);
  await until('the one has heard', () => one.hints.length === 2);
  t.strictSame(one.hints, [undefined, 8]);
});

test('what is told while a telling is under way is told by the next one', async (t) => {
  const url = await createDatabase(t);
  const [one, other] = [await listen(t, url), await listen(t, url)];
  for (let seq = 1; seq <= 100; seq += 1) one.notifications.tell(seq);
  await until('the other has heard', () => other.hints.at(-1) === 100);
  t.strictSame(other.hints, [undefined, 1, 100]);
});

test('anybody may notify; what is not a number is a hint without one', async (t) => {
  const url = await createDatabase(t);
  const { hints } = await listen(t, url);
  await query(
    url,
    "select pg_notify('minutebook', 'nonsense'), pg_notify('minutebook', ''), pg_notify('other', '9')",
  );
  await until('it has heard', () => hints.length === 3);
  t.strictSame(hints, [undefined, undefined, undefined]);
});

test('a connection that is ended is made again; meanwhile something may have been missed', async (t) => {
  const url = await createDatabase(t);
  const [one, other] = [await listen(t, url, 'the one'), await listen(t, url)];
  await query(
    url,
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name = 'the one'",
  );
  await until('it listens again', () => one.hints.length === 2);
  t.strictSame(one.hints, [undefined, undefined]);
  t.equal(one.errors.length, 1);
  other.notifications.tell(3);
  await until('it hears again', () => one.hints.at(-1) === 3);
  one.notifications.tell(4);
  await until('it tells again', () => other.hints.at(-1) === 4);
});

test('while there is no connection that is said once, and telling is in vain without harm', async (t) => {
  const between = await proxy(t, await createDatabase(t));
  const { notifications, hints, errors } = await listen(t, between.url);
  between.setMode('refuse');
  notifications.tell(1);
  await until('it has tried again', () => errors.length > 0);
  notifications.tell(2);
  between.setMode('pass');
  await until('it listens again', () => hints.length === 2);
  t.equal(errors.length, 1);
});

test('closed while it connects, it is quiet', async (t) => {
  const between = await proxy(t, await createDatabase(t));
  between.setMode('swallow-all');
  const errors: Error[] = [];
  const notifications = new Notifications({
    url: between.url,
    applicationName: 'minutebook test',
    onHint: () => t.fail('there is nothing to hear'),
    onError: (error) => errors.push(error),
  });
  void notifications.close();
  between.cut();
  t.strictSame(errors, []);
});
