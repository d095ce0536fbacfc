import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { build, problemIn, type TestApp, temporaryFolder } from '../support/app.ts';
import { type Client, connect, until } from '../support/client.ts';
import { createDatabase, putBack, query } from '../support/postgres.ts';

const epochOf = async (server: TestApp): Promise<string> =>
  ((await (await server.get('/health/ready')).json()) as { epoch: string }).epoch;

const startedEpochs = (server: TestApp) =>
  server.events('action=EPOCH_STARTED').then((events) => events.map(({ details }) => details));

const SEEN = 'log-seen.json';

test('how far the log was seen is kept in DATA_DIR, and a log that is put back behind that gets a new epoch', async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  const DATABASE_URL = await createDatabase(t);
  const before = await build(t, { DATABASE_URL, DATA_DIR });
  const alice = await connect(t, before, 'alice');
  const { epoch, seq } = await alice.next('welcome');
  for (const text of ['one', 'two']) await alice.ask({ type: 'message', text });
  const { next_cursor: cursor } = await before.page('limit=1');
  await before.app.close();
  const seen = JSON.parse(await readFile(join(DATA_DIR, SEEN), 'utf8'));
  const [head] = await query<{ next: string }>(DATABASE_URL, 'select max(seq) + 1 as next from audit_event');
  t.strictSame(seen, { next_seq_by_epoch: { [epoch]: Number(head?.next) } });

  const same = await build(t, { DATABASE_URL, DATA_DIR });
  t.equal(await epochOf(same), epoch, 'as long as nothing is missing, it is the same history');
  await same.app.close();

  await putBack(DATABASE_URL, seq + 1);
  const after = await build(t, { DATABASE_URL, DATA_DIR });
  const now = await epochOf(after);
  t.not(now, epoch);
  t.match(await startedEpochs(after), [{}, { epoch: now, previous_epoch: epoch, reason: 'rewound' }]);

  const stale = await after.get(`/audit?limit=1&cursor=${cursor}`);
  t.equal(stale.status, 400);
  t.match(await problemIn(stale), { code: 'invalid_cursor', detail: /another history/, parameter: 'cursor' });
  const bob = await connect(t, after, 'bob', { room: '' });
  t.match(await bob.next('welcome'), { epoch: now });
  bob.send({ type: 'join', room: 'lobby', since: { epoch, seq } });
  t.match(await bob.next('reset'), { room: 'lobby', epoch: now });
  await bob.next('joined');

  const third = await build(t, { DATABASE_URL, DATA_DIR });
  t.equal(await epochOf(third), now, 'another start begins no further epoch');
});

test('a log that was brought elsewhere gets a new epoch, also where nothing is remembered', async (t) => {
  const DATABASE_URL = await createDatabase(t);
  const before = await build(t, { DATABASE_URL });
  const epoch = await epochOf(before);
  await before.app.close();
  await query(DATABASE_URL, 'update audit_log set system_identifier = 1');
  const after = await build(t, { DATABASE_URL });
  const now = await epochOf(after);
  t.not(now, epoch);
  t.match(await startedEpochs(after), [{}, { epoch: now, previous_epoch: epoch, reason: 'moved' }]);
});

test('two instances that start on a log that was put back agree on one new epoch', async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  const DATABASE_URL = await createDatabase(t);
  const before = await build(t, { DATABASE_URL, DATA_DIR });
  const epoch = await epochOf(before);
  await before.app.close();
  await writeFile(join(DATA_DIR, SEEN), JSON.stringify({ next_seq_by_epoch: { [epoch]: 1_000 } }));
  const both = await Promise.all([
    build(t, { DATABASE_URL, DATA_DIR }),
    build(t, { DATABASE_URL, DATA_DIR }),
  ]);
  const epochs = await Promise.all(both.map(epochOf));
  t.equal(epochs[0], epochs[1]);
  t.equal((await startedEpochs(both[0] as TestApp)).length, 2);
});

