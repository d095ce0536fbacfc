import { test } from 'tap';
import { Random } from '../../bench/seed/random.ts';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { thrownBy } from '../support/log.ts';
import { query } from '../support/postgres.ts';
import { checkLog } from './log-checks.ts';
import { mutate } from './mutate.ts';
import { readOptions, UsageError } from './options.ts';

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
  t.match(readOptions(['--minutes', '0.5', '--seed', '7']), { minutes: 0.5, seed: 7, workers: 12 });
  t.match(readOptions([]), { minutes: 60 });
  t.equal(readOptions(['--help']), undefined);
  for (const args of [
    ['--minutes', 'x'],
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

test('the log of a good day has no faults; a message taken out of it, and an end that is missing, are seen', async (t) => {
  const server = await build(t);
  const guest = await connect(t, server, 'guest');
  const { seq } = await guest.ask({ type: 'message', text: 'hello' });
  await guest.close();
  await until('its end is on record', async () => (await server.events('action=DISCONNECTED')).length === 1);
  await server.app.close();
  const acknowledged = new Map([[seq ?? -1, 'hello']]);
  t.strictSame((await checkLog(server.databaseUrl, acknowledged)).faults, []);
  await query(
    server.databaseUrl,
    `begin;
     set local session_replication_role = replica;
     delete from audit_event where seq = ${seq} or action = 'DISCONNECTED';
     commit;`,
  );
  const { faults } = await checkLog(server.databaseUrl, acknowledged);
  t.match(faults, [
    /2 numbers that are missing/,
    /-2 numbers/,
    /1 sessions without/,
    /“hello” was acknowledged/,
  ]);
});
