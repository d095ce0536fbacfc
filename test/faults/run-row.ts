import type { Test } from 'tap';
import { until } from '../support/client.ts';
import { check, invariantIds, type Verdict } from './check.ts';
import type { Cluster } from './cluster.ts';
import { dumpLog, newestByRoom } from './dump.ts';
import { entriesOf } from './facts.ts';
import type { Log } from './history.ts';
import type { Outcome, Row } from './row.ts';
import { missing } from './tools.ts';
import { walkLog } from './walk.ts';
import { World } from './world.ts';

/** Promise 2: an answer within 5 s; the rest is for a busy machine. */
const ANSWER_MS = 6_000;
const RECOVERY_MS = 2_000;
/** A server needs about 110 MiB; a queue without a bound would need more than this in no time. */
const MAX_MEMORY_MIB = 400;
/** A lost instance is reaped within its lease of 10 s; the rest is for a busy machine. */
const REAPED_MS = 20_000;

/** How long a fault lasts unless its row says otherwise. */
async function untilRefused({ refusals = [] }: Row, world: World, since: number): Promise<void> {
  const codes = (): string[] => [
    ...world.load.answersSince('fail', since).map(({ code }) => code),
    ...world.load
      .answersSince('unknown', since)
      .flatMap(({ why }) => (why === 'told' ? ['outcome_unknown'] : [])),
  ];
  const isRefused = (): boolean => {
    const seen = codes();
    return seen.length >= 3 && refusals.some((code) => seen.includes(code));
  };
  await until('three senders are refused', isRefused, 20_000).catch((error: Error) => {
    throw new Error(
      `${error.message} with ${refusals.join(' or ')}; they were told: ${[...new Set(codes())].join(', ')}`,
    );
  });
  await until('every server has said that it is not ready', () =>
    world.running.every((instance) => instance.wasUnreadySince(since)),
  );
}

/** Strikes, waits, heals; resolves with how long it took from then to the first message through. */
async function suffer(t: Test, row: Row, world: World): Promise<number | undefined> {
  const since = performance.now();
  try {
    await row.strike(world);
    if (row.lasts !== undefined) await row.lasts(world, since);
    else if (row.refusals !== undefined) await untilRefused(row, world, since);
  } finally {
    // Whatever went wrong: the rows that follow may be on the same cluster.
    await world.heal();
    await row.heal?.(world);
  }
  const healedAt = performance.now();
  await until(
    'a message is through again',
    () => world.load.firstAcknowledgedSince(healedAt) !== undefined,
    20_000,
  );
  const recovered = (world.load.firstAcknowledgedSince(healedAt) ?? 0) - healedAt;
  const bound = row.recoversInMs ?? RECOVERY_MS;
  t.ok(recovered <= bound, `the next message is through within ${bound} ms: ${Math.round(recovered)} ms`);
  if (row.certain === true) {
    const told = world.load.answersSince('unknown', since).filter(({ why }) => why === 'told');
    t.strictSame(told, [], 'nobody was told that the outcome is unknown');
  }
  await row.afterwards?.(world, since);
  return recovered;
}

/** Lets people fall silent, and ends everything in good order; resolves with the log that is left. */
export async function conclude(t: Test, world: World): Promise<Log> {
  await world.load.settled();
  await world.acknowledged(10);
  await world.load.hush();
  await world.load.drained(await newestByRoom(world));
  await world.load.stop();
  await until(
    'every session has its end on record',
    async () => (await world.sql('select 1 from chat_session')).length === 0,
    REAPED_MS,
  ).catch((error: Error) => t.fail(error.message));
  for (const instance of world.running) t.equal(await instance.stop(), 0, 'the server stops in good order');
  return dumpLog(world);
}

/** Judges every history for itself. */
function judge(world: World, log: Log): Verdict[] {
  // A log that was put back holds what was said before.
  const said = world.chapters.flatMap((chapter) => entriesOf(chapter.entries, 'invoke'));
  const runs = [
    ...world.chapters.map((chapter) => ({
      verdicts: check(chapter.entries, chapter.log).filter(({ id }) => !chapter.open || id !== 'I7'),
    })),
    { verdicts: check([...said, ...world.history.entries], log) },
  ];
  return invariantIds.map((id) => {
    const verdicts = runs.flatMap((run) => run.verdicts.filter((verdict) => verdict.id === id));
    return {
      id,
      checked: verdicts.reduce((sum, { checked }) => sum + checked, 0),
      violations: verdicts.flatMap(({ violations }) => violations),
    };
  });
}

const skippedRow = (row: Row, skipped: string): Outcome => ({
  row,
  skipped,
  verdicts: [],
  ok: 0,
  refused: 0,
  unknown: 0,
  recoveredMs: undefined,
  slowestMs: 0,
  memoryMib: 0,
});

/** Runs one row under load, and asserts what it expects. `shared` is used unless the row wants a cluster of its own. */
export async function runRow(t: Test, row: Row, shared?: Cluster): Promise<Outcome> {
  const lacking = await missing(row.needs ?? []);
  if (lacking.length > 0) {
    const why = `needs ${lacking.join(' and ')}`;
    t.comment(`${row.id} is skipped: ${why}`);
    return skippedRow(row, why);
  }
  const world = await World.create(t, shared, row.world);
  const stopWalking = row.unread === true ? async () => {} : walkLog(world);
  await world.acknowledged(20);
  const recoveredMs = await suffer(t, row, world);
  await stopWalking();
  const memory = await Promise.all(world.running.map((instance) => instance.memory('VmHWM')));
  const memoryMib = Math.round(Math.max(...memory) / 1_024);
  t.ok(memoryMib < MAX_MEMORY_MIB, `memory is bounded: ${memoryMib} MiB`);
  for (const instance of world.instances) t.ok(instance.doomed || instance.isRunning, 'the server lives');
  const slowestMs = Math.round(Math.max(...world.load.participants.map(({ slowest }) => slowest)));
  if (row.answersMayBeLate === undefined)
    t.ok(slowestMs < ANSWER_MS, `every sender had an answer in ${slowestMs} ms`);
  const verdicts = judge(world, await conclude(t, world));
  for (const { id, checked, violations } of verdicts) {
    t.strictSame(violations.slice(0, 5), [], `${row.id}: ${id} holds for ${checked} facts`);
  }
  const entries = [...world.chapters.flatMap((chapter) => chapter.entries), ...world.history.entries];
  return {
    row,
    verdicts,
    ok: entriesOf(entries, 'ok').length,
    refused: entriesOf(entries, 'fail').length,
    unknown: entriesOf(entries, 'unknown').length,
    recoveredMs,
    slowestMs,
    memoryMib,
  };
}
