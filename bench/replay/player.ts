import type { IncomingMessage } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'ws';
import type { Step } from './plan.ts';

/** What became of the steps so far; shared by all users. */
export type Tally = {
  sent: number;
  acknowledged: number;
  refused: number;
  /** How often a step was told `rate_limited` and sent again. */
  waited: number;
  /** Milliseconds from the sending of a step to its acknowledgement. */
  latencies: number[];
  /** Refusal codes and how often each came; `connection lost` among them. */
  reasons: Map<string, number>;
};

export type PlayerOptions = {
  url: string;
  room: string;
  /** For a server with a key. */
  token: string | undefined;
  tally: Tally;
  /** Milliseconds to wait until a step of this time is due. */
  untilDue: (at: number) => number;
};

/** The part of the server's frames that is looked at. */
type Answer = { type: string; ref?: string; code?: string };

const MAX_WAIT_MS = 1_000;
const OPEN_ATTEMPTS = 50;

/** A handshake that was refused, with what the server says about trying again, in milliseconds. */
class Refused extends Error {
  readonly retryMs: number | undefined;
  readonly isForNow: boolean;

  constructor({ statusCode, headers }: IncomingMessage) {
    super(`refused with ${statusCode}`);
    this.isForNow = statusCode === 429 || statusCode === 503;
    const seconds = headers['retry-after'];
    this.retryMs = seconds === undefined ? undefined : 1_000 * Number(seconds);
  }
}

/**
 * A server that is busy or not ready says 429 or 503, and when to ask again: the users of a whole chat come from one
 * address here, and all at once.
 */
async function openPatiently(user: string, options: PlayerOptions): Promise<WebSocket> {
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await open(user, options);
    } catch (error) {
      if (!(error instanceof Refused) || !error.isForNow || attempt === OPEN_ATTEMPTS) throw error;
      options.tally.waited += 1;
      await delay(error.retryMs ?? Math.min(MAX_WAIT_MS, 50 * 2 ** attempt));
    }
  }
}

function open(user: string, { url, token }: PlayerOptions): Promise<WebSocket> {
  const address = new URL(url);
  if (token === undefined) address.searchParams.set('user', user);
  address.searchParams.set('room', '');
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` };
  const socket = new WebSocket(address, { headers, perMessageDeflate: false });
  return new Promise((resolve, reject) => {
    socket.once('error', reject);
    socket.once('close', () => reject(new Error('closed before the welcome')));
    socket.once('unexpected-response', (request, response) => {
      reject(new Refused(response));
      request.destroy();
    });
    socket.once('message', (data: Buffer) => {
      const { type, code } = JSON.parse(data.toString()) as Answer;
      // The welcome means that the session is on record; nothing else comes first but an error.
      if (type !== 'welcome') reject(new Error(code ?? type));
      else resolve(socket);
      socket.on('error', () => {});
    });
  });
}

function count(tally: Tally, reason: string): void {
  tally.refused += 1;
  tally.reasons.set(reason, (tally.reasons.get(reason) ?? 0) + 1);
}

/** Plays one user over a session of their own, a step at a time, so that the file's order is kept. */
export async function play(user: string, steps: readonly Step[], options: PlayerOptions): Promise<void> {
  const { tally, room, untilDue } = options;
  const first = steps[0];
  if (first === undefined) return;
  await delay(Math.max(0, untilDue(first.at)));
  let socket: WebSocket;
  try {
    socket = await openPatiently(user, options);
  } catch (error) {
    for (const _ of steps) count(tally, `not connected: ${(error as Error).message}`);
    return;
  }

  /** Told the code of the refusal, or undefined for an acknowledgement. */
  let answer: (code: string | undefined) => void = () => {};
  let expected = '';
  socket.on('message', (data: Buffer) => {
    // Most frames are what others said; only answers carry a label.
    if (!data.includes('"ref"')) return;
    const frame = JSON.parse(data.toString()) as Answer;
    if (frame.ref !== expected) return;
    if (frame.type === 'ack') answer(undefined);
    // Unknown is not an answer yet; the truth follows under the same ref.
    if (frame.type === 'error' && frame.code !== 'outcome_unknown') answer(frame.code);
  });
  socket.on('close', () => answer('connection lost'));

  const ask = (step: Step, ref: string): Promise<string | undefined> =>
    new Promise((resolve) => {
      expected = ref;
      answer = resolve;
      if (socket.readyState !== WebSocket.OPEN) return resolve('connection lost');
      socket.send(
        JSON.stringify({
          type: step.kind,
          room,
          ref,
          ...(step.kind === 'message' ? { text: step.text } : {}),
        }),
      );
    });

  for (const [index, step] of steps.entries()) {
    await delay(Math.max(0, untilDue(step.at)));
    const sentAt = performance.now();
    tally.sent += 1;
    for (let wait = 20; ; wait = Math.min(wait * 2, MAX_WAIT_MS)) {
      const code = await ask(step, String(index));
      if (code === 'rate_limited') {
        tally.waited += 1;
        await delay(wait);
        continue;
      }
      if (code === undefined) {
        tally.acknowledged += 1;
        tally.latencies.push(performance.now() - sentAt);
      } else count(tally, code);
      break;
    }
  }
  const closed = new Promise((resolve) => socket.once('close', resolve));
  if (socket.readyState === WebSocket.OPEN) {
    socket.close(1000);
    await closed;
  }
}
