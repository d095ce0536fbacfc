import { join } from 'node:path';
import { test } from 'tap';
import { type Plan, readPlan, type Step } from '../bench/replay/plan.ts';
import { play, type Tally } from '../bench/replay/player.ts';
import type { AuditEvent, AuditPage } from '../src/core/schemas.ts';
import { SECRET } from './support/app.ts';
import { until } from './support/client.ts';
import { differences, FaithfulReader } from './support/event-stream.ts';
import { noLimits } from './support/limits.ts';
import { createDatabase } from './support/postgres.ts';
import { startServer } from './support/server.ts';
import { tokenFor } from './support/token.ts';

/** Another record, and a longer one: REPLAY_FILE=month.ndjson.gz npm test -- --timeout=1800 test/stream-replay.test.ts */
const FILE = process.env.REPLAY_FILE ?? join(import.meta.dirname, '../bench/replay/sample.ndjson');
const ROOM = 'month';
const CUTS = 10;

/** Who did most, and the word of three letters or more that was said most. */
function busiest({ users }: Plan): { user: string; word: string } {
  const words = new Map<string, number>();
  let [user, most] = ['', 0];
  for (const [name, steps] of users) {
    if (steps.length > most) [user, most] = [name, steps.length];
    for (const { text } of steps) {
      for (const word of text.split(' ')) if (word.length > 2) words.set(word, (words.get(word) ?? 0) + 1);
    }
  }
  const [word = ''] = [...words].toSorted(([, a], [, b]) => b - a)[0] ?? [];
  return { user, word };
}

/** What a user has left to do; who was in the room has to join again. */
function restOf(steps: readonly Step[], done: number): Step[] {
  const rest = steps.slice(done);
  const [next] = rest;
  const isInside = steps.slice(0, done).findLast(({ kind }) => kind !== 'message')?.kind === 'join';
  return next !== undefined && isInside ? [{ kind: 'join', at: next.at, text: '' }, ...rest] : rest;
}

const emptyTally = (): Tally => ({
  sent: 0,
  acknowledged: 0,
  refused: 0,
  waited: 0,
  latencies: [],
  reasons: new Map(),
});

/** Every event that matches, oldest first. */
async function eventsOf(url: string, query: string): Promise<AuditEvent[]> {
  const headers = { authorization: `Bearer ${await tokenFor('auditor', 'audit:read')}` };
  const all: AuditEvent[] = [];
  for (let cursor = ''; ; ) {
    const answer = await fetch(`${url}/audit?${query}&order=asc&limit=1000${cursor}`, { headers });
    if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
    const { data, has_more, next_cursor } = (await answer.json()) as AuditPage;
    all.push(...data);
    if (!has_more) return all;
    cursor = `&cursor=${next_cursor}`;
  }
}

test('during the replay of a chat record, cut ten times and the server killed once, a stream shows what its filter gives', {
  timeout: 1_800_000,
}, async (t) => {
  const plan = await readPlan(FILE);
  const { user, word } = busiest(plan);
  const env: Record<string, string> = {
    ...noLimits,
    LIMIT_STREAMS_PER_USER: '0',
    DATABASE_URL: await createDatabase(t),
    JWT_SECRET: SECRET,
    LOG_LEVEL: 'error',
  };
  let server = await startServer(t, { env });
  const { url } = server;
  const startedAt = performance.now();

  const named = `user_id=${encodeURIComponent(user)}`;
  const filters = [
    '',
    'action=MESSAGE_SENT',
    named,
    `room=${ROOM}`,
    `q=${encodeURIComponent(word)}`,
    `${named}&action=JOINED&action=LEFT`,
    `${named}&action=MESSAGE_SENT&q=${encodeURIComponent(word)}`,
  ];
  const readers = filters.map((filter) => new FaithfulReader(t, [url], filter));
  await until('all read', () => readers.every((reader) => reader.isOpen));

  const steps = plan.played.joins + plan.played.leaves + plan.played.messages;
  const tallies = new Map([...plan.users.keys()].map((name) => [name, emptyTally()]));
  /** Steps that are on record, or were given up with a connection. */
  const acknowledged = () => [...tallies.values()].reduce((sum, tally) => sum + tally.acknowledged, 0);
  const perform = (parts: Iterable<[string, readonly Step[]]>) =>
    Promise.all(
      [...parts].map(async ([name, part]) =>
        play(name, part, {
          url: `${url.replace('http', 'ws')}/ws`,
          room: ROOM,
          token: await tokenFor(name, 'chat'),
          tally: tallies.get(name) ?? emptyTally(),
          untilDue: () => 0,
        }),
      ),
    );
  let over = false;
  /** Cuts the readers one after the other, ten times each, spread over what is to be done. */
  const cutting = (async () => {
    for (let cut = 1; cut <= CUTS; cut += 1) {
      for (const [index, reader] of readers.entries()) {
        const share = (cut - 1 + (index + 1) / (readers.length + 1)) / CUTS;
        await until('more is done', () => over || acknowledged() >= share * steps, 1_800_000);
        await until('it reads', () => reader.isOpen, 60_000);
        reader.cut();
      }
    }
  })();
  const killing = (async () => {
    await until('half is done', () => acknowledged() >= steps / 2, 1_800_000);
    server.child.kill('SIGKILL');
    await server.exited;
    server = await startServer(t, { env: { ...env, PORT: new URL(url).port } });
  })();

  await perform(plan.users);
  await killing;
  const done = new Map([...tallies].map(([name, tally]) => [name, tally.acknowledged]));
  const interrupted = [...plan.users].map(
    ([name, part]) => [name, restOf(part, done.get(name) ?? 0)] as [string, Step[]],
  );
  await perform(interrupted.filter(([, rest]) => rest.length > 0));
  over = true;
  await cutting;

  const to = new Date().toISOString();
  await Promise.all(readers.map((reader) => reader.finish(to)));
  const seconds = (performance.now() - startedAt) / 1_000;
  for (const reader of readers) {
    const log = await eventsOf(url, `${reader.query}&to=${to}`);
    t.strictSame(differences(reader, log), []);
    t.equal(reader.resets, 0);
    t.ok(
      reader.cuts >= CUTS + 1,
      `“${reader.query}”: ${reader.events.length} events over ${reader.opened} connections`,
    );
  }
  t.ok(
    acknowledged() >= steps,
    `${acknowledged()} steps of ${plan.users.size} users in ${seconds.toFixed(1)} s`,
  );
  const [messages] = readers.filter(({ query }) => query === 'action=MESSAGE_SENT');
  t.ok((messages?.events.length ?? 0) >= plan.played.messages, `${messages?.events.length} messages`);
});
