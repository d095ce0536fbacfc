import { createServer } from 'node:http';
import { type AddressInfo, connect, type Socket } from 'node:net';
import { pipeline } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import { type Test, test } from 'tap';
import { ExportRun, type ExportRunOptions } from '../../routes/audit/export/run.ts';
import type { ExportOutcome } from '../../src/core/actions.ts';
import { type ExportPage, ExportWriter } from '../../src/core/export.ts';
import { ExportCheck } from '../../src/core/export-check.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { until } from '../support/client.ts';
import { pageOf } from '../support/export.ts';
import { eventAt } from '../support/log.ts';

const KIB = 1024;
const MIB = 1024 * KIB;

type Running = { run: ExportRun; socket: Socket; pages: () => number };

/** Runs an export of pages of 1 MiB over a real connection, whose client reads nothing at first. */
async function start(
  t: Test,
  pageCount: number,
  { pageMs = 0, ...options }: Partial<ExportRunOptions> & { pageMs?: number } = {},
  events: AuditEvent[] = Array.from({ length: 16 }, (_, seq) => eventAt(seq, 'x'.repeat(64 * KIB))),
): Promise<Running> {
  let pages = 0;
  /** As where pages are read: each takes the place of the one before. */
  const place = Buffer.alloc(pageOf(events).bytes.length + KIB);
  async function* make(): AsyncGenerator<ExportPage> {
    while (pages < pageCount) {
      pages += 1;
      if (pageMs > 0) await delay(pageMs);
      const page = pageOf(events.map((event) => ({ ...event, room: `${pages}` })));
      yield { ...page, bytes: place.subarray(0, page.bytes.copy(place)) };
    }
  }
  const { promise, resolve } = Promise.withResolvers<ExportRun>();
  const server = createServer((_request, response) => {
    const pace = { bytes: MIB, ms: 60_000 };
    const run = new ExportRun({ response, expiresAt: undefined, pace, ...options });
    resolve(run);
    pipeline(run.body(new ExportWriter('ndjson'), make()), response, () => {});
  });
  await new Promise<void>((listening) => server.listen(0, '127.0.0.1', listening));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  const socket = connect((server.address() as AddressInfo).port, '127.0.0.1');
  socket.on('error', () => {});
  t.teardown(() => socket.destroy());
  socket.pause();
  socket.write('GET / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n');
  return { run: await promise, socket, pages: () => pages };
}

/** Whether the body of a chunked response is a whole export. */
function isWhole(response: string): boolean {
  const check = new ExportCheck('ndjson');
  for (let at = response.indexOf('\r\n\r\n') + 4; ; ) {
    const start = response.indexOf('\r\n', at) + 2;
    const length = Number.parseInt(response.slice(at, start), 16);
    if (!(length > 0)) return length === 0 && check.end().ok;
    check.add(Buffer.from(response.slice(start, start + length), 'latin1'));
    at = start + length + 2;
  }
}

/** Resolves when no more pages were asked for in a while. */
async function standsStill({ pages }: Running): Promise<number> {
  let last = -1;
  await until('no more is read', async () => {
    const before = last;
    last = pages();
    await new Promise((resolve) => setTimeout(resolve, 100));
    return last > 0 && before === last;
  });
  return last;
}

test('no page is asked for before its client takes what there is', async (t) => {
  const running = await start(t, 100);
  const read = await standsStill(running);
  t.ok(read < 20, `${read} of 100 MiB were read for a client that takes nothing`);
  running.socket.resume();
  t.equal(await running.run.ended, 'complete');
  t.equal(running.pages(), 100);
});

test('a client that takes nothing for too long is ended', async (t) => {
  const { run, socket } = await start(t, 100, { pace: { bytes: MIB, ms: 300 } });
  const began = performance.now();
  t.equal(await run.ended, 'stalled');
  t.ok(performance.now() - began >= 250);
  let text = '';
  socket.on('data', (chunk: Buffer) => {
    text = (text + chunk.toString('latin1')).slice(-300);
  });
  await new Promise((resolve) => socket.resume().once('close', resolve));
  t.notMatch(text, '"end":true');
});

test('a client that takes nothing of the last bytes is ended as well', async (t) => {
  // All that there is fits into the buffers of this process, but not into those of the connection.
  const { run, pages } = await start(t, 1, { pace: { bytes: MIB, ms: 300 } }, [
    { ...eventAt(0), message: 'x'.repeat(16 * MIB) },
  ]);
  t.equal(await run.ended, 'stalled');
  t.equal(pages(), 1);
});

test('a client that takes little by little is not ended', async (t) => {
  const { run, socket } = await start(t, 20, { pace: { bytes: MIB, ms: 800 } });
  const began = performance.now();
  let took = 0;
  socket.on('data', (chunk: Buffer) => {
    took += chunk.length;
    // At some 8 MiB a second.
    socket.pause();
    setTimeout(() => socket.resume(), chunk.length / (8 * KIB));
  });
  socket.resume();
  t.equal(await run.ended, 'complete');
  t.ok(performance.now() - began > 1_000, 'it took longer than one may stand still');
  await until('all has come', () => took > 20 * MIB);
});

test('no page takes the place of one that has not left yet', async (t) => {
  // Small enough for several to wait in the buffers of this process.
  const running = await start(t, 400, {}, [eventAt(0, 'x'.repeat(40 * KIB))]);
  await standsStill(running);
  const ended = new Promise((resolve) => running.socket.once('end', resolve));
  const chunks: Buffer[] = [];
  running.socket.on('data', (chunk: Buffer) => chunks.push(chunk)).resume();
  await ended;
  t.ok(isWhole(Buffer.concat(chunks).toString('latin1')));
});

test('a client that takes too little is ended, though it takes something all the time', async (t) => {
  // 2 MiB a second, where 4 are asked for.
  const { run, socket } = await start(t, 20, { pace: { bytes: 4 * MIB, ms: 1_000 } });
  let took = 0;
  let waited = 0;
  let last = performance.now();
  socket.on('data', (chunk: Buffer) => {
    took += chunk.length;
    waited = Math.max(waited, performance.now() - last);
    last = performance.now();
    socket.pause();
    setTimeout(() => socket.resume(), chunk.length / (2 * KIB));
  });
  socket.resume();
  t.equal(await run.ended, 'stalled');
  t.ok(took > MIB, `it took ${Math.round(took / KIB)} KiB`);
  t.ok(waited < 500, `and something every ${Math.round(waited)} ms at the latest`);
});

test('a client that waits for us is not ended', async (t) => {
  // Three pages, each of which takes longer than a client may stand still.
  const { run, socket } = await start(t, 3, { pace: { bytes: MIB, ms: 100 }, pageMs: 300 });
  socket.resume();
  t.equal(await run.ended, 'complete');
});

test('when the token has expired no more is sent', async (t) => {
  const { run, socket, pages } = await start(t, 100, { expiresAt: Date.now() + 300 });
  await new Promise((resolve) => setTimeout(resolve, 350));
  socket.resume();
  t.equal(await run.ended, 'denied');
  t.ok(pages() < 20);
});

test('what is stopped ends with the first reason, and goes no further', async (t) => {
  for (const outcome of ['shutdown', 'denied', 'failed'] as const satisfies ExportOutcome[]) {
    const { run, pages } = await start(t, 100);
    await until('it has begun', () => pages() > 0);
    run.stop(outcome);
    run.stop('failed');
    t.throws(() => run.check());
    t.equal(await run.ended, outcome);
  }
});
