import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { within } from './closed.ts';
import type { Answers, Reader } from './orders.ts';

const SOCKETS = 4;
/** Beyond, the server is behind, and no more is sent until it has caught up. */
const MAX_UNANSWERED = 2_000;
const TICK_MS = 5;
const ANSWER_MS = 10_000;
const STATUS = /HTTP\/1\.1 (\d{3})/g;
/** It may come in two pieces; so much of it was not counted yet. */
const MOST_OF_STATUS = 'HTTP/1.1 200'.length - 1;

/** Sends the same request over and over, without waiting for answers, and counts them by their status. */
class Flood {
  readonly answers: Answers = {};
  readonly #sockets: Socket[];
  readonly #bytes: Buffer;
  #sent = 0;
  #answered = 0;

  constructor(port: number, path: string, token: string) {
    this.#bytes = Buffer.from(
      `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n\r\n`,
    );
    this.#sockets = Array.from({ length: SOCKETS }, () => {
      const socket = connect({ port, host: '127.0.0.1', noDelay: true });
      let rest = '';
      socket.on('error', () => {});
      socket.on('data', (chunk: Buffer) => {
        const text = rest + chunk.toString('latin1');
        for (const [, status = ''] of text.matchAll(STATUS)) this.#count(status);
        rest = text.slice(-MOST_OF_STATUS);
      });
      return socket;
    });
  }

  get unanswered(): number {
    return this.#sent - this.#answered;
  }

  send(count: number): void {
    for (let number = 0; number < count && this.unanswered < MAX_UNANSWERED; number += 1) {
      this.#sockets[this.#sent % SOCKETS]?.write(this.#bytes);
      this.#sent += 1;
    }
  }

  async allAnswered(): Promise<void> {
    while (this.unanswered > 0) await delay(TICK_MS);
  }

  end(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  #count(status: string): void {
    this.#answered += 1;
    this.answers[status] = (this.answers[status] ?? 0) + 1;
  }
}

/** Reads that are refused, at a fixed rate. @param quota of the reader, which is used up first */
export async function readInVain(port: number, token: string, rate: number, quota: number): Promise<Reader> {
  const flood = new Flood(port, '/audit', token);
  if (quota > 0) {
    // Those that say nothing about the log, so that they cost little.
    const first = new Flood(port, '/audit/actions', token);
    first.send(quota);
    await within(ANSWER_MS, 'the reads that use a quota up', first.allAnswered());
    first.end();
  }
  const startedAt = performance.now();
  let due = 0;
  const timer = setInterval(() => {
    const now = Math.floor(((performance.now() - startedAt) / 1_000) * rate);
    flood.send(now - due);
    due = now;
  }, TICK_MS);
  return {
    stop: async () => {
      clearInterval(timer);
      await within(ANSWER_MS, 'the last refused reads', flood.allAnswered());
      flood.end();
      return flood.answers;
    },
  };
}
