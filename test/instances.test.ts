import { type Test, t as tap } from 'tap';
import { SECRET } from './support/app.ts';
import { type Client, connect, until } from './support/client.ts';
import { createDatabase, query } from './support/postgres.ts';
import { type RunningServer, startServer } from './support/server.ts';
import { tokenFor } from './support/token.ts';

// They wait for leases to lapse most of the time.
tap.jobs = 4;
const test = (name: string, run: (t: Test) => Promise<void>) => tap.test(name, { buffered: true }, run);

/** So many server processes on one database. */
async function start(t: Test, count: number): Promise<{ databaseUrl: string; servers: RunningServer[] }> {
  const databaseUrl = await createDatabase(t);
  const env = {
    DATABASE_URL: databaseUrl,
    JWT_SECRET: SECRET,
    LIMIT_FRAMES_PER_SECOND: '0',
    LOG_LEVEL: 'error',
  };
  const servers = await Promise.all(Array.from({ length: count }, () => startServer(t, { env })));
  return { databaseUrl, servers };
}

const enter = (t: Test, server: RunningServer | undefined, user: string, room: string): Promise<Client> =>
  connect(t, { url: server?.url ?? '', token: tokenFor }, user, { room });

const get = async (server: RunningServer | undefined, path: string): Promise<Record<string, unknown>> => {
  const authorization = `Bearer ${await tokenFor('auditor', 'audit:read')}`;
  const response = await fetch(`${server?.url}${path}`, { headers: { authorization } });
  if (response.status !== 200) throw new Error(`${path}: ${response.status} ${await response.text()}`);
  return (await response.json()) as Record<string, unknown>;
};

const said = (client: Client) => client.all('message').map(({ seq, text }) => ({ seq, text }));

type Row = {
  seq: string;
  action: string;
  instance: string;
  session_id: string;
  reason: string | null;
  lost: string | null;
};
const rowsOf = (url: string, ...actions: string[]): Promise<Row[]> =>
  query<Row>(
    url,
    `select seq, action, instance, session_id, details->>'reason' as reason, details->>'instance' as lost
     from audit_event where action = any($1) order by seq`,
    [actions],
  );

test('users of one room on different instances see the same messages in the same order, each once', async (t) => {
  const { databaseUrl, servers } = await start(t, 3);
  const clients = await Promise.all(servers.map((server, n) => enter(t, server, `user-${n}`, 'a')));
  for (const client of clients) await client.next('welcome');
  const COUNT = 200;
  await Promise.all(
    clients.map(async (client, n) => {
      for (let i = 0; i < COUNT; i += 1) await client.ask({ type: 'message', text: `${n}:${i}` });
    }),
  );
  const rows = await query<{ seq: string; text: string }>(
    databaseUrl,
    `select seq, message as text from audit_event where action = 'MESSAGE_SENT' order by seq`,
  );
  const expected = rows.map(({ seq, text }) => ({ seq: Number(seq), text }));
  t.equal(expected.length, clients.length * COUNT);
  for (const client of clients) {
    await until('everything has come', () => client.all('message').length >= expected.length);
    t.strictSame(said(client), expected);
  }
});

test('who reconnects to another instance gets what it missed, and nothing twice', async (t) => {
  const { servers } = await start(t, 2);
  const alice = await enter(t, servers[0], 'alice', 'a');
  const bob = await enter(t, servers[0], 'bob', 'a');
  const welcome = await bob.next('welcome');
  await alice.next('welcome');
  const first = await alice.ask({ type: 'message', text: 'first' });
  await bob.next('message');
  await bob.close();
  for (const text of ['second', 'third']) await alice.ask({ type: 'message', text });
  const back = await connect(t, { url: servers[1]?.url ?? '', token: tokenFor }, 'bob', { room: '' });
  await back.next('welcome');
  back.send({ type: 'join', room: 'a', since: { epoch: welcome.epoch, seq: first.seq } });
  t.match(await back.next('joined'), { replayed: 2, truncated: false });
  await alice.ask({ type: 'message', text: 'fourth' });
  await back.next('message', ({ text }) => text === 'fourth');
  t.strictSame(
    said(back).map(({ text }) => text),
    ['second', 'third', 'fourth'],
  );
});

