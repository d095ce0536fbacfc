import { request } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../bench/seed/random.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { StreamReader } from '../support/event-stream.ts';
import { countProblem, isDocumentedRefusal } from './ask.ts';
import { filterOf, strangers } from './filters.ts';
import { type Actor, dial, type Stage } from './stage.ts';

/** Promise 2 of all answers: within 5 s. */
const ANSWER_MS = 6_000;
/** What is numbered without a gap: the whole log, and what the guest says (“guest 7”). */
const numbered: Record<string, (event: AuditEvent) => number> = {
  '': ({ seq }) => seq,
  'room=guests&user_id=guest&action=MESSAGE_SENT': ({ message }) => Number(message?.split(' ')[1]),
};

type Asked = { authorization: string; query: string; lastEventId?: string | undefined };

/** Asks for a stream; undefined when it was rightly refused. @param expected statuses beside 200 that are right as well */
async function listen(
  stage: Stage,
  { authorization, query, lastEventId }: Asked,
  expected: readonly number[] = [],
): Promise<StreamReader | undefined> {
  const { url, tally } = stage;
  const path = `/audit/stream?${query}`;
  const outgoing = request(url + path, {
    agent: false,
    headers: { authorization, ...(lastEventId === undefined ? {} : { 'last-event-id': lastEventId }) },
  });
  const answered = new Promise<StreamReader>((resolve, reject) => {
    outgoing.on('response', (response) => resolve(new StreamReader(outgoing, response)));
    outgoing.on('error', reject);
    outgoing.setTimeout(ANSWER_MS, () => outgoing.destroy(new Error('no answer')));
    outgoing.end();
  });
  try {
    const reader = await answered;
    outgoing.setTimeout(0);
    if (reader.status === 200) return reader;
    await reader.closed;
    await countProblem(stage, 'stream', path, new Response(reader.text, { status: reader.status }), expected);
  } catch (error) {
    tally.fault(`stream: ${path}: ${(error as Error).message}`);
  }
  return undefined;
}

/** The first block of a type; undefined when none came in time. */
async function block(
  { tally }: Stage,
  reader: StreamReader,
  event: 'open' | 'reset',
): Promise<Record<string, unknown> | undefined> {
  const coming = reader.next(event).catch(() => undefined);
  const come = await Promise.race([coming, delay(ANSWER_MS, undefined, { ref: false })]);
  if (come !== undefined) return come.data;
  tally.fault(`stream: no “${event}” came`);
  reader.cut();
  return undefined;
}

const seqOf = (id: string | undefined): number => Number(id?.split(':')[1]);

/** What is wrong with what one connection of a reader showed. @param after the last number that was seen before */
function wrongWith({ blocks, events }: StreamReader, query: string, after: number | undefined): string[] {
  const wrong: string[] = [];
  let last = after;
  for (const { event, id, data } of blocks) {
    if (event !== 'audit') continue;
    const { seq } = JSON.parse(data ?? '') as { seq: number };
    if (seqOf(id) !== seq) wrong.push(`${seq} came as ${id}`);
    if (last !== undefined && seq <= last) wrong.push(`${seq} came after ${last}`);
    last = seq;
  }
  const others = strangers(query, events);
  return others === 0 ? wrong : [...wrong, `${others} events that do not match`];
}

/** Follows the log, is cut now and then, and goes on where it was: in order, nothing twice, and nothing lost. */
async function follow(stage: Stage, random: Random): Promise<void> {
  const { tally } = stage;
  const authorization = stage.auditor(random);
  const filter = random.chance(0.6) ? random.pick(Object.keys(numbered)) : filterOf(random);
  const query = random.chance(0.3) ? `${filter}&from=-${1 + random.below(30)}s`.replace(/^&/, '') : filter;
  const numberOf = numbered[filter];
  const numbers: number[] = [];
  let lastEventId: string | undefined;
  for (let left = 1 + random.below(4); left > 0; left -= 1) {
    const reader = await listen(stage, { authorization, query, lastEventId });
    if (reader === undefined) return;
    if ((await block(stage, reader, 'open')) === undefined) return;
    await Promise.race([reader.closed, delay(random.below(1_500))]);
    if (reader.ended) tally.fault(`stream: ${query} was cut though it was read`);
    reader.cut();
    await reader.closed;
    const after = lastEventId === undefined ? undefined : seqOf(lastEventId);
    for (const fault of wrongWith(reader, query, after)) tally.fault(`stream: ${query}: ${fault}`);
    if (reader.blocks.some(({ event }) => event === 'reset')) tally.fault(`stream: ${query}: it was reset`);
    if (numberOf !== undefined) numbers.push(...reader.events.map(numberOf));
    tally.add('stream', lastEventId === undefined ? 'followed' : 'gone on');
    lastEventId = reader.lastId ?? lastEventId;
  }
  const gap = numbers.findIndex((number, at) => at > 0 && number !== (numbers[at - 1] ?? 0) + 1);
  if (gap > 0) tally.fault(`stream: ${query}: number ${numbers[gap]} came after ${numbers[gap - 1]}`);
}

