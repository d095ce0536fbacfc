import { connect, type Socket } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { within } from './closed.ts';
import type { Answers, Reader, RefusedKind } from './orders.ts';

const SOCKETS = 64;
/** Beyond, the server is behind, and no more is sent until it has caught up or its connections were given up. */
const MAX_UNANSWERED = 2_000;
/** A connection that owes an answer for so long is given up for a new one. */
const PATIENCE_MS = 200;
const TICK_MS = 5;
const ANSWER_MS = 10_000;
const STATUS = /HTTP\/1\.1 (\d{3})/g;
/** It may come in two pieces; so much of it was not counted yet. */
const MOST_OF_STATUS = 'HTTP/1.1 200'.length - 1;
/** Each comes from an address of its own, of this machine, so that none finds what another one left behind. */
const addresses: Record<RefusedKind, string> = {
  limited: '127.0.0.2',
  denied: '127.0.0.3',
  hasty: '127.0.0.4',
};

/** How often one thing is asked for, and what came of it: answers by status, `asked`, and `cut` what had none. */
class Counts {
  readonly answers: Answers = { asked: 0 };
  #unanswered = 0;

  get unanswered(): number {
    return this.#unanswered;
  }

  asked(): void {
    this.answers.asked = (this.answers.asked ?? 0) + 1;
    this.#unanswered += 1;
  }

  answered(status: string, count = 1): void {
    this.answers[status] = (this.answers[status] ?? 0) + count;
    this.#unanswered -= count;
  }
}

/** A connection that asks without waiting for answers. */
class Line {
  readonly #socket: Socket;
  readonly #counts: Counts;
  #unanswered = 0;
  #owesSince = 0;
  #rest = '';
  isOver = false;

  constructor(socket: Socket, counts: Counts) {
    this.#socket = socket;
    this.#counts = counts;
    socket.on('error', () => {});
    socket.on('data', (chunk: Buffer) => this.#read(chunk));
    socket.once('close', () => this.end());
  }

  /** Whether it has kept its sender waiting for too long. */
  isSlow(now: number): boolean {
    return this.#unanswered > 0 && now - this.#owesSince > PATIENCE_MS;
  }

  ask(bytes: Buffer, now: number): void {
    if (this.#unanswered === 0) this.#owesSince = now;
    this.#unanswered += 1;
    this.#counts.asked();
    this.#socket.write(bytes);
  }

  end(): void {
    this.isOver = true;
    this.#socket.destroy();
    if (this.#unanswered > 0) this.#counts.answered('cut', this.#unanswered);
    this.#unanswered = 0;
  }

  #read(chunk: Buffer): void {
    const text = this.#rest + chunk.toString('latin1');
    for (const [, status = ''] of text.matchAll(STATUS)) {
      this.#unanswered -= 1;
      this.#owesSince = performance.now();
      this.#counts.answered(status);
    }
    this.#rest = text.slice(-MOST_OF_STATUS);
  }
}

type Source = { port: number; localAddress: string };

const requestOf = (port: number, path: string, token: string): Buffer =>
  Buffer.from(`GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${port}\r\nAuthorization: Bearer ${token}\r\n\r\n`);

const open = (source: Source): Socket => connect({ ...source, host: '127.0.0.1', noDelay: true });

/** Sends the same request over and over, on new connections where old ones were closed or do not answer. */
class Flood {
  readonly counts = new Counts();
  readonly #source: Source;
  readonly #bytes: Buffer;
  readonly #lines: Line[] = [];
  #next = 0;

  constructor(source: Source, bytes: Buffer) {
    this.#source = source;
    this.#bytes = bytes;
  }

  send(count: number): void {
    const now = performance.now();
    for (const line of this.#lines) if (line.isSlow(now)) line.end();
    for (let number = 0; number < count && this.counts.unanswered < MAX_UNANSWERED; number += 1) {
      this.#lineAt(this.#next % SOCKETS).ask(this.#bytes, now);
      this.#next += 1;
    }
  }

  async allAnswered(): Promise<void> {
    while (this.counts.unanswered > 0) await delay(TICK_MS);
  }

  end(): void {
    for (const line of this.#lines) line.end();
  }

  #lineAt(index: number): Line {
    const known = this.#lines[index];
    if (known !== undefined && !known.isOver) return known;
    const line = new Line(open(this.#source), this.counts);
    this.#lines[index] = line;
    return line;
  }
}

/** Opens a connection for each request, and is gone before it could be answered. */
class Hasty {
  readonly counts = new Counts();
  readonly #source: Source;
  readonly #bytes: Buffer;

  constructor(source: Source, bytes: Buffer) {
    this.#source = source;
    this.#bytes = bytes;
  }

  send(count: number): void {
    for (let number = 0; number < count && this.counts.unanswered < MAX_UNANSWERED; number += 1) {
      const socket = open(this.#source);
      this.counts.asked();
      socket.on('error', () => {});
      socket.once('close', () => this.counts.answered('cut'));
      socket.write(this.#bytes, () => socket.destroy());
    }
  }

  end(): void {}
}

/** Reads that are refused, at a fixed rate, as far as the server takes them. @param quota of the reader, which is used up first */
export async function readInVain(
  kind: RefusedKind,
  port: number,
  token: string,
  rate: number,
  quota: number,
): Promise<Reader> {
  const source = { port, localAddress: addresses[kind] };
  if (kind === 'limited') {
    // Those that say nothing about the log, so that they cost little.
    const first = new Flood(source, requestOf(port, '/audit/actions', token));
    first.send(quota);
    await within(ANSWER_MS, 'the reads that use a quota up', first.allAnswered());
    first.end();
  }
  const bytes = requestOf(port, '/audit', token);
  const flood = kind === 'hasty' ? new Hasty(source, bytes) : new Flood(source, bytes);
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
      flood.end();
      return flood.counts.answers;
    },
  };
}
