import { test } from 'tap';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build, problemIn } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { query } from '../support/postgres.ts';

const texts = (events: readonly AuditEvent[]) => events.map(({ message }) => message);

test('a stream begins with its place in the log, and shows what comes, each event once and as /audit shows it', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'before' });
  const head = server.app.tail.next - 1;
  const { epoch } = server.app.audit;
  const stream = await openStream(t, server, 'room=lobby');
  t.equal(stream.status, 200);
  t.match(stream.headers, {
    'content-type': 'text/event-stream; charset=utf-8',
    'cache-control': 'no-store, no-transform',
    'x-accel-buffering': 'no',
    'x-content-type-options': 'nosniff',
  });
  t.strictSame(await stream.next('open'), {
    id: `${epoch}:${head}`,
    data: { epoch, first_seq: 0, next_seq: head + 1 },
  });
  t.match(stream.text, 'retry: 2000\n');
  for (const text of ['one', 'two', 'three']) await alice.ask({ type: 'message', text });
  await until('all have come', () => stream.events.length === 3);
  t.strictSame(
    stream.events,
    await server.events('room=lobby&from=-1h&action=MESSAGE_SENT').then((all) => all.slice(1)),
  );
  t.equal(stream.lastId, `${epoch}:${stream.events.at(-1)?.seq}`);
});
