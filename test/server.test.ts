import { execFile } from 'node:child_process';
import { readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { WebSocket } from 'ws';
import { stopPostmaster } from '../db/embedded/postmaster.ts';
import type { AuditPage } from '../src/core/schemas.ts';
import { temporaryFolder } from './support/app.ts';
import { Client, until } from './support/client.ts';
import { createDatabase, query } from './support/postgres.ts';
import { proxy } from './support/proxy.ts';
import { bannerToken, type RunningServer, startServer } from './support/server.ts';

const run = promisify(execFile);

async function chat(server: RunningServer, user: string): Promise<Client> {
  const client = new Client(new WebSocket(`${server.url.replace('http', 'ws')}/ws?user=${user}`));
  await client.next('welcome');
  return client;
}

async function audit(server: RunningServer, search = ''): Promise<AuditPage> {
  const answer = await fetch(`${server.url}/audit?limit=1000&order=asc&${search}`, {
    headers: { authorization: `Bearer ${bannerToken(server.output())}` },
  });
  return (await answer.json()) as AuditPage;
}

test('with nothing configured it starts, prints what to paste, survives kill -9, and keeps its log', async (t) => {
  const first = await startServer(t);
  t.match(first.output(), 'Development mode');
  const command = /npx (wscat) -c ("\S+")/.exec(first.output());
  t.ok(command, 'a chat command is printed');
  // The very command, but for typing: wscat sends what -x says.
  const { stdout } = await run('sh', ['-c', `npx wscat -c ${command?.[2]} -x hello -w 1`], {
    cwd: join(import.meta.dirname, '..'),
  });
  t.match(stdout, '"type":"message","room":"lobby","user_id":"alice","text":"hello"');
  const curl = /curl -s .*/.exec(first.output())?.[0] ?? '';
  const page = JSON.parse((await run('sh', ['-c', curl])).stdout) as AuditPage;
  const of = (action: string) => page.data.filter((event) => event.action === action);
  t.match(of('CONNECTED'), [{ user_id: 'alice' }]);
  t.match(of('JOINED'), [{ user_id: 'alice', room: 'lobby' }]);
  t.match(of('MESSAGE_SENT'), [{ user_id: 'alice', room: 'lobby', message: 'hello' }]);

  const alice = await chat(first, 'alice');
  await alice.ask({ type: 'message', text: 'before the crash' });
  const { epoch } = alice.all('welcome')[0] ?? { epoch: '' };
  first.child.kill('SIGKILL');
  await first.exited;

  const second = await startServer(t, { dataDir: first.dataDir });
  const again = await chat(second, 'alice');
  t.equal(again.all('welcome')[0]?.epoch, epoch, 'the history is the same');
  const said = await audit(second, 'action=MESSAGE_SENT');
  t.strictSame(
    said.data.map(({ message }) => message),
    ['hello', 'before the crash'],
  );
  const { data } = await audit(second);
  t.strictSame(
    data.map(({ seq }) => seq),
    data.map((_, index) => index),
    'without a gap',
  );
  t.equal((await fetch(`${second.url}/docs`)).status, 200, 'the documentation is where the banner says');
  again.socket.terminate();
});

test('Ctrl-C ends the server and its Postgres in order, though it strikes the whole process group', async (t) => {
  const server = await startServer(t, { detached: true });
  const alice = await chat(server, 'alice');
  await alice.ask({ type: 'message', text: 'hello' });
  // What a terminal does: SIGINT to every process of the group.
  process.kill(-(server.child.pid ?? 0), 'SIGINT');
  t.match(await alice.closed, { code: 1001 });
  t.equal(await server.exited, 0);
  t.notOk(
    (await readdir(join(server.dataDir, 'postgres'))).includes('postmaster.pid'),
    'Postgres is stopped',
  );
  const next = await startServer(t, { dataDir: server.dataDir });
  const { data } = await audit(next);
  t.strictSame(
    data.slice(-4, -1).map(({ action }) => action),
    ['MESSAGE_SENT', 'DISCONNECTED', 'SERVER_STOPPED'],
  );
});

test('two servers on one data folder: the second says who has it, and the first goes on', async (t) => {
  const first = await startServer(t);
  const second = await startServer(t, { dataDir: first.dataDir });
  t.equal(await second.exited, 1);
  t.match(second.output(), `process ${first.child.pid}`);
  t.equal(second.output().trim().split('\n').length, 1, 'in one line');
  t.equal((await fetch(`${first.url}/health/ready`)).status, 200);
});

test('a configuration that cannot be meant stops the start with one line that names it', async (t) => {
  for (const [env, expected] of [
    [{ PORT: 'http' }, 'PORT'],
    [{ PORT: '70000' }, 'PORT'],
    [{ LOG_LEVEL: 'loud' }, 'LOG_LEVEL'],
    [{ LIMIT_FRAME_BYTES: '-1' }, 'LIMIT_FRAME_BYTES'],
    [{ LIMIT_HANDSHAKE_SECONDS: '0' }, 'LIMIT_HANDSHAKE_SECONDS'],
    [{ LIMIT_READ_SECONDS: '0' }, 'LIMIT_READ_SECONDS'],
    [{ LIMIT_READ_SECONDS: '1000' }, 'LIMIT_READ_SECONDS'],
    [{ HOST: '0.0.0.0' }, 'JWT_SECRET'],
    [{ JWT_SECRET: 'short' }, 'JWT_SECRET'],
    [{ DATABASE_URL: 'mysql://x' }, 'DATABASE_URL'],
    [{ ALLOWED_ORIGINS: 'example.com' }, 'ALLOWED_ORIGINS'],
    [{ DATABASE_URL: 'postgres://nobody@127.0.0.1:1/none' }, 'database'],
  ] as [Record<string, string>, string][]) {
    const server = await startServer(t, { env });
    t.equal(await server.exited, 1, expected);
    t.match(server.output(), expected);
    t.equal(server.output().trim().split('\n').length, 1, `one line: ${server.output()}`);
  }
});

test('plain HTTP beyond loopback is warned of, unless a proxy is named that ends TLS', async (t) => {
  const env = { HOST: '0.0.0.0', JWT_SECRET: 'a secret that is long enough to be one', LOG_LEVEL: 'warn' };
  const warning = /HOST=0\.0\.0\.0 is served over plain HTTP.*TLS_CERT and TLS_KEY.*TRUST_PROXY/;
  for (const [more, isWarned] of [
    [{}, true],
    [{ TRUST_PROXY: '10.0.0.0/8' }, false],
    [{ HOST: '127.0.0.1' }, false],
  ] as const) {
    const server = await startServer(t, { env: { DATABASE_URL: await createDatabase(t), ...env, ...more } });
    server.child.kill('SIGTERM');
    await server.exited;
    t.equal(warning.test(server.output()), isWarned, JSON.stringify(more));
  }
});

test('HOST=localhost is 127.0.0.1, and no other address is listened to', async (t) => {
  const { url, output } = await startServer(t, {
    env: { HOST: 'localhost', DATABASE_URL: await createDatabase(t) },
  });
  const { port } = new URL(url);
  t.equal(url, `http://127.0.0.1:${port}`);
  t.equal((await fetch(`${url}/health/live`)).status, 200);
  // ECONNREFUSED, or EADDRNOTAVAIL where this machine has no such address.
  await t.rejects(fetch(`http://[::1]:${port}/health/live`), {
    cause: { code: /^E(CONNREFUSED|ADDRNOTAVAIL)$/ },
  });
  t.notMatch(output(), '::1');
});

test('a file .env is read when there is one, and what the environment holds wins', async (t) => {
  const folder = await temporaryFolder(t);
  await writeFile(join(folder, '.env'), 'LOG_LEVEL=loud\nPORT=http\n');
  const server = await startServer(t, { dataDir: folder, env: { PORT: '0' } });
  t.equal(await server.exited, 1);
  t.match(server.output(), /^LOG_LEVEL is not valid/, 'of the file; PORT is that of the environment');
});

test('with DATABASE_URL nothing embedded is started, and messages and tokens never reach the process’s log', async (t) => {
  const databaseUrl = await createDatabase(t);
  const secret = 'canary-of-the-secret, long enough to be one';
  const server = await startServer(t, {
    env: { DATABASE_URL: databaseUrl, LOG_LEVEL: 'trace', JWT_SECRET: secret },
  });
  t.notOk((await readdir(server.dataDir)).includes('postgres'));
  const { SignJWT } = await import('jose');
  const token = await new SignJWT({ scope: 'chat audit:read' })
    .setProtectedHeader({ alg: 'HS256' })
    .setSubject('alice')
    .setExpirationTime('1h')
    .sign(new TextEncoder().encode(secret));
  const headers = { authorization: `Bearer ${token}` };
  const client = new Client(new WebSocket(`${server.url.replace('http', 'ws')}/ws`, { headers }));
  await client.next('welcome');
  await client.ask({ type: 'message', text: 'canary-of-a-message' });
  client.send({ type: 'message', text: 'canary-of-a-refusal\u0000' });
  await client.next('error');
  await fetch(`${server.url}/audit?user_id=canary-of-a-filter`, { headers });
  await fetch(`${server.url}/audit?canary-of-a-filter=1`, { headers });
  await client.close();
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
  const output = server.output();
  t.match(output, '/audit', 'requests are logged');
  for (const canary of ['canary-of', token, databaseUrl.split('@')[0] ?? '']) {
    t.notOk(output.includes(canary), `${canary.slice(0, 12)}… is not in the log`);
  }
  const [last] = await query<{ action: string }>(
    databaseUrl,
    'select action from audit_event order by seq desc limit 1',
  );
  t.equal(last?.action, 'SERVER_STOPPED');
});

test('SIGTERM ends the server in time when the database does not answer', async (t) => {
  const between = await proxy(t, await createDatabase(t));
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn', DATABASE_URL: between.url } });
  const alice = await chat(server, 'alice');
  await alice.ask({ type: 'message', text: 'hello' });
  between.setMode('swallow-all');
  alice.send('into the void');
  const startedAt = performance.now();
  server.child.kill('SIGTERM');
  await server.exited;
  t.ok(performance.now() - startedAt < 10_500, 'within ten seconds');
});

test('a Postgres that ends by itself is started again, and the chat goes on', async (t) => {
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn' } });
  const alice = await chat(server, 'alice');
  await alice.ask({ type: 'message', text: 'before' });
  await stopPostmaster(join(server.dataDir, 'postgres'));
  await until('it is ready again', async () => (await fetch(`${server.url}/health/ready`)).status === 200);
  await alice.ask({ type: 'message', text: 'after' });
  const said = (await audit(server, 'action=MESSAGE_SENT')).data.map(({ message }) => message);
  t.strictSame(said, ['before', 'after']);
  alice.socket.terminate();
});
