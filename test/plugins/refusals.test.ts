import { test } from 'tap';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { proxy } from '../support/proxy.ts';

test('a flood of refusals is one event at once, and one with the count when the server ends', async (t) => {
  const server = await build(t);
  const { databaseUrl } = server;
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  for (let n = 0; n < 500; n += 1) alice.send('{');
  await until('all are answered', () => alice.all('error').length === 500);
  t.match(await server.events('action=MESSAGE_REFUSED'), [{ user_id: 'alice', details: { count: 1 } }]);
  await server.app.close();
  const after = await build(t, { DATABASE_URL: databaseUrl });
  t.strictSame(
    (await after.events('action=MESSAGE_REFUSED')).map(({ details }) => details.count),
    [1, 499],
  );
});

test('refusals while the log is down are counted, and on record when it is back', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  between.setMode('refuse');
  await until('the log is down', async () => (await server.get('/health/ready')).status === 503);
  alice.send({ type: 'message', text: 'lost', ref: 'lost' });
  alice.send('{');
  await until('both are answered', () => alice.all('error').length === 2);
  t.strictSame(
    alice
      .all('error')
      .map(({ code }) => code)
      .toSorted(),
    ['audit_unavailable', 'bad_frame'],
    'the refusal needed no database',
  );
  between.setMode('pass');
  await until('the log is back', async () => (await server.get('/health/ready')).status === 200);
  await server.app.close();
  const after = await build(t, { DATABASE_URL: databaseUrl });
  t.strictSame((await after.events('action=MESSAGE_REFUSED')).map(({ details }) => details.code).toSorted(), [
    'audit_unavailable',
    'bad_frame',
  ]);
});
