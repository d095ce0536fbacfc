import { connect as connectTcp, type Socket } from 'node:net';
import { type Test, test } from 'tap';
import { build, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { head } from '../support/raw.ts';

const MIB = 1024 * 1024;

/** What alice says is six times as long as JSON: two pages of it are some 50 MB. */
async function say(t: Test, server: TestApp): Promise<Record<string, string>> {
  const alice = await connect(t, server, 'alice');
  for (let n = 0; n < 70; n += 1) alice.send('\u0001'.repeat(60_000));
  await until('all is said', () => alice.all('message').length === 70);
  await alice.close();
  return { authorization: `Bearer ${await server.token('alice', 'chat')}` };
}

/** Asks for something, and reads nothing of the answer. */
function ask(t: Test, { url }: TestApp, path: string, headers: Record<string, string>): Socket {
  const { hostname, port } = new URL(url);
  const socket = connectTcp({ host: hostname, port: Number(port) });
  t.teardown(() => socket.destroy());
  socket.on('error', () => {});
  socket.pause();
  socket.write(head(`GET ${path}`, headers));
  return socket;
}

test('of answers that a user does not read a bound waits, not for ever, and others are answered meanwhile', async (t) => {
  const server = await build(t);
  const streams = new Set<Socket>();
  server.app.server.on('connection', (stream: Socket) => {
    streams.add(stream);
    stream.on('close', () => streams.delete(stream));
  });
  const headers = await say(t, server);
  const waiting = (): number => [...streams].reduce((sum, { writableLength }) => sum + writableLength, 0);
  const own = () => server.get('/audit/me?limit=1000', headers);
  let most = 0;
  const look = setInterval(() => {
    most = Math.max(most, waiting());
  }, 5);
  t.teardown(() => clearInterval(look));
  for (let n = 0; n < 20; n += 1) ask(t, server, '/audit/me?limit=1000', headers);
  // More than the kernel takes.
  const file = ask(t, server, '/docs/static/swagger-ui-bundle.js', { connection: 'keep-alive' });
  for (let n = 0; n < 4; n += 1) file.write(head('GET /docs/static/swagger-ui-bundle.js'));
  let refused = await own();
  await until('it is too much', async () => {
    await refused.body?.cancel();
    refused = await own();
    return refused.status === 429 && refused.headers.get('retry-after') === '5';
  });
  t.match(await refused.json(), { code: 'rate_limited', detail: /wait to be read/ });
  const bob = { authorization: `Bearer ${await server.token('bob', 'chat')}` };
  t.equal((await server.get('/audit/me', bob)).status, 200, 'nobody else is refused');
  await until('they are cut', () => waiting() === 0, 25_000);
  await until(
    'so is who reads no file',
    () => [...streams].every((stream) => stream.remotePort !== file.localPort),
    25_000,
  );
  // Two pages are read at a time, and each may go beyond the bound.
  t.ok(most > 0 && most <= 100 * MIB, `${Math.round(most / MIB)} MiB waited`);
  const read = await own();
  t.equal(read.status, 200, 'who has nothing to read may ask again');
  t.ok((await read.text()).length > 20 * MIB);
  t.ok(
    (await server.events('action=REQUEST_REFUSED&user_id=alice')).some(
      ({ details }) => details.code === 'rate_limited',
    ),
    'it is on record',
  );
});

test('who reads an answer late gets all of it', async (t) => {
  const server = await build(t);
  const socket = ask(t, server, '/audit/me?limit=1000', await say(t, server));
  let bytes = 0;
  socket.on('data', (chunk: Buffer) => {
    bytes += chunk.length;
  });
  socket.pause();
  // For less than is too long.
  await new Promise((resolve) => setTimeout(resolve, 6_000));
  t.equal(bytes, 0);
  socket.resume();
  await until('it is over', () => socket.closed);
  t.ok(bytes > 20 * MIB, `${bytes} bytes`);
});
