import { test } from 'tap';
import { build, type TestApp } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { answerOf, handshake, handshakeBytes, speak } from '../support/handshake.ts';

const authorization = async (server: TestApp): Promise<Record<string, string>> => ({
  Authorization: `Bearer ${await server.token('alice', 'chat')}`,
});

test('handshakes with too many or too long headers are refused, and nobody else notices', async (t) => {
  const server = await build(t);
  const many = (count: number) =>
    Object.fromEntries(Array.from({ length: count }, (_, index) => [`h${index}`, '']));
  const token = await authorization(server);
  for (const [what, headers, status] of [
    ['2,100 headers', { ...token, ...many(2_100) }, 431],
    ['50,000 protocols', { ...token, 'Sec-WebSocket-Protocol': 'a '.repeat(50_000) }, 431],
    ['protocols that are no list', { ...token, 'Sec-WebSocket-Protocol': 'a '.repeat(5_000) }, 400],
    ['a token of 1 MB', { Authorization: `Bearer ${'x'.repeat(1_000_000)}` }, 431],
  ] as [string, Record<string, string>, number][]) {
    const socket = await handshake(server, '/ws', headers);
    socket.on('error', () => {});
    const text = await answerOf(socket).catch(() => '');
    // Of what comes after the answer, the kernel makes a reset, which may overtake it.
    t.ok(text === '' || text.startsWith(`HTTP/1.1 ${status}`), `${what}: ${text.slice(0, 40)}`);
  }
  for (const headers of [
    many(100),
    { 'Sec-WebSocket-Extensions': 'permessage-deflate; server_max_window_bits=99' },
  ]) {
    const client = await connect(t, server, 'alice', { headers });
    await client.next('welcome');
    await client.close();
  }
});

test('200 handshakes that never come to their end are cut, and nobody waits for them', async (t) => {
  const server = await build(t);
  const head = handshakeBytes(server, '/ws', await authorization(server));
  const slow = await Promise.all(Array.from({ length: 200 }, () => speak(server, head.slice(0, 30))));
  const trickle = setInterval(() => {
    for (const socket of slow) if (socket.writable) socket.write('x');
  }, 1_000);
  t.teardown(() => clearInterval(trickle));
  const ended = slow.map((socket) => {
    socket.on('error', () => {});
    return answerOf(socket).catch(() => 'cut');
  });
  const alice = await connect(t, server, 'alice');
  await alice.next('welcome');
  await alice.ask({ type: 'message', text: 'not held up' });
  const startedAt = performance.now();
  for (const text of await Promise.all(ended)) t.match(text, /^HTTP\/1.1 408|^cut$/);
  t.ok(performance.now() - startedAt < 20_000);
  await alice.ask({ type: 'message', text: 'still here' });
  await until('they are on record', async () =>
    (await server.events('action=REQUEST_REFUSED')).some(({ details }) => details.code === 'timeout'),
  );
});

test('connections that never ask for anything are cut, and refused nothing', async (t) => {
  const server = await build(t);
  const silent = await Promise.all(Array.from({ length: 20 }, () => speak(server, '')));
  await Promise.all(silent.map(answerOf));
  t.strictSame(await server.events('action=REQUEST_REFUSED'), []);
});