test('the sessions of all instances are listed, with their rooms, page by page', async (t) => {
  const { servers } = await start(t, 2);
  const alice = await enter(t, servers[0], 'alice', 'a');
  const bob = await enter(t, servers[1], 'bob', 'b');
  const { session_id, seq } = await alice.next('welcome');
  await bob.next('welcome');
  await alice.ask({ type: 'join', room: 'c' });
  await bob.ask({ type: 'join', room: 'c' });
  await bob.ask({ type: 'leave', room: 'b' });
  const all = await get(servers[0], '/sessions');
  t.match(all, {
    data: [
      { session_id, user_id: 'alice', connected_seq: seq, ip: '127.0.0.1', rooms: ['a', 'c'] },
      { user_id: 'bob', rooms: ['c'] },
    ],
    has_more: false,
    next_cursor: null,
  });
  const data = all.data as { instance: string }[];
  t.not(data[0]?.instance, data[1]?.instance);
  const page = await get(servers[1], '/sessions?limit=1');
  t.match(page, { data: [{ user_id: 'alice' }], has_more: true });
  const rest = await get(servers[0], `/sessions?limit=1&cursor=${page.next_cursor}`);
  t.match(rest, { data: [{ user_id: 'bob' }], has_more: false, next_cursor: null });
  const users = async (search: string) =>
    ((await get(servers[0], `/sessions?${search}`)).data as { user_id: string }[]).map(
      ({ user_id }) => user_id,
    );
  t.strictSame(await users('room=c'), ['alice', 'bob']);
  t.strictSame(await users('room=a'), ['alice']);
  t.strictSame(await users('user_id=bob'), ['bob']);
  t.strictSame(await users(`instance=${data[1]?.instance}`), ['bob']);
  await bob.close();
  await until('bob is gone', async () => (await users('')).length === 1);
});

test('a killed instance: its sessions get an end on record within the lease, and the room is told', async (t) => {
  const { databaseUrl, servers } = await start(t, 2);
  const alice = await enter(t, servers[0], 'alice', 'a');
  const bob = await enter(t, servers[1], 'bob', 'a');
  const { session_id } = await alice.next('welcome');
  await bob.next('joined', ({ user_id }) => user_id === 'bob');
  const [connected] = await rowsOf(databaseUrl, 'CONNECTED');
  const killedAt = performance.now();
  servers[0]?.child.kill('SIGKILL');
  await alice.closed;
  const left = await bob.next('left');
  const seconds = (performance.now() - killedAt) / 1_000;
  t.equal(left.user_id, 'alice');
  // A lease of 10 s, counted from its last renewal; the rest is for a slow machine.
  t.ok(seconds < 13, `it took ${seconds} s`);
  const rows = await rowsOf(databaseUrl, 'INSTANCE_LOST', 'DISCONNECTED');
  t.match(rows, [
    { action: 'INSTANCE_LOST', lost: connected?.instance },
    { action: 'DISCONNECTED', session_id, reason: 'instance_lost' },
  ]);
  t.equal(rows.length, 2);
  t.equal(((await get(servers[1], '/sessions')) as { data: unknown[] }).data.length, 1);
});

test('an instance that is started again ends what its predecessor left', async (t) => {
  const { databaseUrl, servers } = await start(t, 1);
  const alice = await enter(t, servers[0], 'alice', 'a');
  const { session_id } = await alice.next('welcome');
  servers[0]?.child.kill('SIGKILL');
  await servers[0]?.exited;
  await startServer(t, {
    env: { DATABASE_URL: databaseUrl, JWT_SECRET: SECRET },
    dataDir: servers[0]?.dataDir ?? '',
  });
  let rows: Row[] = [];
  await until(
    'there is an end on record',
    async () => {
      rows = await rowsOf(databaseUrl, 'INSTANCE_LOST', 'DISCONNECTED');
      return rows.length >= 2;
    },
    20_000,
  );
  t.match(rows, [
    { action: 'INSTANCE_LOST' },
    { action: 'DISCONNECTED', session_id, reason: 'instance_lost' },
  ]);
  t.equal(rows.length, 2);
  t.strictSame(
    await rowsOf(databaseUrl, 'EPOCH_STARTED').then((found) => found.length),
    1,
    'the history is the same',
  );
});

