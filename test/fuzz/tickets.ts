import type { Random } from '../../bench/seed/random.ts';
import { frameOf } from '../support/frame-bytes.ts';
import { handshakeOf, type RawClient } from '../support/raw-client.ts';
import { ask } from './ask.ts';
import { mutate } from './mutate.ts';
import { type Actor, dial, dialBroken, leave, listen, type Stage, userOf } from './stage.ts';

/** A new ticket; undefined when there was none to be had. */
async function buy(stage: Stage, random: Random): Promise<string | undefined> {
  const authorization = await stage.chat(userOf(random));
  const answer = await ask<{ ticket?: string }>(stage, 'ticket', ['POST', '/ws/ticket'], {
    authorization,
    expected: [201],
  });
  return answer?.body.ticket;
}

/** Knocks with a ticket as browsers do; the connection when it was let in, else what it was refused with. */
async function knock(
  { url, tally }: Stage,
  random: Random,
  ticket: string,
  kind: string,
): Promise<RawClient | string> {
  const client = dial(url, random);
  await client.write(handshakeOf(url, { 'Sec-WebSocket-Protocol': `minutebook.v1, ticket.${ticket}` }));
  try {
    const { status, head, body } = await client.answer();
    const code = status === 101 ? '' : (JSON.parse(body) as { code: string }).code;
    tally.add(kind, `${status} ${code}`.trim());
    if (status === 101) {
      if (!/^sec-websocket-protocol: minutebook\.v1\r$/im.test(head)) {
        tally.fault(`${kind}: the subprotocol was not answered alone`);
      }
      return client;
    }
    client.reset();
    return code;
  } catch (error) {
    client.reset();
    tally.fault(`${kind}: ${(error as Error).message}`);
    return 'no answer';
  }
}

/** Comes in with a ticket, and sees that nobody comes in with it a second time, be it before, at once or after. */
async function useTwice(stage: Stage, random: Random): Promise<void> {
  const ticket = await buy(stage, random);
  if (ticket === undefined) return;
  const first = knock(stage, random, ticket, 'ticket 1');
  if (random.chance(0.5)) await first;
  const clients = await Promise.all([first, knock(stage, random, ticket, 'ticket 2')]);
  const inside = clients.filter((client) => typeof client !== 'string');
  if (inside.length > 1) stage.tally.fault('two came in with one ticket');
  const isHeldBack = clients.some((client) => client === 'rate_limited' || client === 'banned');
  if (inside.length === 0 && !isHeldBack) stage.tally.fault(`nobody came in with a ticket: ${clients}`);
  for (const client of inside) {
    await client.write(frameOf('by ticket'));
    await listen(client, stage.tally);
    await leave(client, random);
  }
}

/** Buys a ticket and does not use it. */
async function leaveUnused(stage: Stage, random: Random): Promise<void> {
  await buy(stage, random);
}

/** Comes with a ticket that never was one, or with a few changes: nobody must get in. */
async function forge(stage: Stage, random: Random): Promise<void> {
  const made = random.bytes(32).toString('base64url');
  const ticket = random.pick([made, made.slice(1), `${made}x`, 'x'.repeat(random.below(4_000)), '', '../x']);
  const client = await knock(stage, random, ticket, 'forged');
  if (typeof client !== 'string') {
    stage.tally.fault(`the forged ticket “${ticket}” was good`);
    client.reset();
  }
  const broken = dialBroken(stage.url, random);
  const offers = { 'Sec-WebSocket-Protocol': `minutebook.v1, ticket.${made}` };
  await broken.write(mutate(random, handshakeOf(stage.url, offers)));
  const answer = await broken.answer().catch(() => undefined);
  if (answer?.status === 101) stage.tally.fault('a changed handshake with a forged ticket was let in');
  stage.tally.add('forged', answer === undefined ? 'no answer' : answer.status);
  if (answer !== undefined && answer.status >= 500) stage.tally.fault(`forged: ${answer.status}`);
  broken.reset();
}

/** Who comes with a ticket instead of a token. */
export const tickets: readonly Actor[] = [useTwice, useTwice, leaveUnused, forge];
