import { setTimeout as delay } from 'node:timers/promises';
import { readUsage, usedBetween } from '../cpu.ts';
import { Latencies } from '../stats.ts';
import { nowUs } from './closed.ts';
import { closeAll, connectAll, messageFrame } from './connect.ts';
import type { OpenSlice, Orders } from './orders.ts';
import { Schedule } from './schedule.ts';

/** Open loop: messages at fixed times, in turn over the connections; the server answers each in order. */
export async function open({
  target,
  connections,
  rate,
  graceMs,
  warmMs,
  ms,
  watched,
}: Orders['open'][0]): Promise<OpenSlice> {
  const clients = await connectAll(target, connections, (index) => `own-${index}`);
  const { promise: failed, reject: fail } = Promise.withResolvers<never>();
  failed.catch(() => {});
  const latencies = new Latencies();
  const late = new Latencies();
  /** The intended times of what is not answered yet, by connection. */
  const pending: number[][] = clients.map(() => []);
  const frames = clients.map((_, index) => messageFrame(index));
  const begin = performance.now() + 10;
  const from = begin + warmMs;
  const to = from + ms;
  const counts = (dueAt: number): boolean => dueAt >= from && dueAt < to;
  let answeredInWindow = 0;
  let refused = 0;
  let waiting = 0;
  let stopping = false;

  const take = (index: number): number => {
    waiting -= 1;
    return pending[index]?.shift() ?? Number.NaN;
  };
  for (const [index, client] of clients.entries()) {
    client.onMessage = () => {
      const now = performance.now();
      const dueAt = take(index);
      if (now >= from && now < to) answeredInWindow += 1;
      if (counts(dueAt)) latencies.add(now - dueAt);
    };
    client.onError = () => {
      if (counts(take(index))) refused += 1;
    };
    client.onEnd = (code) => stopping || fail(new Error(`the server closed a connection (${code})`));
  }

  const schedule = new Schedule(begin, rate, connections);
  const sendUntil = async (end: number): Promise<void> => {
    for (let now = performance.now(); ; now = performance.now()) {
      schedule.takeDue(Math.min(now, end - 1e-9), (index, dueAt) => {
        pending[index]?.push(dueAt);
        waiting += 1;
        clients[index]?.send(frames[index] as Buffer);
        if (counts(dueAt)) late.add(now - dueAt);
      });
      if (now >= end) return;
      // The timers of Node are good to a millisecond; how late that makes a message is told.
      await delay(Math.max(0, Math.min(schedule.dueAt, end) - now));
    }
  };

  const run = async (): Promise<OpenSlice> => {
    await sendUntil(from);
    const before = readUsage(watched);
    const fromUs = nowUs();
    await sendUntil(to);
    const seconds = (performance.now() - from) / 1_000;
    const used = usedBetween(before, readUsage(watched));
    const messages = answeredInWindow;
    const graceEnd = to + graceMs;
    while (waiting > 0 && performance.now() < graceEnd) await delay(5);
    const now = performance.now();
    const left = pending.flat().filter(counts);
    for (const dueAt of left) latencies.add(now - dueAt);
    return {
      window: { fromUs, toUs: fromUs + seconds * 1e6 },
      seconds,
      messages,
      latency: latencies.summary(),
      used,
      offered: rate,
      unanswered: left.length,
      refused,
      late: late.summary(),
    };
  };
  try {
    return await Promise.race([run(), failed]);
  } finally {
    stopping = true;
    await closeAll(clients);
  }
}
