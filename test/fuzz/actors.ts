import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../bench/seed/random.ts';
import { closeOf, frameOf, OPCODES } from '../support/frame-bytes.ts';
import { handshakeOf, RawClient } from '../support/raw-client.ts';
import { goodFrame, requestOf } from './corpus.ts';
import { mutate } from './mutate.ts';
import type { Tally } from './tally.ts';

/** What all actors share. */
export type Stage = {
  url: string;
  tally: Tally;
  /** Authorization for a chat user, and for an auditor. */
  chat: (user: string) => Promise<string>;
  auditor: string;
  /** Keeps a connection open for so long, beside whatever else goes on. */
  hold: (client: RawClient, ms: number) => void;
};

/** One short piece of traffic. It ends by itself, and leaves nothing open that is not held. */
export type Actor = (stage: Stage, random: Random) => Promise<void>;

const USERS = 20;
/** How long an answer to something broken is waited for: it may rightly not come. */
const PATIENCE_MS = 300;

/** Opens a session with a good handshake; undefined when it was refused. */
async function open({ url, chat, tally }: Stage, random: Random): Promise<RawClient | undefined> {
  const client = new RawClient(url);
  const headers = { Authorization: await chat(`fuzz-${random.below(USERS)}`) };
  const path = random.chance(0.7) ? '/ws' : `/ws?room=${random.pick(['', 'lobby', 'trading', 'r%C3%A9'])}`;
  await client.write(handshakeOf(url, headers, { path }));
  try {
    const { status } = await client.answer();
    if (status === 101) return client;
    tally.fault(`a good handshake was answered ${status}`);
  } catch (error) {
    tally.fault(`a good handshake: ${(error as Error).message}`);
  }
  client.reset();
  return undefined;
}

