import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../../bench/seed/random.ts';
import { ExportCheck } from '../../src/core/export-check.ts';
import type { AuditEvent, Stats } from '../../src/core/schemas.ts';
import { ask, countProblem } from './ask.ts';
import { filterOf, strangers } from './filters.ts';
import { type Actor, dial, type Stage, userOf } from './stage.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
/** Nobody takes more of an export than this, nor longer: the log grows all the while. */
const MOST_OF_EXPORT = { bytes: 8 * MIB, ms: 20_000 };

type Page<Item> = { data: Item[]; next_cursor: string | null };

const exportPath = (random: Random): { path: string; format: 'ndjson' | 'csv' } => {
  const format = random.pick(['ndjson', 'csv'] as const);
  const filter = random.chance(0.7) ? `${filterOf(random)}&from=-${1 + random.below(60)}s` : filterOf(random);
  return { path: `/audit/export?format=${format}&${filter}`.replace(/&+/g, '&').replace(/&$/, ''), format };
};

/** Takes an export, and looks whether it is whole; or goes away on the way. */
async function takeExport(stage: Stage, random: Random): Promise<void> {
  const { url, auditor, tally } = stage;
  const { path, format } = exportPath(random);
  const most = random.chance(0.6) ? MOST_OF_EXPORT.bytes : random.below(200 * KIB);
  const leaving = AbortSignal.timeout(MOST_OF_EXPORT.ms);
  try {
    const answer = await fetch(url + path, { headers: { authorization: auditor(random) }, signal: leaving });
    if (answer.status !== 200 || answer.body === null)
      return await countProblem(stage, 'export', path, answer);
    const check = new ExportCheck(format);
    let taken = 0;
    // Leaving the loop cancels the body, and with it the connection.
    for await (const chunk of answer.body) {
      check.add(chunk);
      taken += chunk.length;
      if (taken > most) {
        tally.add('export', 'gone away');
        return;
      }
      if (random.chance(0.1)) await delay(random.below(50));
    }
    const verdict = check.end();
    tally.add('export', verdict.ok ? 'whole' : 'broken');
    if (!verdict.ok) tally.fault(`export: ${path}: ${verdict.reason}`);
  } catch (error) {
    if (leaving.aborted) tally.add('export', 'gone away');
    else tally.fault(`export: ${path}: ${(error as Error).message}`);
  }
}

/** Asks for an export and takes nothing of it, for less or longer than that is suffered. */
async function stallExport({ url, auditor, tally, hold }: Stage, random: Random): Promise<void> {
  const client = dial(url, random);
  client.socket.pause();
  const { path } = exportPath(random);
  await client.write(
    `GET ${path} HTTP/1.1\r\nHost: ${new URL(url).host}\r\nAuthorization: ${auditor(random)}\r\n\r\n`,
  );
  tally.add('held', 'an export');
  hold(client, random.below(5_000));
}

/** Counts in one way and in another: where both counted all, they must agree. */
async function count(stage: Stage, random: Random): Promise<void> {
  const authorization = stage.auditor(random);
  const stats = async (query: string): Promise<Stats | undefined> => {
    const answer = await ask<Stats>(stage, 'stats', ['GET', `/audit/stats?${query}`], {
      authorization,
      expected: [200],
    });
    return answer?.status === 200 ? answer.body : undefined;
  };
  const filter = filterOf(random);
  const buckets = 1 + random.below(200);
  const span = `from=-${60 + random.below(120)}s&to=-${1 + random.below(30)}s`;
  const overTime = await stats(`group_by=time&buckets=${buckets}&${span}&${filter}`.replace(/&$/, ''));
  if (overTime === undefined) return;
  const { data, from, to } = overTime;
  if (data.length !== buckets) stage.tally.fault(`stats: ${data.length} parts instead of ${buckets}`);
  const group = random.pick(['action', 'user_id', 'room']);
  const byValue = await stats(
    `group_by=${group}&limit=100&from=${from}&to=${to}&${filter}`.replace(/&$/, ''),
  );
  if (byValue === undefined || !overTime.complete || !byValue.complete) return;
  const sum = ({ data: counts }: Stats): number => counts.reduce((total, { count: one }) => total + one, 0);
  // Every event has an action; some have no user or room, and there are more of those than are told.
  const agree = group === 'action' ? sum(byValue) === sum(overTime) : sum(byValue) <= sum(overTime);
  if (!agree) {
    stage.tally.fault(
      `stats: ${filter} from ${from} to ${to}: ${sum(overTime)} over time, ${sum(byValue)} by ${group}`,
    );
  }
}

/** Searches by any filter: what comes must match it. */
async function search(stage: Stage, random: Random): Promise<void> {
  const filter = filterOf(random);
  const query = `order=${random.pick(['asc', 'desc'])}&limit=${1 + random.below(100)}&${filter}`;
  const page = await ask<Page<AuditEvent>>(stage, 'search', ['GET', `/audit?${query}`.replace(/&$/, '')], {
    authorization: stage.auditor(random),
    expected: [200],
  });
  const wrong = page?.status === 200 ? strangers(filter, page.body.data) : 0;
  if (wrong > 0) stage.tally.fault(`search: ${wrong} events that ${query} does not match`);
}

/** Reads one's own events: those of others must not be among them, whatever is asked. */
async function readOwn(stage: Stage, random: Random): Promise<void> {
  const user = userOf(random);
  const filter = random.pick(['', '&action=MESSAGE_SENT', '&q=hello', '&room=lobby&from=-1m', '&order=asc']);
  const page = await ask<Page<AuditEvent>>(stage, 'own', ['GET', `/audit/me?limit=50${filter}`], {
    authorization: await stage.chat(user),
    expected: [200],
  });
  if (page?.status === 200 && page.body.data.some(({ user_id }) => user_id !== user)) {
    stage.tally.fault(`own: events of others were shown to ${user}`);
  }
}

/** Looks through all sessions or all bans, page by page: nobody must come twice. */
async function list(stage: Stage, random: Random): Promise<void> {
  const [path, key, authorization] = random.chance(0.5)
    ? (['/sessions', 'session_id', stage.auditor(random)] as const)
    : (['/bans', 'user_id', stage.administrator] as const);
  const seen = new Set<string>();
  const limit = 1 + random.below(20);
  let cursor = '';
  for (let left = 10; left > 0; left -= 1) {
    const page = await ask<Page<Record<string, string>>>(
      stage,
      'list',
      ['GET', `${path}?limit=${limit}${cursor}`],
      { authorization, expected: [200] },
    );
    if (page?.status !== 200) return;
    for (const { [key]: name = '' } of page.body.data) {
      if (seen.has(name)) stage.tally.fault(`${path}: ${name} came twice`);
      seen.add(name);
    }
    if (page.body.next_cursor === null) return;
    cursor = `&cursor=${page.body.next_cursor}`;
  }
}

/** Who reads the log, or of it. */
export const auditors: readonly Actor[] = [
  ...[takeExport, takeExport, stallExport, count, search, search, readOwn, list],
];
