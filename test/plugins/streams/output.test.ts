import { once } from 'node:events';
import { createServer, get, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { type Test, test } from 'tap';
import { Output } from '../../../plugins/streams/output.ts';
import { Joiner, Rounds } from '../../../plugins/streams/rounds.ts';
import { until } from '../../support/client.ts';

const KIB = 1024;

/** An output over a real connection, and its far end, which does not read until told to. */
async function connected(t: Test) {
  const server = createServer().listen(0, '127.0.0.1');
  t.teardown(() => server.close().closeAllConnections());
  await once(server, 'listening');
  const request = get({ host: '127.0.0.1', port: (server.address() as AddressInfo).port });
  const [, response] = (await once(server, 'request')) as [IncomingMessage, ServerResponse];
  response.flushHeaders();
  const [answer] = (await once(request, 'response')) as [IncomingMessage];
  answer.pause();
  const budget = {
    left: true,
    spent: 0,
    owner: 'alice',
    isLeft: () => budget.left,
    spend: (bytes: number) => {
      budget.spent += bytes;
    },
  };
  const output = new Output(response, {
    rounds: new Rounds(),
    joiner: new Joiner(),
    budget,
    onClosed: () => {},
    onStuck: () => t.fail('it is not stuck'),
  });
  return { answer, budget, output };
}

test('there is room until 64 KiB have gathered, and again when they have left', async (t) => {
  const { answer, budget, output } = await connected(t);
  let taken = 0;
  answer.on('data', ({ length }: Buffer) => {
    taken += length;
  });
  answer.resume();
  budget.left = false;
  output.write(Buffer.alloc(63 * KIB));
  t.equal(output.room, undefined);
  output.write(Buffer.alloc(KIB));
  t.not(output.room, undefined);
  t.equal(output.queued, 64 * KIB);
  budget.left = true;
  await output.room;
  t.equal(output.room, undefined);
  await until('all have come', () => taken === 64 * KIB);
  t.equal(output.queued, 0);
  output.write(Buffer.alloc(KIB));
  t.equal(output.room, undefined);
  await until('so has what is little', () => taken === 65 * KIB);
  budget.left = false;
  output.write(Buffer.alloc(2 * KIB));
  output.end();
  await until('so has what came last, at the end', () => taken === 67 * KIB);
  t.equal(budget.spent, 67 * KIB, 'all of it is counted');
});

test('there is no room while the reader does not take what has left', async (t) => {
  const { answer, output } = await connected(t);
  // More than the sockets on the way hold.
  const block = Buffer.alloc(1024 * KIB);
  for (let n = 0; n < 32 && (output.queued === 0 || n < 8); n += 1) {
    output.write(block);
    await new Promise((resolve) => setImmediate(resolve));
  }
  await until('it waits for the reader', () => output.queued > 64 * KIB);
  let hasRoom = false;
  void output.room?.then(() => {
    hasRoom = true;
  });
  output.write(Buffer.alloc(KIB));
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.notOk(hasRoom, 'a round makes none');
  answer.resume();
  await until('it has read', () => hasRoom);
  t.equal(output.room, undefined);
});
