import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import pg from 'pg';
import { test } from 'tap';
import type { LogReadings, ReadResults } from '../../bench/read/results.ts';
import { startEmbedded } from '../../db/embedded/index.ts';
import { temporaryFolder } from '../support/app.ts';

/** @param stopAt is told to end once it has printed this */
async function benchRead(
  parameters: readonly string[],
  stopAt?: string,
): Promise<{ code: number | null; output: string }> {
  const child = spawn(process.execPath, [
    join(import.meta.dirname, '../../bench/read/main.ts'),
    ...parameters,
  ]);
  let output = '';
  let isStopping = false;
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
      // Once, for a second one ends it at once.
      if (stopAt === undefined || isStopping || !output.includes(stopAt)) return;
      isStopping = true;
      child.kill('SIGINT');
    });
  }
  const [code] = (await once(child, 'close')) as [number | null];
  return { code, output };
}

/** All but the pairs: they are many, and nothing is done for them that is not done for the others. */
const parts = 'filters,total,traps,stats,export,size';

const asked = ({ cases }: LogReadings): string[] => cases.map(({ name }) => name);

async function databasesOf(dataDir: string): Promise<string[]> {
  const postgres = await startEmbedded(dataDir);
  const client = new pg.Client({ connectionString: postgres.url });
  try {
    await client.connect();
    const { rows } = await client.query<{ name: string }>(
      `select datname as name from pg_database where datname ~ '^(log|read)_' order by oid`,
    );
    return rows.map(({ name }) => name);
  } finally {
    await client.end();
    await postgres.stop();
  }
}

test('a tiny run asks two logs the same; one that is stopped finds them made, and has asked both as much', {
  timeout: 290_000,
}, async (t) => {
  const folder = await temporaryFolder(t);
  const json = join(folder, 'results.json');
  const dataDir = join(folder, 'logs');
  const common = ['--data-dir', dataDir, '--events', '1000,20000', '--requests', '1', '--json', json];
  const first = await benchRead(['--only', parts, ...common]);
  t.equal(first.code, 0, first.output);
  const { logs, verdicts, stopped } = JSON.parse(await readFile(json, 'utf8')) as ReadResults;
  t.equal(stopped, null);
  t.strictSame(
    logs.map(({ events }) => events),
    [1_000, 20_000],
  );
  for (const { cases, size } of logs) {
    t.ok(cases.length > 60);
    const rows = (name: string): number | undefined =>
      cases.find((one) => one.name === name)?.pages[0]?.alone.rows;
    t.equal(rows('user_id common'), 50);
    t.equal(rows('user_id single'), 1);
    t.equal(rows('room single'), 1);
    t.equal(rows('q single'), 1);
    t.equal(rows('q rare'), 20);
    t.ok((rows('session_id rare') ?? 0) > 1);
    t.ok((rows('target_user_id rare') ?? 0) > 0);
    for (const name of ['action', 'user_id', 'involves', 'room', 'session_id', 'ip', 'time', 'q'])
      t.equal(rows(`${name} never`), 0, name);
    t.equal(rows('a busy user who never did a common action'), 0);
    t.equal(rows('a busy user who was never in a busy room'), 0);
    t.equal(rows('the far past before a rare user'), 0);
    t.ok((rows('the far past, a rare user') ?? 0) > 20);
    t.ok(cases.every(({ pages }) => pages.every(({ alone }) => alone.latency.count === 1)));
    t.ok(cases.some(({ pages }) => pages.some(({ place, alone }) => place === 'end' && alone.rows > 0)));
    t.ok(size !== null && size.log.total > 100 && size.seed.asMany.total > size.seed.own.total);
  }
  const [short, long] = logs.map(asked);
  t.strictSame(short, long);
  t.ok(verdicts.length >= 5);
  t.match(first.output, 'made 20,000 events in');
  t.match(first.output, '1000 events: copied anew');
  t.notMatch(first.output, '20000 events: copied anew');
  t.match(first.output, '### Against the bounds');

  const second = await benchRead(['--only', 'filters,traps', ...common], ' 20 of ');
  t.equal(second.code, 1);
  t.match(second.output, 'Not everything was measured: Stopped by SIGINT.');
  t.notMatch(second.output, 'made 20,000 events in');
  const [one, other] = (JSON.parse(await readFile(json, 'utf8')) as ReadResults).logs.map(asked);
  t.ok(one !== undefined && one.length >= 20 && one.length < 40);
  t.strictSame(one, other);
  t.strictSame(await databasesOf(dataDir), ['log_1000', 'log_20000'], 'no copy is left');
});
