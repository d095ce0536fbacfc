import { test } from 'tap';
import { Random } from '../../bench/seed/random.ts';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { takeExport } from '../support/export.ts';
import { thrownBy } from '../support/log.ts';
import { act } from '../support/moderation.ts';
import { query } from '../support/postgres.ts';
import { checkLog } from './log-checks.ts';
import { mutate } from './mutate.ts';
import { readOptions, UsageError } from './options.ts';
import { growth } from './run.ts';

test('the same seed makes the same traffic, and another seed another', async (t) => {
  const made = (seed: number): string[] => {
    const random = new Random(seed);
    return Array.from({ length: 200 }, () => mutate(random, 'GET /audit HTTP/1.1\r\n\r\n').toString('hex'));
  };
  t.strictSame(made(7), made(7));
  t.not(made(7).join(), made(8).join());
  t.ok(new Set(made(7)).size > 150, 'and not always the same');
});

test('options are read, and what is none is refused', async (t) => {
  t.match(readOptions(['--minutes', '1.5', '--seed', '7']), { minutes: 1.5, seed: 7, workers: 12 });
  t.match(readOptions([]), { minutes: 60 });
  t.equal(readOptions(['--help']), undefined);
  for (const args of [
    ['--minutes', 'x'],
    ['--minutes', '0.5'],
    ['--workers', '0'],
    ['--seed', '-1'],
    ['--url', 'http://x'],
    ['x'],
  ]) {
    t.type(
      thrownBy(() => readOptions(args)),
      UsageError,
      args.join(' '),
    );
  }
});

test('what a server holds at the end is judged by what it held when it was warm', async (t) => {
  const warm = { rssMib: 250, heapMib: 40, files: 40, sockets: 0, streams: 0 };
  t.strictSame(growth(warm, { ...warm, rssMib: 281, heapMib: 30 }), []);
  t.match(growth(warm, { ...warm, rssMib: 283 }), [/rssMib grew by 33.0/]);
  t.match(growth(warm, { ...warm, files: 60, sockets: 1, streams: 2 }), [
    /files grew by 20/,
    /1 WebSockets are open/,
    /2 streams are open/,
  ]);
});

test('a log in which somebody was heard after a kick, or while banned, has faults', async (t) => {
  const server = await build(t);
  const guest = await connect(t, server, 'mallory');
  const { session_id } = await guest.next('welcome');
  await guest.ask({ type: 'message', text: 'hello' });
  await act(server, 'PUT', '/bans/mallory', { reason: 'spam' });
  await guest.closed;
  await until('its end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  await act(server, 'DELETE', '/bans/mallory');
  await server.app.close();
  t.strictSame((await checkLog(server.databaseUrl, new Map())).faults, []);
  // As if the ban had been a kick before the message, and another ban before that.
  await query(
    server.databaseUrl,
    `begin;
     set local session_replication_role = replica;
     update audit_event set action = 'USER_KICKED', session_id = '${session_id}' where action = 'CONNECTED';
     update audit_event set action = 'USER_BANNED', target_user_id = 'mallory', details = '{"until":null}' where seq =
       (select min(seq) from audit_event where action = 'SERVER_STARTED');
     commit;`,
  );
  t.match((await checkLog(server.databaseUrl, new Map())).faults, [
    /1 sessions without/,
    /2 messages of sessions that were kicked/,
    /2 acts of users while they were banned/,
  ]);
});

test('the log of a good day has no faults; a message taken out of it, and ends that are missing, are seen', async (t) => {
  const server = await build(t);
  const guest = await connect(t, server, 'guest');
  const { seq } = await guest.ask({ type: 'message', text: 'hello' });
  await takeExport(server, 'room=lobby');
  const stream = await openStream(t, server);
  await stream.next('open');
  await guest.close();
  await until('its end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  await server.app.close();
  const acknowledged = new Map([[seq ?? -1, 'hello']]);
  t.strictSame((await checkLog(server.databaseUrl, acknowledged)).faults, []);
  await query(
    server.databaseUrl,
    `begin;
     set local session_replication_role = replica;
     delete from audit_event where seq = ${seq} or action = 'DISCONNECTED'
       or details->>'phase' = 'ended';
     commit;`,
  );
  const { faults } = await checkLog(server.databaseUrl, acknowledged);
  t.match(faults, [
    /4 numbers that are missing/,
    /-4 numbers/,
    /1 sessions without/,
    /1 streams without/,
    /1 exports without/,
    /“hello” was acknowledged/,
  ]);
});
