import { connect as connectTcp } from 'node:net';
import { test } from 'tap';
import { originsOf } from '../../../plugins/auth/origins.ts';
import { build, type TestApp } from '../../support/app.ts';
import { until } from '../../support/client.ts';

/** The status that a handshake made of raw lines gets. */
async function statusOf(server: TestApp, target: string, lines: string[]): Promise<number> {
  const { port, hostname, host } = new URL(server.url);
  const hosts = lines.some((line) => line.startsWith('Host:')) ? [] : [`Host: ${host}`];
  const all = [
    `GET ${target} HTTP/1.1`,
    ...hosts,
    'Connection: Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    `Authorization: Bearer ${await server.token('alice', 'chat')}`,
    ...lines,
  ];
  const socket = connectTcp(Number(port), hostname);
  socket.write(`${all.join('\r\n')}\r\n\r\n`);
  const answer = await new Promise<string>((resolve) =>
    socket.once('data', (data) => resolve(data.toString('latin1'))),
  );
  socket.destroy();
  return Number(/^HTTP\/1\.1 (\d+)/.exec(answer)?.[1]);
}

test('an origin is compared with the list, never with the Host or the target', async (t) => {
  const server = await build(t, { ALLOWED_ORIGINS: 'https://app.example.com' });
  const evil = 'Origin: https://evil.example';
  for (const [target, lines] of [
    ['/ws', [evil]],
    ['/ws', [evil, 'Host: evil.example']],
    ['http://evil.example/ws', [evil]],
    ['https://evil.example/ws', [evil, 'Host: evil.example']],
    ['http://evil.example/ws', ['Origin: http://evil.example', 'Host: evil.example']],
    ['/ws', [evil, 'X-Forwarded-Host: app.example.com', 'X-Forwarded-Proto: https']],
    ['/ws', ['Origin: ']],
    ['/ws', ['Origin: null']],
    ['/ws', [`Origin: ${server.url}`]],
    ['/ws', ['Origin: https://app.example.com, https://evil.example']],
    ['/ws', ['Origin: https://app.example.com/']],
    ['/ws', ['Origin: HTTPS://app.example.com']],
    ['/ws', ['Origin: https://app.example.com@evil.example']],
  ] as [string, string[]][]) {
    t.equal(await statusOf(server, target, lines), 403, `${target} ${lines}`);
  }
  t.equal(await statusOf(server, '//evil.example/ws', [evil]), 404, 'no such path');
  t.equal(await statusOf(server, '/ws', ['Origin: https://app.example.com']), 101);
  t.equal(await statusOf(server, '/ws', []), 101, 'whoever is no browser sends none');
  await until('it is on record', async () => (await server.events('action=CONNECTION_REFUSED')).length >= 2);
  const codes = (await server.events('action=CONNECTION_REFUSED')).map(({ details }) => details.code);
  t.strictSame(codes.toSorted(), ['not_found', 'origin_not_allowed']);
});

test('more than one Origin is none, also when both are allowed', async (t) => {
  const server = await build(t, { ALLOWED_ORIGINS: 'https://a.example,https://b.example' });
  const [a, b, evil] = ['a', 'b', 'evil'].map((name) => `Origin: https://${name}.example`) as [
    string,
    string,
    string,
  ];
  for (const lines of [
    [a, evil],
    [evil, a],
    [a, b],
    [a, a],
  ]) {
    t.equal(await statusOf(server, '/ws', lines), 403, String(lines));
  }
  t.equal(await statusOf(server, '/ws', [b]), 101);
});

test('more than one Authorization header is no valid one', async (t) => {
  const server = await build(t);
  const other = `Authorization: Bearer ${await server.token('mallory', 'chat')}`;
  t.equal(await statusOf(server, '/ws', [other]), 401);
  t.equal(await statusOf(server, '/ws', []), 101);
});

test('the server’s own origins are written as browsers write them', async (t) => {
  t.strictSame(originsOf('http', '127.0.0.1', 3000), [
    'http://127.0.0.1:3000',
    'http://localhost:3000',
    'http://[::1]:3000',
  ]);
  t.strictSame(originsOf('https', '192.0.2.7', 443), ['https://192.0.2.7']);
  t.strictSame(originsOf('http', '2001:db8::7', 80), ['http://[2001:db8::7]']);
  t.strictSame(originsOf('https', '192.0.2.7', 80), ['https://192.0.2.7:80']);
});
