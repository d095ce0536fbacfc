import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Test, test } from 'tap';
import { measureByTurns } from '../../bench/read/measure.ts';
import { Reader } from '../../bench/read/reader.ts';
import { SECRET } from '../support/app.ts';

/** Stands for the server of a log: tells who was asked, and answers with a status. */
async function open(t: Test, name: string, told: string[], status = () => 200) {
  const server = createServer((request, response) => {
    told.push(`${name} ${request.url}`);
    response.statusCode = status();
    response.end(JSON.stringify({ code: 'too_slow', data: [1, 2] }));
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const reader = await Reader.open((server.address() as AddressInfo).port, SECRET, 'admin');
  t.teardown(() => {
    reader.close();
    server.close();
  });
  return { reader, path: `/${name}` };
}

test('logs are asked by turns, request by request', async (t) => {
  const told: string[] = [];
  const all = [await open(t, 'short', told), await open(t, 'middle', told), await open(t, 'long', told)];
  const readings = await measureByTurns(all, { requests: 12, seconds: 60 });
  const round = ['short /short', 'middle /middle', 'long /long'];
  const rounds = 2 + 12;
  t.strictSame(told, Array.from({ length: rounds }, () => round).flat());
  t.strictSame(
    readings.map(([asked]) => asked),
    all,
  );
  for (const [{ reader }, { latency, rows, tooSlow }] of readings) {
    t.equal(reader.sent, rounds, 'those that are not counted are sent as well');
    t.strictSame([latency.count, rows, tooSlow], [12, 2, 0]);
  }
});

test('all logs are asked as often as each other, however little time there is', async (t) => {
  const told: string[] = [];
  const all = [await open(t, 'short', told), await open(t, 'long', told, () => 503)];
  const readings = await measureByTurns(all, { requests: 100, seconds: 0 });
  t.strictSame(
    readings.map(([, { latency, tooSlow }]) => [latency.count, tooSlow]),
    [
      [10, 0],
      [10, 10],
    ],
  );
});

test('an answer that is neither a page nor too_slow ends it', async (t) => {
  const asked = await open(t, 'long', [], () => 404);
  await t.rejects(measureByTurns([asked], { requests: 1, seconds: 1 }), {
    message: /^GET \/long answered 404/,
  });
});