for (const others of [1, 0]) {
  const which = others === 0 ? 'alone' : 'beside another';
  test(`an instance ${which} that was stopped for longer than its lease shows nothing any more, and starts anew`, async (t) => {
    const { databaseUrl, servers } = await start(t, 1 + others);
    const [sleeper, other] = servers;
    const alice = await enter(t, sleeper, 'alice', 'a');
    const bob = await enter(t, sleeper, 'bob', 'a');
    const { session_id } = await alice.next('welcome');
    await bob.next('welcome');
    await alice.ask({ type: 'message', text: 'before' });
    await bob.next('message');
    const name = (await rowsOf(databaseUrl, 'CONNECTED'))[0]?.instance;

    sleeper?.child.kill('SIGSTOP');
    t.teardown(() => sleeper?.child.kill('SIGCONT'));
    // In the kernel's hands; the process finds it when it wakes up.
    alice.send({ type: 'message', text: 'after', ref: 'after' });
    const lapsed = () =>
      query<{ lapsed: boolean }>(
        databaseUrl,
        'select coalesce(bool_or(lease_until < clock_timestamp()), true) as lapsed from audit_writer where id = $1',
        [name],
      );
    await until('its lease has lapsed', async () => (await lapsed())[0]?.lapsed === true, 20_000);
    if (other !== undefined) {
      await until(
        'the other has ended its sessions',
        async () => {
          return (await rowsOf(databaseUrl, 'DISCONNECTED')).length === 2;
        },
        20_000,
      );
    }
    sleeper?.child.kill('SIGCONT');
    await Promise.all([alice.closed, bob.closed]);
    t.strictSame(
      said(bob).map(({ text }) => text),
      ['before'],
    );
    t.strictSame(alice.all('ack').length, 1, 'nothing was acknowledged either');

    const carol = await enter(t, sleeper, 'carol', 'a').catch(async () => {
      await until(
        'it takes connections',
        async () => (await fetch(`${sleeper?.url}/health/ready`)).status === 200,
      );
      return enter(t, sleeper, 'carol', 'a');
    });
    await carol.next('welcome');
    await carol.ask({ type: 'message', text: 'anew' });
    await until(
      'all ends are on record',
      async () => {
        return (await rowsOf(databaseUrl, 'DISCONNECTED')).length === 2;
      },
      20_000,
    );
    const rows = await rowsOf(databaseUrl, 'INSTANCE_LOST', 'DISCONNECTED');
    t.match(rows[0], { action: 'INSTANCE_LOST', lost: name });
    t.ok(rows.some((row) => row.session_id === session_id && row.reason === 'instance_lost'));
    t.equal(rows.length, 3);
    const messages = await query<{ message: string; instance: string }>(
      databaseUrl,
      `select message, instance from audit_event where action = 'MESSAGE_SENT' order by seq`,
    );
    t.strictSame(
      messages.map(({ message }) => message),
      ['before', 'anew'],
    );
    t.not(messages[1]?.instance, name, 'under a new name');
    t.equal(sleeper?.child.exitCode, null, 'the process lives');
  });
}

test('an outage of the database for longer than the lease ends no session', async (t) => {
  const { databaseUrl, servers } = await start(t, 2);
  const alice = await enter(t, servers[0], 'alice', 'a');
  const bob = await enter(t, servers[1], 'bob', 'a');
  await alice.next('welcome');
  await bob.next('welcome');
  // As if nobody had been able to renew for a long time, and all come back at once.
  await query(
    databaseUrl,
    "update audit_writer set lease_until = clock_timestamp() - interval '1 minute', held_since = clock_timestamp()",
  );
  await alice.ask({ type: 'message', text: 'still here' });
  await bob.next('message');
  await until('both have their leases again', async () => {
    const [row] = await query<{ held: number }>(
      databaseUrl,
      'select count(*)::int as held from audit_writer where lease_until > clock_timestamp()',
    );
    return row?.held === 2;
  });
  await bob.ask({ type: 'message', text: 'I as well' });
  await alice.next('message', ({ text }) => text === 'I as well');
  t.strictSame(await rowsOf(databaseUrl, 'INSTANCE_LOST', 'DISCONNECTED'), []);
});
