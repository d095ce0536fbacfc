import { setTimeout as delay } from 'node:timers/promises';
import type { AuditPage } from '../../src/core/schemas.ts';
import type { WalkedEvent } from './history.ts';
import { tokenFor, type World } from './world.ts';

const PAGE = 200;
/** Reading is recorded as well: not so often that the log is full of it. */
const PAUSE_MS = 60;
const RETRY_MS = 200;

type Order = 'asc' | 'desc';

/** Pages through the whole log; a page that cannot be had is asked for again, of whichever server lives. */
async function walkOnce(world: World, order: Order, signal: AbortSignal): Promise<void> {
  const headers = { authorization: `Bearer ${await tokenFor('auditor', 'audit:read')}` };
  const { acknowledged } = world.history;
  const events: WalkedEvent[] = [];
  let cursor = '';
  for (let turn = 0; !signal.aborted; turn += 1) {
    const page = await readPage(world, turn, `/audit?order=${order}&limit=${PAGE}${cursor}`, headers);
    if (page === undefined) {
      await delay(RETRY_MS);
      continue;
    }
    events.push(
      ...page.data.map(({ seq, timestamp, action, user_id, message }) => ({
        seq,
        timestamp,
        action,
        user_id,
        message,
      })),
    );
    if (!page.has_more) {
      world.history.add({ kind: 'walk', order, acknowledged, events });
      return;
    }
    cursor = `&cursor=${page.next_cursor}`;
    await delay(PAUSE_MS);
  }
}

/** A page; undefined when the server does not give it now. */
async function readPage(
  world: World,
  turn: number,
  path: string,
  headers: Record<string, string>,
): Promise<AuditPage | undefined> {
  const { targets } = world;
  const target = targets[turn % Math.max(1, targets.length)];
  if (target === undefined) return undefined;
  const answer = await fetch(target + path, { headers, signal: AbortSignal.timeout(7_000) }).catch(
    () => undefined,
  );
  if (answer === undefined || answer.status >= 500) return undefined;
  if (answer.status !== 200) throw new Error(`a walk was answered ${answer.status}: ${await answer.text()}`);
  return (await answer.json().catch(() => undefined)) as AuditPage | undefined;
}

/**
 * Walks up and down the log while it grows, at most until the test ends; call what is returned to have the walk
 * under way finished.
 */
export function walkLog(world: World): () => Promise<void> {
  let stopped = false;
  const given = new AbortController();
  const walking = (async () => {
    for (let turn = 0; !stopped; turn += 1) {
      await walkOnce(world, turn % 2 === 0 ? 'desc' : 'asc', given.signal);
      await delay(PAUSE_MS);
    }
  })();
  // Awaited below; until then it must not end the process.
  walking.catch(() => {});
  world.t.teardown(() => {
    stopped = true;
    given.abort();
  });
  return async () => {
    stopped = true;
    const late = setTimeout(() => given.abort(), 15_000);
    await walking;
    clearTimeout(late);
  };
}
