import type { Random } from '../../bench/seed/random.ts';
import { frameOf, OPCODES } from '../support/frame-bytes.ts';
import { ask } from './ask.ts';
import { goodFrame } from './corpus.ts';
import { mutate } from './mutate.ts';
import { type Actor, countAnswer, dialBroken, leave, open, type Stage, userOf } from './stage.ts';

type Page<Item> = { data: Item[]; next_cursor: string | null };
type Welcome = { type: string; session_id: string };

const asAdmin = ({ administrator }: Stage, expected: readonly number[], body?: unknown) => ({
  authorization: administrator,
  expected,
  body,
});

/** Kicks a session that talks: it must be closed as kicked. What it said afterwards is looked for in the log. */
async function kickOneWhoTalks(stage: Stage, random: Random): Promise<void> {
  const client = await open(stage, random);
  if (client === undefined) return;
  const first = await client.frame();
  const { type, session_id } = JSON.parse(
    first.opcode === OPCODES.text ? first.payload.toString() : '{}',
  ) as Partial<Welcome>;
  // Banned while it was let in.
  if (type !== 'welcome') return leave(client, random);
  const frames = Array.from({ length: 30 }, () => frameOf({ payload: goodFrame(random) }));
  const saying = client.write(...frames);
  const kick = await ask(stage, 'kick', ['DELETE', `/sessions/${session_id}`], asAdmin(stage, [200, 404]));
  await saying;
  if (kick?.status === 200) {
    let { frame } = await client.nextControl();
    while (frame.opcode === OPCODES.ping) ({ frame } = await client.nextControl());
    const code = frame.opcode === OPCODES.close ? frame.payload.readUInt16BE(0) : 0;
    stage.tally.add('kicked', code);
    if (code !== 4403) stage.tally.fault(`who was kicked was closed with ${code}`);
  }
  await leave(client, random);
}

/** Looks who is there, and kicks one of them, but never the guest. */
async function kickAnybody(stage: Stage, random: Random): Promise<void> {
  const authorization = stage.auditor(random);
  const query = random.pick(['limit=5', 'room=lobby', 'room=trading&limit=1', `user_id=${userOf(random)}`]);
  const page = await ask<Page<{ session_id: string; user_id: string }>>(
    stage,
    'sessions',
    ['GET', `/sessions?${query}`],
    { authorization, expected: [200] },
  );
  const victims = page?.body.data?.filter(({ user_id }) => user_id.startsWith('fuzz-')) ?? [];
  if (victims.length === 0) return;
  const path = `/sessions/${random.pick(victims).session_id}?reason=${encodeURIComponent('é \u2028')}`;
  await ask(stage, 'kick', ['DELETE', path], asAdmin(stage, [200, 404]));
}

/** Bans somebody, for some seconds or until it is lifted. */
async function ban(stage: Stage, random: Random): Promise<void> {
  const until = new Date(Date.now() + 1_000 + random.below(3_000)).toISOString();
  const body = { reason: 'fuzz', ...(random.chance(0.5) && { until }) };
  await ask(stage, 'ban', ['PUT', `/bans/${userOf(random)}`], asAdmin(stage, [200], body));
}

/** Lifts every ban on the first page, so that bans do not pile up, those by changed requests included. */
async function lift(stage: Stage): Promise<void> {
  const page = await ask<Page<{ user_id: string }>>(
    stage,
    'bans',
    ['GET', '/bans?limit=20'],
    asAdmin(stage, [200]),
  );
  for (const { user_id } of page?.body.data ?? []) {
    await ask(stage, 'lift', ['DELETE', `/bans/${encodeURIComponent(user_id)}`], asAdmin(stage, [200, 404]));
  }
}

/** Asks with an administrator's token for what is not quite right. */
async function mistype({ url, administrator, tally }: Stage, random: Random): Promise<void> {
  const client = dialBroken(url, random);
  const body = random.pick(['', '{"reason":"fuzz"}', '{"reason":"fuzz","until":"2099-12-31T23:59:59Z"}']);
  const request = random.pick([
    'DELETE /sessions/0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11?reason=fuzz',
    `PUT /bans/${userOf(random)}`,
    `DELETE /bans/${userOf(random)}`,
    'GET /bans?limit=3',
  ]);
  const headers = [
    `Host: ${new URL(url).host}`,
    `Authorization: ${administrator}`,
    'Content-Type: application/json',
    `Content-Length: ${body.length}`,
  ];
  const text = `${request} HTTP/1.1\r\n${headers.join('\r\n')}\r\n\r\n${body}`;
  await client.write(random.chance(0.3) ? text : mutate(random, text));
  await countAnswer(client, 'mistyped', tally);
  client.socket.destroy();
}

/** Reads some pages of the log one after the other: each number once, in order. */
async function walk(stage: Stage, random: Random): Promise<void> {
  const authorization = stage.auditor(random);
  const order = random.pick(['asc', 'desc']);
  const filter = random.pick(['', '&room=lobby', '&action=MESSAGE_SENT', '&user_id=fuzz-0', '&from=-1m']);
  const query = `order=${order}&limit=${1 + random.below(200)}${filter}`;
  let last: number | undefined;
  let cursor = '';
  for (let left = 5; left > 0; left -= 1) {
    const page = await ask<Page<{ seq: number }>>(stage, 'page', ['GET', `/audit?${query}${cursor}`], {
      authorization,
      expected: [200],
    });
    if (page?.status !== 200) return;
    for (const { seq } of page.body.data) {
      if (last !== undefined && (order === 'asc' ? seq <= last : seq >= last)) {
        stage.tally.fault(`${seq} came after ${last} on pages of ${query}`);
      }
      last = seq;
    }
    if (page.body.next_cursor === null) return;
    cursor = `&cursor=${page.body.next_cursor}`;
  }
}

/** Who has a right beyond chatting. Bans are lifted more often than pronounced, so that all can go on. */
export const administrators: readonly Actor[] = [
  ...[kickOneWhoTalks, kickAnybody, ban, lift, lift, mistype, walk],
];
