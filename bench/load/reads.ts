import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { within } from './closed.ts';
import { tokenFor, userOf } from './connect.ts';
import type { Answers, Reading } from './orders.ts';

/** What an auditor asks for; all of them are pages of the newest events. */
const PATHS = [
  '/audit',
  `/audit?user_id=${userOf(0)}`,
  '/audit?action=MESSAGE_SENT',
  '/audit?room=own-1',
  `/audit?user_id=${userOf(1)}&action=MESSAGE_SENT&from=-5m`,
];
const MINUTE_MS = 60_000;
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

/** Reads in the background, until it is told to stop. */
export type Reader = { stop: () => Promise<Answers> };

/** One auditor, who asks for the next page when the last has come, so often at most, and waits when told to. */
function readPages(port: number, token: string, everyMs: number): Reader {
  const answers: Answers = {};
  const ending = new AbortController();
  const { signal } = ending;
  async function read(): Promise<void> {
    for (let number = 0; !signal.aborted; number += 1) {
      const next = performance.now() + everyMs;
      const response = await fetch(`http://127.0.0.1:${port}${PATHS[number % PATHS.length]}`, {
        headers: { authorization: `Bearer ${token}` },
      });
      await response.arrayBuffer();
      answers[response.status] = (answers[response.status] ?? 0) + 1;
      const seconds = Number(response.headers.get('retry-after') ?? 0);
      const wait = Math.max(seconds * 1_000, next - performance.now());
      if (wait > 0) await delay(wait, undefined, { signal }).catch(() => {});
    }
  }
  const over = read();
  over.catch(() => {});
  return {
    stop: async () => {
      ending.abort();
      await over;
      return answers;
    },
  };
}

/** Reads that are refused, at a fixed rate. @param quota of the reader, which is used up first */
async function readInVain(port: number, token: string, rate: number, quota: number): Promise<Reader> {
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

/** Begins to read; resolves when it does. */
export async function startReading({ target, user, kind, rate, quota }: Reading): Promise<Reader> {
  const port = target.ports[0] ?? 0;
  const secret = target.secret ?? '';
  const token = await tokenFor(user, kind === 'denied' ? `not ${secret}` : secret, 'audit:read');
  if (kind === 'pages' || kind === 'burst') {
    return readPages(port, token, kind === 'burst' ? 0 : MINUTE_MS / quota);
  }
  return readInVain(port, token, rate, kind === 'limited' ? quota : 0);
}
