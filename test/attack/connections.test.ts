import type { Socket } from 'node:net';
import { test } from 'tap';
import { build } from '../support/app.ts';
import { connect, until } from '../support/client.ts';
import { frameOf } from '../support/frame-bytes.ts';
import { noLimits } from '../support/limits.ts';
import { head } from '../support/raw.ts';
import { handshakeOf, RawClient } from '../support/raw-client.ts';

test('T-WS-5: connections reset while they are let in, or just after, harm nobody, and all that began has an end', async (t) => {
  const server = await build(t, noLimits);
  const head = handshakeOf(server.url, { Authorization: `Bearer ${await server.token('rst', 'chat')}` });
  for (let n = 0; n < 60; n += 1) {
    const client = new RawClient(server.url);
    await client.write(n % 3 === 0 ? Buffer.concat([Buffer.from(head), frameOf('eager')]) : head);
    // From at once to about the time that a handshake takes.
    for (let turn = 0; turn < n % 15; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    client.reset();
  }
  const count = async (action: string) => (await server.events(`action=${action}&user_id=rst`)).length;
  const alice = await connect(t, server, 'alice');
  await alice.ask({ type: 'message', text: 'served' });
  await until('no connection is left', () => server.app.socketStats().open === 1);
  await until(
    'every session has ended',
    async () => (await count('CONNECTED')) === (await count('DISCONNECTED')),
  );
});

test('T-WS-8 and T-WS-9: who says nothing, or a byte a second, is cut in time, and keeps nobody out', async (t) => {
  const server = await build(t, noLimits);
  const head = handshakeOf(server.url, { Authorization: `Bearer ${await server.token('slow', 'chat')}` });
  /** Our end of each connection, by the port of the other. */
  const ours = new Map<number | undefined, Socket>();
  server.app.server.on('connection', (stream: Socket) => ours.set(stream.remotePort, stream));
  const clients = Array.from({ length: 200 }, () => new RawClient(server.url));
  const startedAt = performance.now();
  let sent = 0;
  const drip = setInterval(() => {
    sent += 1;
    // Every other one is silent from the beginning.
    for (const [index, client] of clients.entries()) {
      if (index % 2 === 0 && client.socket.writable) client.socket.write(head.slice(sent - 1, sent));
    }
  }, 1_000);
  t.teardown(() => clearInterval(drip));
  for (let n = 0; n < 5; n += 1) {
    const alice = await connect(t, server, 'alice');
    await alice.ask({ type: 'message', text: `served meanwhile ${n}` });
    await alice.close();
  }
  t.notOk(
    clients.some(({ ended }) => ended),
    'they are still there',
  );
  await Promise.all(clients.map((client) => client.end()));
  const seconds = (performance.now() - startedAt) / 1_000;
  // 10 s for the headers, looked at every second.
  t.ok(seconds < 20, `all were cut after ${Math.round(seconds)} s`);
  const statuses = clients.map((client) => client.unread.toString('latin1').split(' ')[1]);
  t.ok(
    statuses.every((status) => status === '408' || status === undefined),
    'with 408, where there was a request',
  );
  t.strictSame(await server.events('user_id=slow'), [], 'nothing came of it');
  await until('none is left, though nobody goes', () =>
    clients.every(({ socket }) => ours.get(socket.localPort)?.closed === true),
  );
  for (const client of clients) client.socket.destroy();
});

test('half-closed connections are answered, and closed', async (t) => {
  const server = await build(t, noLimits);
  const authorization = `Bearer ${await server.token('half', 'chat')}`;
  const client = new RawClient(server.url);
  await client.write(handshakeOf(server.url, { Authorization: authorization }));
  t.equal((await client.answer()).status, 101);
  await client.frame();
  client.socket.end();
  await client.end();
  const early = new RawClient(server.url);
  await early.write(handshakeOf(server.url, { Authorization: authorization }));
  early.socket.end();
  await early.end();
  await until('both have ended', async () => {
    const [began, ended] = await Promise.all(
      ['CONNECTED', 'DISCONNECTED'].map((action) => server.events(`action=${action}&user_id=half`)),
    );
    return began !== undefined && began.length > 0 && began.length === ended?.length;
  });
  t.match((await server.events('action=DISCONNECTED&user_id=half'))[0], { details: { code: 1006 } });
  for (const { socket } of [client, early]) socket.destroy();
});

test('a flood of pings that nobody reads the answers of ends that connection, and costs little', async (t) => {
  const server = await build(t, noLimits);
  const client = new RawClient(server.url);
  await client.write(
    handshakeOf(server.url, { Authorization: `Bearer ${await server.token('flood', 'chat')}` }),
  );
  await client.answer();
  client.socket.pause();
  const pings = Buffer.concat(
    Array.from({ length: 500 }, () => frameOf({ opcode: 9, payload: 'x'.repeat(125) })),
  );
  const before = process.memoryUsage().external;
  for (let n = 0; n < 2_000 && !client.socket.destroyed; n += 1) await client.write(pings);
  await until(
    'it is over',
    async () => (await server.events('action=DISCONNECTED&user_id=flood')).length === 1,
  );
  t.ok(process.memoryUsage().external - before < 64 * 1024 * 1024);
  client.socket.destroy();
  const alice = await connect(t, server, 'alice');
  await alice.ask({ type: 'message', text: 'served' });
});

test('a request has one Host header (RFC 9112 3.2), else it is refused, and on record', async (t) => {
  const server = await build(t, noLimits);
  for (const lines of ['', 'Host: 127.0.0.1\r\nHost: evil.example\r\n']) {
    const client = new RawClient(server.url);
    await client.write(`GET /health/live HTTP/1.1\r\n${lines}Connection: close\r\n\r\n`);
    const { status, body } = await client.answer();
    t.equal(status, 400);
    t.match(JSON.parse(body), { code: 'bad_request', status: 400 });
    await client.end();
    client.socket.destroy();
  }
  await until('it is on record', async () => (await server.events('action=REQUEST_REFUSED')).length > 0);
  t.match(await server.events('action=REQUEST_REFUSED'), [
    { details: { code: 'bad_request', count: 1, method: 'GET', route: '/health/live' } },
  ]);
});

test('requests that do not wait for their answers are begun one after the other, and too many of them end the connection', async (t) => {
  const server = await build(t, noLimits);
  const ask = head('GET /openapi.json').replace('connection: close', 'connection: keep-alive');
  const few = new RawClient(server.url);
  await few.write(ask.repeat(17));
  for (let n = 0; n < 17; n += 1) t.equal((await few.answer()).status, 200);
  await few.write(ask.repeat(17));
  for (let n = 0; n < 17; n += 1) t.equal((await few.answer()).status, 200, 'and again');
  few.socket.destroy();
  t.strictSame([...server.app.refusalCounts()], []);
  const many = new RawClient(server.url);
  many.socket.pause();
  await many.write(ask.repeat(1_000));
  await until('it is refused', () => [...server.app.refusalCounts()].length > 0);
  t.strictSame(
    [...server.app.refusalCounts()],
    [{ action: 'REQUEST_REFUSED', code: 'rate_limited', count: 1 }],
  );
  await until(
    'the connection is gone',
    () => new Promise((resolve) => server.app.server.getConnections((_error, open) => resolve(open === 0))),
    15_000,
  );
  many.socket.destroy();
  t.match(await server.events('action=REQUEST_REFUSED'), [
    { ip: '127.0.0.1', details: { code: 'rate_limited', count: 1, method: '*', route: '*' } },
  ]);
});