/** Reads frames and counts them until a close frame, the end, or silence. */
async function listen(client: RawClient, tally: Tally): Promise<void> {
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
async function leave(client: RawClient, random: Random): Promise<void> {
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

/** A good text, or one with a few changes; mostly it is UTF-8 still, so that it gets beyond the protocol. */
function textOf(random: Random): Buffer {
  const text = goodFrame(random);
  if (random.chance(0.4)) return Buffer.from(text);
  const mutated = mutate(random, text);
  return random.chance(0.9) ? Buffer.from(mutated.toString()) : mutated;
}

/** Speaks: good frames, and frames whose text has a few changes. */
async function talk(stage: Stage, random: Random): Promise<void> {
  const client = await open(stage, random);
  if (client === undefined) return;
  for (let left = random.below(40); left > 0; left -= 1) {
    await client.write(frameOf({ payload: textOf(random) }));
  }
  await listen(client, stage.tally);
  await leave(client, random);
}

/** Sends frames whose very bytes have changes, or bytes that are no frames at all. */
async function breakFrames(stage: Stage, random: Random): Promise<void> {
  const client = await open(stage, random);
  if (client === undefined) return;
  const frames = Array.from({ length: 1 + random.below(4) }, () =>
    frameOf({
      payload: goodFrame(random),
      fin: random.chance(0.7),
      opcode: random.pick([0, 1, 1, 1, 2, 8, 9, 10, random.below(16)]),
      rsv: random.chance(0.1) ? random.below(8) : 0,
    }),
  );
  const bytes = Buffer.concat(frames);
  await client.write(random.chance(0.1) ? random.bytes(random.below(400)) : mutate(random, bytes));
  await listen(client, stage.tally);
  await leave(client, random);
}

type HowToRead = { hasBody?: boolean; isFirst?: boolean };

/** What the answer to bytes of HTTP is, if there is one. */
async function countAnswer(
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
    if (status >= 500 || !(status >= 100)) tally.fault(`${kind}: ${status} ${body.slice(0, 200)}`);
  } catch (error) {
    if (error instanceof SyntaxError) tally.fault(`${kind}: the body is not JSON`);
    tally.add(kind, client.ended ? 'ended' : 'no answer');
  }
}

/** Asks for a WebSocket with a handshake that has a few changes. */
async function breakHandshake({ url, chat, tally }: Stage, random: Random): Promise<void> {
  const client = new RawClient(url, PATIENCE_MS);
  const headers = { Authorization: await chat(`fuzz-${random.below(USERS)}`) };
  await client.write(mutate(random, handshakeOf(url, headers)));
  await countAnswer(client, 'handshake', tally);
  client.socket.destroy();
}

/** Sends requests one after the other on a connection, good ones and some with changes. */
async function request({ url, auditor, tally }: Stage, random: Random): Promise<void> {
  const client = new RawClient(url, PATIENCE_MS);
  const { host } = new URL(url);
  const count = 1 + random.below(5);
  for (let n = 0; n < count && !client.ended; n += 1) {
    const text = requestOf(random, host, auditor);
    const isGood = random.chance(0.5);
    await client.write(isGood ? text : mutate(random, text));
    // Whether a changed one is answered with a body cannot be known.
    await countAnswer(client, 'request', tally, { hasBody: !text.startsWith('HEAD'), isFirst: n === 0 });
    if (!isGood) break;
  }
  client.socket.destroy();
}

/** Many requests in one packet, whose answers are not waited for. */
async function pipeline({ url, auditor, tally }: Stage, random: Random): Promise<void> {
  const client = new RawClient(url, PATIENCE_MS);
  const { host } = new URL(url);
  await client.write(Array.from({ length: 20 }, () => requestOf(random, host, auditor)).join(''));
  if (random.chance(0.5)) await countAnswer(client, 'pipeline', tally);
  client.reset();
}

/** Begins something and does not go on with it. */
async function stall(stage: Stage, random: Random): Promise<void> {
  const client = new RawClient(stage.url);
  const { host } = new URL(stage.url);
  const text = random.chance(0.5) ? handshakeOf(stage.url) : requestOf(random, host, stage.auditor);
  await client.write(text.slice(0, random.below(text.length)));
  if (random.chance(0.3)) client.socket.end();
  stage.tally.add('held', 'half a request');
  stage.hold(client, random.below(20_000));
}

/** Opens a session and sends half a frame, or nothing. */
async function stallInFrame(stage: Stage, random: Random): Promise<void> {
  const client = await open(stage, random);
  if (client === undefined) return;
  const frame = frameOf({ payload: goodFrame(random) });
  await client.write(frame.subarray(0, random.below(frame.length)));
  stage.tally.add('held', 'half a frame');
  stage.hold(client, random.below(10_000));
}

/** Resets a connection while it is let in, or just after. */
async function reset({ url, chat, tally }: Stage, random: Random): Promise<void> {
  const client = new RawClient(url);
  const headers = { Authorization: await chat(`fuzz-${random.below(USERS)}`) };
  await client.write(
    handshakeOf(url, headers) + (random.chance(0.5) ? frameOf('eager').toString('latin1') : ''),
  );
  if (random.chance(0.7)) await delay(random.below(20));
  client.reset();
  tally.add('reset', 'in the handshake');
}

/** Sends good frames a byte at a time. */
async function drip(stage: Stage, random: Random): Promise<void> {
  const client = await open(stage, random);
  if (client === undefined) return;
  for (const byte of frameOf({ payload: goodFrame(random) })) {
    await client.write(Buffer.from([byte]));
    await delay(random.below(3));
  }
  await listen(client, stage.tally);
  await leave(client, random);
}

/** Says much, and reads nothing of what comes back. */
async function deafen(stage: Stage, random: Random): Promise<void> {
  const client = await open(stage, random);
  if (client === undefined) return;
  client.socket.pause();
  const said = Array.from({ length: 50 }, () => frameOf('x'.repeat(random.below(2_000))));
  const pings = Array.from({ length: random.below(200) }, () =>
    frameOf({ opcode: OPCODES.ping, payload: 'x' }),
  );
  await Promise.race([client.write(Buffer.concat([...said, ...pings])), delay(PATIENCE_MS)]);
  stage.tally.add('held', 'reads nothing');
  stage.hold(client, random.below(3_000));
}

/** Many sessions at once. */
async function crowd(stage: Stage, random: Random): Promise<void> {
  const clients = await Promise.all(Array.from({ length: 30 }, () => open(stage, random)));
  for (const client of clients) await client?.write(frameOf('one of many'));
  await Promise.all(clients.map((client) => client && listen(client, stage.tally)));
  await Promise.all(clients.map((client) => client && leave(client, random)));
}

/** All actors, those that find more, more often. */
export const actors: readonly Actor[] = [
  ...[talk, talk, talk, breakFrames, breakFrames, breakFrames, breakHandshake, breakHandshake],
  ...[request, request, request, pipeline, stall, stallInFrame, reset, drip, deafen, crowd],
];
