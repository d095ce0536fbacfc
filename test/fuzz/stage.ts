import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../bench/seed/random.ts';
import { closeOf, OPCODES } from '../support/frame-bytes.ts';
import { handshakeOf, RawClient } from '../support/raw-client.ts';
import type { Tally } from './tally.ts';

/** What all actors share. */
export type Stage = {
  url: string;
  tally: Tally;
  /** Authorization for a chat user, for one of a few auditors, and for an administrator. */
  chat: (user: string) => Promise<string>;
  auditor: (random: Random) => string;
  administrator: string;
  /** Keeps a connection open for so long, beside whatever else goes on. */
  hold: (client: RawClient, ms: number) => void;
};

/** One short piece of traffic. It ends by itself, and leaves nothing open that is not held. */
export type Actor = (stage: Stage, random: Random) => Promise<void>;

const USERS = 20;
const ADDRESSES = 8;
/**
 * What is broken comes from one of these, so that its refusals are answered at once; some of it from the first of the
 * others, which meets the limit on them.
 */
const BROKEN_ADDRESSES = 200;
/** How long an answer to something broken is waited for: it may rightly not come. */
export const PATIENCE_MS = 300;

/** One of several, the first as often as all others together: so that this one meets limits that the others do not. */
export const unevenly = (random: Random, count: number): number =>
  random.chance(0.5) ? 0 : random.below(count);

/** Somebody who chats; whom administrators may kick and ban. */
export const userOf = (random: Random): string => `fuzz-${unevenly(random, USERS)}`;

/** A connection from one of a few addresses of this machine. */
export const dial = (url: string, random: Random): RawClient =>
  new RawClient(url, undefined, `127.0.0.${10 + unevenly(random, ADDRESSES)}`);

/** A connection for something broken, to which the answer may rightly not come. */
export const dialBroken = (url: string, random: Random): RawClient =>
  new RawClient(
    url,
    PATIENCE_MS,
    random.chance(0.1) ? '127.0.0.10' : `127.0.1.${1 + random.below(BROKEN_ADDRESSES)}`,
  );

/** What a good handshake may be refused with: a limit, or a ban. */
const refusals = new Set(['429 rate_limited', '403 banned']);

/** Opens a session with a good handshake; undefined when it was rightly refused. */
export async function open(stage: Stage, random: Random): Promise<RawClient | undefined> {
  const { url, chat, tally } = stage;
  const client = dial(url, random);
  const headers = { Authorization: await chat(userOf(random)) };
  const path = random.chance(0.7) ? '/ws' : `/ws?room=${random.pick(['', 'lobby', 'trading', 'r%C3%A9'])}`;
  await client.write(handshakeOf(url, headers, { path }));
  return (await isOpen(client, tally)) ? client : undefined;
}

/** Whether a good handshake has made a WebSocket of a connection; else it is over. */
export async function isOpen(client: RawClient, tally: Tally): Promise<boolean> {
  try {
    const { status, body } = await client.answer();
    if (status === 101) return true;
    const { code } = JSON.parse(body) as { code: string };
    tally.add('no session', `${status} ${code}`);
    if (!refusals.has(`${status} ${code}`)) tally.fault(`a good handshake was answered ${status} ${code}`);
  } catch (error) {
    tally.fault(`a good handshake: ${(error as Error).message}`);
  }
  client.reset();
  return false;
}

/** Reads frames and counts them until a close frame, the end, or silence. */
export async function listen(client: RawClient, tally: Tally): Promise<void> {
  const silence = AbortSignal.timeout(PATIENCE_MS);
  while (!silence.aborted) {
    const frame = client.takeFrame();
    if (frame === undefined) {
      if (client.ended) return;
      await delay(5);
    } else if (frame.opcode === OPCODES.close) {
      tally.add('close', frame.payload.length === 0 ? 1005 : frame.payload.readUInt16BE(0));
      return;
    } else if (frame.opcode === OPCODES.text) {
      const { type, code } = JSON.parse(frame.payload.toString()) as { type: string; code?: string };
      tally.add('frame', code ?? type);
      if (code === 'internal') tally.fault('a frame was answered “internal”');
    } else tally.add('frame', frame.opcode === OPCODES.pong ? 'pong' : `opcode ${frame.opcode}`);
  }
}

/** Ends a connection in one of the ways in which connections end. */
export async function leave(client: RawClient, random: Random): Promise<void> {
  switch (random.below(4)) {
    case 0:
      await client.write(closeOf(random.pick([1000, 1001, 3000, 4999])));
      await Promise.race([client.end(), delay(PATIENCE_MS)]);
      break;
    case 1:
      client.socket.end();
      await Promise.race([client.end(), delay(PATIENCE_MS)]);
      break;
    case 2:
      client.reset();
      return;
    default:
  }
  client.socket.destroy();
}

/** The 503s that say no more than that there is much to do, or much of the log. */
const busy = new Set(['overloaded', 'too_slow']);

type HowToRead = { hasBody?: boolean; isFirst?: boolean };

/** What the answer to bytes of HTTP is, if there is one. */
export async function countAnswer(
  client: RawClient,
  kind: string,
  tally: Tally,
  { hasBody = true, isFirst = true }: HowToRead = {},
): Promise<void> {
  try {
    const { status, head, body } = await client.answer(hasBody);
    // Where answers begin after the first is a guess: an odd header may have made two requests of one, or one of two.
    if (!isFirst && !head.startsWith('HTTP/1.1 ')) {
      tally.add(kind, 'out of step');
      client.reset();
      return;
    }
    const isProblem = status >= 400 && body.startsWith('{');
    const code = isProblem ? (JSON.parse(body) as { code: string }).code : '';
    tally.add(kind, `${status} ${code}`.trim());
    if ((status >= 500 && !busy.has(code)) || !(status >= 100))
      tally.fault(`${kind}: ${status} ${body.slice(0, 200)}`);
  } catch (error) {
    if (error instanceof SyntaxError) tally.fault(`${kind}: the body is not JSON`);
    tally.add(kind, client.ended ? 'ended' : 'no answer');
  }
}
