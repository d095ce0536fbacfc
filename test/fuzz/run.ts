import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { openPostgres } from '../../bench/postgres.ts';
import { Random } from '../../bench/seed/random.ts';
import { tokenOf } from '../support/token.ts';
import { actors } from './actors.ts';
import { invite } from './guest.ts';
import { checkLog, type LogFacts } from './log-checks.ts';
import type { Options } from './options.ts';
import { type Stage, unevenly } from './stage.ts';
import { Tally } from './tally.ts';
import { type Holdings, startTarget, type Target } from './target.ts';

const MINUTE_MS = 60_000;
/** A tenth of the time warms the server up, and never less than this. */
const MIN_WARM_UP_MS = MINUTE_MS / 2;
/** How much longer than the traffic the tokens are good. */
const MARGIN_MINUTES = 10;
const AUDITORS = 4;
/** At most so many connections are held open beside the busy ones. */
const MAX_HELD = 100;

/** What the server may hold at the end beyond what it held when it was warm, with nobody connected. */
export const ALLOWED = { rssMib: 32, heapMib: 16, files: 8 } as const;

export type Findings = {
  options: Options;
  tally: Tally;
  episodes: number;
  guest: { acknowledged: number; longestMs: number };
  before: Holdings;
  after: Holdings;
  log: LogFacts;
  faults: string[];
};

/** What the server holds too much of. */
export function growth(before: Holdings, after: Holdings): string[] {
  const faults = Object.entries(ALLOWED).flatMap(([name, allowed]) => {
    const grown = after[name as keyof typeof ALLOWED] - before[name as keyof typeof ALLOWED];
    return grown > allowed ? [`${name} grew by ${grown.toFixed(1)}, more than ${allowed}`] : [];
  });
  if (after.sockets !== 0) faults.push(`${after.sockets} WebSockets are open with nobody there`);
  if (after.streams !== 0) faults.push(`${after.streams} streams are open with nobody there`);
  return faults;
}

/** Traffic for so long; resolves with the number of episodes when all of it is over. */
async function attack(target: Target, stage: Stage, { seed, workers }: Options, ms: number): Promise<number> {
  const endAt = performance.now() + ms;
  let episodes = 0;
  const work = async (worker: number): Promise<void> => {
    const random = new Random(seed + worker * 7_919);
    while (performance.now() < endAt && target.isAlive()) {
      const actor = random.pick(actors);
      // Each has numbers of its own, so that what it sends does not depend on what the one before was answered.
      const own = new Random(random.below(2 ** 32));
      await actor(stage, own).catch((error: Error) => {
        stage.tally.add('actor', `${actor.name}: ${error.message}`);
      });
      episodes += 1;
    }
  };
  await Promise.all(Array.from({ length: workers }, (_, worker) => work(worker)));
  return episodes;
}

async function makeStage(url: string, minutes: number): Promise<Stage & { drop: () => void }> {
  const tokens = new Map<string, string>();
  const lifetime = `${Math.ceil(minutes) + MARGIN_MINUTES}m`;
  const auditors = await Promise.all(
    Array.from(
      { length: AUDITORS },
      async (_, n) => `Bearer ${await tokenOf(`auditor-${n}`, ['audit:read'], lifetime)}`,
    ),
  );
  const held = new Set<() => void>();
  return {
    url,
    tally: new Tally(),
    chat: async (user) => {
      const token = tokens.get(user) ?? (await tokenOf(user, ['chat'], lifetime));
      tokens.set(user, token);
      return `Bearer ${token}`;
    },
    auditor: (random) => auditors[unevenly(random, AUDITORS)] ?? '',
    administrator: `Bearer ${await tokenOf('administrator', ['admin'], lifetime)}`,
    hold: (client, ms) => {
      const drop = (): void => {
        clearTimeout(timer);
        held.delete(drop);
        client.socket.destroy();
      };
      const timer = setTimeout(drop, held.size < MAX_HELD ? ms : 0);
      held.add(drop);
    },
    drop: () => {
      for (const drop of held) drop();
    },
  };
}

/** Plays everything out. @param folder where what is thrown away may be kept meanwhile */
export async function run(options: Options, folder: string, say: (line: string) => void): Promise<Findings> {
  const dataDir = join(folder, 'server');
  await mkdir(dataDir, { recursive: true });
  const postgres = await openPostgres(folder, undefined);
  try {
    const databaseUrl = await postgres.createDatabase('fuzz');
    const target = await startTarget(databaseUrl, dataDir);
    try {
      const stage = await makeStage(target.url, options.minutes);
      const ms = options.minutes * MINUTE_MS;
      const warmUpMs = Math.max(MIN_WARM_UP_MS, ms / 10);
      say(`warming up for ${Math.round(warmUpMs / 1_000)} s, seed ${options.seed}`);
      await attack(target, stage, { ...options, seed: options.seed + 1 }, warmUpMs);
      stage.drop();
      const before = await target.measure();
      say(`attacking for ${options.minutes} min`);
      const guest = await invite(stage);
      const episodes = await attack(target, stage, options, ms - warmUpMs);
      stage.drop();
      await guest.leave();
      say('looking at what is left');
      const { tally } = stage;
      if (!target.isAlive()) throw new Error(`the server died:\n${target.errors.join('\n')}`);
      const after = await target.measure();
      const code = await target.stop();
      const log = await checkLog(databaseUrl, guest.acknowledged);
      return {
        options,
        tally,
        episodes,
        guest: { acknowledged: guest.acknowledged.size, longestMs: guest.longestMs() },
        before,
        after,
        log,
        faults: [
          ...tally.faults,
          ...target.errors.map((line) => `in the server’s log: ${line}`),
          ...growth(before, after),
          ...(code === 0 ? [] : [`the server ended with ${code}`]),
          ...log.faults,
        ],
      };
    } catch (error) {
      const state = target.isAlive() ? 'lives' : 'is dead';
      throw new Error(`The server ${state}. Its log: ${target.errors.join('\n') || 'no errors'}`, {
        cause: error,
      });
    } finally {
      if (target.isAlive()) await Promise.race([target.stop(), delay(15_000)]);
    }
  } finally {
    await postgres.stop();
  }
}
