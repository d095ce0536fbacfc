import { Latencies } from '../stats.ts';
import { type Load, measure, within } from './closed.ts';
import { closeAll, connectAll, messageFrame } from './connect.ts';
import type { Orders, Slice } from './orders.ts';

const LAST_ANSWERS_MS = 10_000;

/** One message at a time to a room; the next when every member has it. */
export async function fanout({ target, members, ...window }: Orders['fanout'][0]): Promise<Slice> {
  const clients = await connectAll(target, members, () => 'one-room');
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const { promise: idle, resolve: becomeIdle } = Promise.withResolvers<void>();
  const sender = clients[0];
  if (sender === undefined) throw new Error('A room needs a member.');
  const frame = messageFrame(0);
  let delivered = 0;
  let missing = members;
  let sentAt = 0;
  let stopping = false;
  const send = (): void => {
    missing = members;
    sentAt = performance.now();
    sender.send(frame);
  };
  const load: Load = {
    start: send,
    stop: () => {
      stopping = true;
      return within(LAST_ANSWERS_MS, 'the last message to a room', idle);
    },
    count: () => delivered,
    latencies: new Latencies(),
    from: Number.POSITIVE_INFINITY,
    failed,
  };
  for (const client of clients) {
    client.onMessage = () => {
      delivered += 1;
      missing -= 1;
      if (missing > 0) return;
      if (sentAt >= load.from) load.latencies.add(performance.now() - sentAt);
      if (stopping) becomeIdle();
      else send();
    };
    client.onError = (text) => fail(new Error(`a message was refused: ${text}`));
    client.onEnd = (code) => stopping || fail(new Error(`the server closed a connection (${code})`));
  }
  try {
    return await measure(load, window);
  } finally {
    stopping = true;
    await closeAll(clients);
  }
}
