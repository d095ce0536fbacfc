import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../bench/seed/random.ts';
import { frameOf, OPCODES } from '../support/frame-bytes.ts';
import { handshakeOf } from '../support/raw-client.ts';
import { administrators } from './administrators.ts';
import { auditors } from './auditors.ts';
import { goodFrame, requestOf } from './corpus.ts';
import { listeners } from './listeners.ts';
import { mutate } from './mutate.ts';
import {
  type Actor,
  countAnswer,
  dial,
  dialBroken,
  leave,
  listen,
  open,
  PATIENCE_MS,
  type Stage,
  userOf,
} from './stage.ts';
import { tickets } from './tickets.ts';

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

/** Asks for a WebSocket with a handshake that has a few changes. */
async function breakHandshake({ url, chat, tally }: Stage, random: Random): Promise<void> {
  const client = dialBroken(url, random);
  const headers = { Authorization: await chat(userOf(random)) };
  await client.write(mutate(random, handshakeOf(url, headers)));
  await countAnswer(client, 'handshake', tally);
  client.socket.destroy();
}

/** Sends requests one after the other on a connection, good ones and some with changes. */
async function request({ url, auditor, tally }: Stage, random: Random): Promise<void> {
  const client = dialBroken(url, random);
  const { host } = new URL(url);
  const count = 1 + random.below(5);
  for (let n = 0; n < count && !client.ended; n += 1) {
    const text = requestOf(random, host, auditor(random));
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
  const client = dialBroken(url, random);
  const { host } = new URL(url);
  await client.write(Array.from({ length: 20 }, () => requestOf(random, host, auditor(random))).join(''));
  if (random.chance(0.5)) await countAnswer(client, 'pipeline', tally);
  client.reset();
}

/** Begins something and does not go on with it. */
async function stall(stage: Stage, random: Random): Promise<void> {
  const client = dial(stage.url, random);
  const { host } = new URL(stage.url);
  const text = random.chance(0.5) ? handshakeOf(stage.url) : requestOf(random, host, stage.auditor(random));
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
  // It is in a room, and what others say there would be kept for nobody.
  client.ignore();
  stage.tally.add('held', 'half a frame');
  stage.hold(client, random.below(10_000));
}

/** Resets a connection while it is let in, or just after. */
async function reset({ url, chat, tally }: Stage, random: Random): Promise<void> {
  const client = dial(url, random);
  const headers = { Authorization: await chat(userOf(random)) };
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
  ...administrators,
  ...tickets,
  ...auditors,
  ...listeners,
];