/** Looks at an interval that is over: the stream must end by itself. */
async function lookBack(stage: Stage, random: Random): Promise<void> {
  const query = `${filterOf(random)}&from=-${2 + random.below(5)}s&to=-1s`.replace(/^&/, '');
  const reader = await listen(stage, { authorization: stage.auditor(random), query });
  if (reader === undefined) return;
  await Promise.race([reader.closed, delay(2 * ANSWER_MS, undefined, { ref: false })]);
  const isOver = reader.complete && reader.blocks.at(-1)?.event === 'end';
  stage.tally.add('stream', isOver ? 'ended' : 'not ended');
  if (!isOver) stage.tally.fault(`stream: ${query} did not end`);
  reader.cut();
}

/** Comes with an id that is not of this log, or none at all: it is told so. */
async function resumeWrongly(stage: Stage, random: Random): Promise<void> {
  const authorization = stage.auditor(random);
  const first = await listen(stage, { authorization, query: 'action=USER_BANNED' });
  if (first === undefined) return;
  const opened = await block(stage, first, 'open');
  first.cut();
  if (opened === undefined) return;
  const epoch = String(opened.epoch);
  const [id, expected] = random.pick([
    [`${epoch}:${Number(opened.next_seq) + 1_000_000_000}`, 'beyond_head'],
    [`x${epoch.slice(1)}:0`, 'wrong_epoch'],
    ['elsewhere:17', 'wrong_epoch'],
    [`${epoch}:-2`, undefined],
    [`${epoch}:01`, undefined],
    [`${epoch}:99999999999999999999`, undefined],
    [`${epoch}`, undefined],
    [':', undefined],
    ['x'.repeat(random.below(2_000)), undefined],
  ] as const);
  const asked =
    random.chance(0.5) || id === ''
      ? { query: 'action=USER_BANNED', lastEventId: id || ':' }
      : { query: `action=USER_BANNED&after=${encodeURIComponent(id)}` };
  const reader = await listen(stage, { authorization, ...asked }, expected === undefined ? [400] : []);
  if (reader === undefined) return;
  if (expected === undefined) stage.tally.fault(`stream: it went on after “${id}”`);
  else {
    const told = await block(stage, reader, 'reset');
    stage.tally.add('stream', String(told?.reason));
    if (told?.reason !== expected) stage.tally.fault(`stream: “${id}” was ${told?.reason}`);
  }
  reader.cut();
}

/** Asks for a stream and holds it, reading all of it or nothing, which is suffered for 10 s. */
async function holdStream({ url, auditor, tally, hold }: Stage, random: Random): Promise<void> {
  const client = dial(url, random);
  const query = random.pick(['', '?from=-1h', '?room=lobby', '?q=hello&from=-1m']);
  await client.write(
    `GET /audit/stream${query} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nAuthorization: ${auditor(random)}\r\n\r\n`,
  );
  try {
    const { status, body } = await client.answer();
    const code = status === 200 ? '' : (JSON.parse(body) as { code: string }).code;
    tally.add('held', `a stream ${status} ${code}`.trim());
    if (status !== 200) {
      client.reset();
      if (!isDocumentedRefusal(code)) tally.fault(`stream: ${query}: ${status} ${code}`);
      return;
    }
  } catch (error) {
    client.reset();
    tally.fault(`stream: ${query}: ${(error as Error).message}`);
    return;
  }
  const isDeaf = random.chance(0.5);
  if (isDeaf) client.socket.pause();
  else client.ignore();
  hold(client, random.below(isDeaf ? 15_000 : 30_000));
}

/** Who follows the log live. */
export const listeners: readonly Actor[] = [follow, follow, follow, lookBack, resumeWrongly, holdStream];
