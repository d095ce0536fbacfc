import { test } from 'tap';
import { build } from './support/app.ts';
import { connect } from './support/client.ts';
import { query } from './support/postgres.ts';

const OURS = [
  'addresses',
  'tls',
  'headers',
  'errors',
  'unread',
  'validation',
  'openapi',
  'database',
  'disk',
  'durability',
  'auth',
  'audit',
  'tail',
  'moderation',
  'websocket',
  'refusals',
  'limits',
  'turns',
  'pace',
  'chat',
  'search-index',
  'streams',
  'audit-routes',
  'audit-stream-routes',
  'export-routes',
  'session-routes',
  'ticket-routes',
  'moderation-routes',
  'page-routes',
  'health-routes',
  'metrics',
  'metrics-routes',
];

test('the plugins are registered in this order', async (t) => {
  const { app } = await build(t);
  const topLevel = app.printPlugins().matchAll(/^[├└]─[─┬] (\S+)/gm);
  t.strictSame(
    [...topLevel].map(([, name]) => name).filter((name) => name !== 'bound'),
    OURS,
  );
});

test('closing ends the sessions, then the refusals, then the log, then the database', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  // Two refusals of one kind: the second is folded, and only recorded when its window or the server ends.
  alice.send('{');
  alice.send('{');
  await alice.next('error');
  await alice.next('error');
  await server.app.close();
  t.strictSame(await alice.closed, { code: 1001, reason: 'the server is shutting down' });
  const rows = await query<{ action: string }>(
    server.databaseUrl,
    'select action from audit_event order by seq desc limit 3',
  );
  t.strictSame(
    rows.map(({ action }) => action),
    ['SERVER_STOPPED', 'MESSAGE_REFUSED', 'DISCONNECTED'],
  );
  await t.rejects(server.app.database.write.selectFrom('audit_log').select('epoch').execute());
  t.strictSame(await query(server.databaseUrl, 'select * from audit_writer'), [], 'the lease was given back');
  t.strictSame(await query(server.databaseUrl, 'select * from chat_session'), []);
});

test('two apps in one process do not know of each other', async (t) => {
  const [one, two] = await Promise.all([build(t), build(t)]);
  const alice = await connect(t, one, 'alice');
  const bob = await connect(t, two, 'bob');
  await alice.next('welcome');
  await bob.next('welcome');
  await alice.ask({ type: 'message', text: 'only here' });
  await bob.ask({ type: 'message', text: 'only there' });
  const said = (texts: { text: string }[]) => texts.map(({ text }) => text);
  t.strictSame(said(alice.all('message')), ['only here']);
  t.strictSame(said(bob.all('message')), ['only there']);
  const logged = (events: { message: string | null }[]) => events.map(({ message }) => message);
  t.strictSame(logged(await one.events('action=MESSAGE_SENT')), ['only here']);
  t.strictSame(logged(await two.events('action=MESSAGE_SENT')), ['only there']);
});
