import { once } from 'node:events';
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Test, test } from 'tap';
import { type WebSocket, WebSocketServer } from 'ws';
import { closed, sentBy } from '../../bench/load/closed.ts';
import { closeAll, connectAll } from '../../bench/load/connect.ts';
import { startFollowing } from '../../bench/load/follower.ts';
import { clientFrame, FrameReader, TEXT } from '../../bench/load/frames.ts';
import { open } from '../../bench/load/open.ts';
import { Schedule } from '../../bench/load/schedule.ts';

const serverFrame = (payload: string): Buffer => {
  const bytes = Buffer.from(payload);
  const { length } = bytes;
  if (length < 126) return Buffer.concat([Buffer.from([0x81, length]), bytes]);
  const header = Buffer.alloc(length < 65_536 ? 4 : 10);
  header[0] = 0x81;
  if (length < 65_536) {
    header[1] = 126;
    header.writeUInt16BE(length, 2);
  } else {
    header[1] = 127;
    header.writeBigUInt64BE(BigInt(length), 2);
  }
  return Buffer.concat([header, bytes]);
};

test('frames are cut out of the stream wherever it is broken', async (t) => {
  const payloads = ['', 'short', 'x'.repeat(125), 'y'.repeat(126), 'z'.repeat(65_536), 'end'];
  const stream = Buffer.concat(payloads.map(serverFrame));
  for (const size of [61, 130, 1_000, 65_536, stream.length]) {
    const found: string[] = [];
    const reader = new FrameReader((opcode, bytes, start, end) => {
      t.equal(opcode, TEXT);
      found.push(Buffer.from(bytes.slice(start, end)).toString());
    });
    // As a socket does it: the same memory for every piece.
    const memory = Buffer.alloc(size);
    for (let at = 0; at < stream.length; at += size) {
      const length = stream.copy(memory, 0, at, at + size);
      reader.push(memory.subarray(0, length));
    }
    t.same(found, payloads, `in pieces of ${size}`);
  }
});

test('frames are cut out of the stream byte by byte', async (t) => {
  const found: string[] = [];
  const reader = new FrameReader((_, bytes, start, end) => {
    found.push(Buffer.from(bytes.slice(start, end)).toString());
  });
  const payloads = ['one', '', 'y'.repeat(300), 'two'];
  for (const byte of Buffer.concat(payloads.map(serverFrame))) reader.push(Buffer.from([byte]));
  t.same(found, payloads);
});

test('messages are due at fixed times, whatever became of those before', async (t) => {
  const schedule = new Schedule(1_000, 100, 3);
  const sent: [number, number][] = [];
  const send = (connection: number, dueAt: number): void => {
    sent.push([connection, dueAt]);
  };
  schedule.takeDue(999, send);
  t.same(sent, []);
  schedule.takeDue(1_000, send);
  t.same(sent, [[0, 1_000]]);
  t.equal(schedule.dueAt, 1_010);
  // Late: all that were due meanwhile go out, each with its own time.
  schedule.takeDue(1_035, send);
  t.same(sent.slice(1), [
    [1, 1_010],
    [2, 1_020],
    [0, 1_030],
  ]);
});

test('a long plan does not drift', async (t) => {
  const schedule = new Schedule(0, 3_000, 50);
  let last = 0;
  let count = 0;
  schedule.takeDue(600_000 - 0.01, (_, dueAt) => {
    last = dueAt;
    count += 1;
  });
  t.equal(count, 1_800_000);
  t.ok(Math.abs(last - (600_000 - 1 / 3)) < 0.001, String(last));
});

/** A server that answers each message as told. */
async function serve(
  t: Test,
  answer: (text: string, reply: (text: string) => void, pause: () => void) => void,
): Promise<number> {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  server.on('connection', (socket) =>
    socket.on('message', (data) =>
      answer(
        data.toString(),
        (text) => socket.send(text),
        () => socket.terminate(),
      ),
    ),
  );
  t.teardown(() => server.close());
  await once(server, 'listening');
  return (server.address() as AddressInfo).port;
}

const watched = { servers: [process.pid], postgres: null };

test('what the load sends is what a WebSocket server understands', async (t) => {
  const texts: string[] = [];
  const port = await serve(t, (text, reply) => {
    texts.push(text);
    reply(text);
  });
  const target = { ports: [port], secret: null, chat: false };
  const slice = await closed({ target, connections: 2, warmMs: 20, ms: 100, watched });
  t.ok(slice.messages > 0);
  t.ok(slice.latency.p50 > 0 && slice.latency.p50 <= slice.latency.p99);
  t.ok(slice.used.server > 0 || slice.seconds < 1);
  for (const text of new Set(texts)) {
    t.equal(Buffer.byteLength(text), 100);
    t.match(JSON.parse(text), { type: 'message' });
  }
  t.equal(new Set(texts).size, 2);
});

test('a message is its sender’s, and not of one whose name begins like theirs', async (t) => {
  const frame = (user_id: string): Buffer =>
    Buffer.from(`rest{"type":"message","room":"own-1","user_id":"${user_id}","text":"x"}more`);
  const isOwn = (user_id: string): boolean => sentBy('user-1')(frame(user_id), 4, frame(user_id).length - 4);
  t.equal(isOwn('user-1'), true);
  t.equal(isOwn('user-10'), false);
  t.equal(isOwn('user-2'), false);
  const bytes = frame('user-1');
  t.equal(sentBy('user-1')(bytes, bytes.length - 4, bytes.length), false, 'another frame of the same piece');
});