test('a log that is put back while the server runs: open sessions are cut, and it goes on under a new epoch', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const { epoch, seq } = await alice.next('welcome');
  for (const text of ['one', 'two', 'three']) await alice.ask({ type: 'message', text });
  await putBack(server.databaseUrl, seq + 1);
  await alice.closed;
  await until('it has a new epoch', async () => {
    const answer = await server.get('/health/ready');
    return answer.status === 200 && ((await answer.json()) as { epoch: string }).epoch !== epoch;
  });
  const bob = await connect(t, server, 'bob');
  const welcome = await bob.next('welcome');
  t.not(welcome.epoch, epoch);
  await bob.ask({ type: 'message', text: 'after' });
  t.strictSame(
    bob.all('message').map(({ text }) => text),
    ['after'],
  );
  const said = await server.events('action=MESSAGE_SENT');
  t.strictSame(
    said.map(({ message }) => message),
    ['after'],
    'the log is what the database says',
  );
  const all = await server.events();
  t.strictSame(
    all.map((event) => event.seq),
    all.map((_, index) => index),
    'without a gap',
  );
});

test('a log that is put back and overtaken before the next renewal: nobody is told of numbers that were given before', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  const { epoch, seq } = await alice.next('welcome');
  for (const text of ['one', 'two', 'three']) await alice.ask({ type: 'message', text });
  const before = alice.frames.length;
  await putBack(server.databaseUrl, seq + 2);
  // Batch after batch, so that the log soon goes further than it ever did.
  const say = setInterval(() => alice.send({ type: 'message', text: 'again', ref: 'again' }), 5);
  await alice.closed;
  clearInterval(say);
  t.strictSame(
    alice.frames.slice(before).filter(({ type }) => type !== 'error'),
    [],
    'of the new events under old numbers',
  );
  await until('it has a new epoch', async () => {
    const answer = await server.get('/health/ready');
    return answer.status === 200 && ((await answer.json()) as { epoch: string }).epoch !== epoch;
  });
  const begun = (await server.events('action=EPOCH_STARTED')).at(-1)?.seq ?? 0;
  const again = await server.events('action=MESSAGE_SENT');
  t.ok(again.length > 0, 'what was recorded is on record');
  t.ok(
    again.every((event) => event.seq < begun),
    'in the old epoch, that is over',
  );
});

test('what was given under an old epoch is refused from the moment that another instance begins a new one', async (t) => {
  const server = await build(t);
  const alice = await connect(t, server, 'alice', { room: '' });
  const { epoch, seq } = await alice.next('welcome');
  const { next_cursor: cursor } = await server.page('limit=1');
  // As audit_check_history does; this instance hears of it with its next renewal.
  await query(server.databaseUrl, `update audit_log set epoch = 'begun-elsewhere'`);
  const stale = await server.get(`/audit?limit=1&cursor=${cursor}`);
  t.match(await problemIn(stale), { code: 'invalid_cursor', detail: /another history/ });
  const ask = (client: Client) => {
    client.send({ type: 'join', room: 'lobby', since: { epoch, seq } });
    return Promise.race([client.next('reset').catch(() => undefined), client.closed.then(() => undefined)]);
  };
  let answer = await ask(alice);
  // Should the renewal have come first, everybody is cut, and gets the same answer when they are back.
  while (answer === undefined) answer = await ask(await connect(t, server, 'alice', { room: '' }));
  t.match(answer, { room: 'lobby', epoch: 'begun-elsewhere' });
});

test('a DATA_DIR that cannot hold it stops nothing', async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  await mkdir(join(DATA_DIR, SEEN));
  const server = await build(t, { DATA_DIR });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'hello' });
  await server.app.close();
});

test('a file that is no JSON is said and replaced', async (t) => {
  const DATA_DIR = await temporaryFolder(t);
  await writeFile(join(DATA_DIR, SEEN), '{"next_seq');
  const server = await build(t, { DATA_DIR });
  const epoch = await epochOf(server);
  await server.app.close();
  t.ok(JSON.parse(await readFile(join(DATA_DIR, SEEN), 'utf8')).next_seq_by_epoch[epoch] > 0);
});
