import { setTimeout as delay } from 'node:timers/promises';
import { readUsage, usedBetween } from '../cpu.ts';
import { Latencies } from '../stats.ts';
import { closeAll, connectAll, messageFrame, userOf } from './connect.ts';
import type { ClosedSlice, Orders, Slice, Window } from './orders.ts';

/** How long the last answers may take. */
const LAST_ANSWERS_MS = 10_000;

/** What a load does from its beginning to its end, and what is counted of it. */
export type Load = {
  start: () => void;
  /** No more is sent; resolves when all that was sent is answered. */
  stop: () => Promise<void>;
  /** Counts of now; `latencies` is changed for a new one when the measurement begins. */
  count: () => number;
  latencies: Latencies;
  /** Only what was sent after this time, in milliseconds, is added to the latencies. */
  from: number;
  /** Rejects when the load cannot go on. */
  failed: Promise<never>;
};

export const nowUs = (): number => Number(process.hrtime.bigint() / 1_000n);

/** Runs a load, and measures from after the warm-up on. */
export async function measure(load: Load, { warmMs, ms, watched }: Window): Promise<Slice> {
  load.from = Number.POSITIVE_INFINITY;
  load.start();
  await Promise.race([delay(warmMs), load.failed]);
  const before = readUsage(watched);
  const count = load.count();
  const fromUs = nowUs();
  const from = performance.now();
  load.from = from;
  await Promise.race([delay(ms), load.failed]);
  const to = performance.now();
  load.from = Number.POSITIVE_INFINITY;
  const messages = load.count() - count;
  const used = usedBetween(before, readUsage(watched));
  await Promise.race([load.stop(), load.failed]);
  const seconds = (to - from) / 1_000;
  return {
    window: { fromUs, toUs: fromUs + seconds * 1e6 },
    seconds,
    messages,
    latency: load.latencies.summary(),
    used,
  };
}

/** A promise of something that must not take longer. */
export async function within<T>(ms: number, what: string, promise: Promise<T>): Promise<T> {
  const timer = new AbortController();
  const late = delay(ms, undefined, { signal: timer.signal }).then(() => {
    throw new Error(`${what}: no answer within ${ms / 1_000} s`);
  });
  late.catch(() => {});
  try {
    return await Promise.race([promise, late]);
  } finally {
    timer.abort();
  }
}

/** Tells whether a `message` frame of Minutebook is of this user. */
export function sentBy(user: string): (bytes: Uint8Array, start: number, end: number) => boolean {
  const mark = Buffer.from(`"user_id":${JSON.stringify(user)}`);
  return (bytes, start, end) =>
    Buffer.from(bytes.buffer, bytes.byteOffset + start, end - start).includes(mark);
}

/** Closed loop: each connection sends its next message when it has got its last. */
export async function closed({
  target,
  connections,
  rooms = connections,
  ...window
}: Orders['closed'][0]): Promise<ClosedSlice> {
  // Neighbours in one room, so that its members are spread over all processes.
  const roomOf = (index: number): string => `own-${Math.floor((index * rooms) / connections)}`;
  const clients = await connectAll(target, connections, roomOf);
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const { promise: idle, resolve: becomeIdle } = Promise.withResolvers<void>();
  let answered = 0;
  let deliveries = 0;
  let waiting = connections;
  let stopping = false;
  const starts: (() => void)[] = [];
  const load: Load = {
    start: () => {
      for (const start of starts) start();
    },
    stop: () => {
      stopping = true;
      return within(LAST_ANSWERS_MS, 'the last messages of a closed loop', idle);
    },
    count: () => answered,
    latencies: new Latencies(),
    from: Number.POSITIVE_INFINITY,
    failed,
  };
  for (const [index, client] of clients.entries()) {
    const frame = messageFrame(index);
    const isOwn = rooms < connections ? sentBy(userOf(index)) : () => true;
    let sentAt = 0;
    starts.push(() => {
      sentAt = performance.now();
      client.send(frame);
    });
    client.onMessage = (bytes, start, end) => {
      if (!isOwn(bytes, start, end)) {
        if (load.from < Number.POSITIVE_INFINITY) deliveries += 1;
        return;
      }
      const now = performance.now();
      answered += 1;
      if (sentAt >= load.from) load.latencies.add(now - sentAt);
      if (stopping) {
        waiting -= 1;
        if (waiting === 0) becomeIdle();
        return;
      }
      sentAt = now;
      client.send(frame);
    };
    client.onError = (text) => fail(new Error(`a message was refused: ${text}`));
    client.onEnd = (code) => stopping || fail(new Error(`the server closed a connection (${code})`));
  }
  try {
    const slice = await measure(load, window);
    return { ...slice, deliveries };
  } finally {
    stopping = true;
    await closeAll(clients);
  }
}