test('a closed loop in shared rooms spreads them over all processes, and goes by a sender’s own messages', async (t) => {
  const rooms = new Map<string, { socket: WebSocket; at: number }[]>();
  const ports: number[] = [];
  for (const at of [0, 1]) {
    const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
    t.teardown(() => server.close());
    server.on('connection', (socket, { url }) => {
      const room = url?.split('=')[1] ?? '';
      const members = rooms.get(room) ?? [];
      rooms.set(room, [...members, { socket, at }]);
      socket.on('message', (data) => {
        const user_id = `user-${/connection (\d+)/.exec(data.toString())?.[1]}`;
        const frame = JSON.stringify({ type: 'message', room, user_id, text: 'x' });
        for (const { socket: one } of rooms.get(room) ?? []) one.send(frame);
      });
    });
    await once(server, 'listening');
    ports.push((server.address() as AddressInfo).port);
  }
  const target = { ports, secret: null, chat: false };
  const slice = await closed({ target, connections: 24, rooms: 2, warmMs: 20, ms: 200, watched });
  t.equal(rooms.size, 2);
  for (const [room, members] of rooms) {
    t.equal(members.length, 12, room);
    t.equal(members.filter(({ at }) => at === 0).length, 6, room);
  }
  t.ok(slice.messages > 0);
  t.ok(slice.latency.count <= slice.messages);
  // Eleven others in each room, but for what was under way at the beginning and at the end: a message of each
  // connection, to eleven others.
  const difference = Math.abs(slice.deliveries - 11 * slice.messages);
  t.ok(difference <= 2 * 24 * 11, `${slice.messages} messages, ${slice.deliveries} to others`);
});

test('a closed loop fails when a message is refused, or the server goes away', async (t) => {
  const order = { connections: 1, warmMs: 1_000, ms: 1_000, watched };
  const refusing = await serve(t, (_, reply) => reply('{"type":"error","code":"rate_limited"}'));
  await t.rejects(
    closed({ target: { ports: [refusing], secret: null, chat: false }, ...order }),
    /rate_limited/,
  );
  const leaving = await serve(t, (_text, _reply, leave) => leave());
  await t.rejects(
    closed({ target: { ports: [leaving], secret: null, chat: false }, ...order }),
    /closed a connection/,
  );
});

test('an open loop counts the waiting from the time a message was due', async (t) => {
  // It stands still for 200 ms with the first message after the first 100 ms: those due meanwhile wait with it.
  let stoodStill = false;
  const startedAt = performance.now();
  const port = await serve(t, (text, reply) => {
    if (!stoodStill && performance.now() - startedAt > 200) {
      stoodStill = true;
      for (const end = performance.now() + 200; performance.now() < end; );
    }
    reply(text);
  });
  const target = { ports: [port], secret: null, chat: false };
  const slice = await open({
    target,
    connections: 4,
    rate: 100,
    graceMs: 1_000,
    warmMs: 50,
    ms: 1_000,
    watched,
  });
  t.equal(slice.latency.count, 100);
  t.equal(slice.unanswered, 0);
  t.ok(slice.latency.max > 150, `max ${slice.latency.max} ms`);
  t.equal(slice.late.count, 100);
});

test('what is never answered counts with the time it waited', async (t) => {
  const port = await serve(t, () => {});
  const target = { ports: [port], secret: null, chat: false };
  const slice = await open({ target, connections: 2, rate: 100, graceMs: 100, warmMs: 0, ms: 200, watched });
  t.equal(slice.unanswered, 20);
  t.equal(slice.latency.count, 20);
  t.ok(slice.latency.max >= 290, `max ${slice.latency.max} ms`);
});

test('a refused handshake is told with the server’s answer', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1', verifyClient: () => false });
  t.teardown(() => server.close());
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  await t.rejects(
    connectAll({ ports: [port], secret: null, chat: false }, 3, () => ''),
    /refused: HTTP\/1.1 401/,
  );
});

test('connections are closed in good order', async (t) => {
  const server = new WebSocketServer({ port: 0, host: '127.0.0.1' });
  t.teardown(() => server.close());
  const ends: Promise<[number]>[] = [];
  server.on('connection', (socket) => ends.push(once(socket, 'close') as Promise<[number]>));
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  const clients = await connectAll({ ports: [port], secret: null, chat: false }, 3, () => '');
  await closeAll(clients);
  const codes = (await Promise.all(ends)).map(([code]) => code);
  t.same(codes, [1000, 1000, 1000]);
});

test('a frame that is too long for the load is refused', async (t) => {
  t.throws(() => clientFrame(TEXT, Buffer.alloc(65_536)), /64 KiB/);
});

test('of a stream that ended before it was to, nothing is told as if it had not', async (t) => {
  let end = (_: ServerResponse): void => {};
  const server = createServer((_, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write('event: open\nid: e:0\ndata: {}\n\n', () => end(response));
  });
  t.teardown(() => server.close());
  await once(server.listen(0, '127.0.0.1'), 'listening');
  const { port } = server.address() as AddressInfo;
  const target = { ports: [port], secret: 's'.repeat(32), chat: true };
  const follow = () => startFollowing({ target, user: 'follower', warmMs: 0 });
  t.equal((await (await follow()).stop()).count, 0);
  for (const how of ['end', 'destroy'] as const) {
    end = (response) => response[how]();
    const follower = await follow();
    await follower.ended;
    await t.rejects(follower.stop(), /ended/, how);
  }
});
