import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { ServerFrame } from '../../src/core/frame-schemas.ts';
import type { Stage } from './stage.ts';

const EVERY_MS = 500;
/** Promise 2: an answer within 5 s. */
const PATIENCE_MS = 5_000;

/** Somebody who behaves, and must be served all the while. */
export type Guest = {
  /** What was acknowledged, by seq. */
  acknowledged: Map<number, string>;
  /** The longest wait for an acknowledgement, in milliseconds. */
  longestMs: () => number;
  leave: () => Promise<void>;
};

/** Says something twice a second, and asks whether the server is live and ready. */
export async function invite({ url, chat, tally }: Stage): Promise<Guest> {
  const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?room=guests`, {
    headers: { authorization: await chat('guest') },
    // An address that nobody else takes anything of.
    localAddress: '127.0.0.2',
  });
  const acknowledged = new Map<number, string>();
  const waiting = new Map<string, (seq: number | null) => void>();
  let longest = 0;
  socket.on('message', (data: Buffer) => {
    const frame = JSON.parse(data.toString()) as ServerFrame;
    if (frame.type === 'ack') waiting.get(frame.ref)?.(frame.seq);
    if (frame.type === 'error') tally.fault(`the guest was refused: ${frame.code}`);
  });
  socket.on('error', (error) => tally.fault(`the guest’s connection: ${error.message}`));
  await once(socket, 'open');

  async function speak(text: string): Promise<void> {
    const startedAt = performance.now();
    const answer = new Promise<number | null>((resolve) => waiting.set(text, resolve));
    socket.send(JSON.stringify({ type: 'message', text, ref: text }));
    const seq = await Promise.race([answer, delay(PATIENCE_MS, undefined, { ref: false })]);
    waiting.delete(text);
    longest = Math.max(longest, performance.now() - startedAt);
    if (seq === undefined || seq === null) tally.fault('the guest was not answered in time');
    else acknowledged.set(seq, text);
  }

  const leaving = new AbortController();
  const talking = (async () => {
    for (let n = 0; !leaving.signal.aborted; n += 1) {
      await speak(`guest ${n}`);
      for (const path of ['/health/live', '/health/ready']) {
        const answer = await fetch(url + path, { signal: AbortSignal.timeout(PATIENCE_MS) }).catch(
          () => undefined,
        );
        await answer?.arrayBuffer();
        if (answer?.status !== 200) tally.fault(`${path}: ${answer?.status ?? 'no answer'}`);
      }
      await delay(EVERY_MS, undefined, { signal: leaving.signal }).catch(() => {});
    }
  })();
  return {
    acknowledged,
    longestMs: () => longest,
    leave: async () => {
      leaving.abort();
      await talking;
      if (socket.readyState !== WebSocket.OPEN) tally.fault('the guest was thrown out');
      socket.terminate();
    },
  };
}
