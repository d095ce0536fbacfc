import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { readKinds, type Slice } from '../../bench/load/orders.ts';
import type { Results } from '../../bench/results.ts';
import { temporaryFolder } from '../support/app.ts';
import { query, serverUrl } from '../support/postgres.ts';

const ROOT = join(import.meta.dirname, '../..');

/** Starts the bench with its files below a folder of the test's own. */
async function startBench(t: Test, ...parameters: string[]) {
  const folder = await temporaryFolder(t);
  const child = spawn(process.execPath, [join(ROOT, 'bench/main.ts'), ...parameters], {
    env: { ...process.env, TMPDIR: folder, DATABASE_URL: process.env.TEST_DATABASE_URL },
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
  }
  const exited = once(child, 'exit').then(([code]) => code as number | null);
  t.teardown(async () => {
    child.kill('SIGTERM');
    await exited;
  });
  return { child, exited, folder, output: () => output };
}

const tiny = [
  ...['--rounds', '1', '--seconds', '0.2', '--warmup', '0.1', '--connections', '1', '--rates', '100'],
  ...['--members', '5', '--idle', '20', '--snapshot-minutes', '0.02', '--hold-seconds', '0.1'],
];

/** Processes that have the folder in their command line or stand in it. */
async function processesIn(folder: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir('/proc')).filter((name) => /^\d+$/.test(name))) {
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const environment = await readFile(`/proc/${pid}/environ`, 'utf8').catch(() => '');
    if (command.includes(folder) || environment.includes(folder)) found.push(command.replaceAll('\0', ' '));
  }
  return found;
}

test('a tiny run measures everything, says so, and leaves nothing behind', {
  timeout: 290_000,
}, async (t) => {
  const json = join(await temporaryFolder(t), 'results.json');
  const bench = await startBench(t, ...tiny, '--json', json);
  t.equal(await bench.exited, 0, bench.output());
  const results = JSON.parse(await readFile(json, 'utf8')) as Results;

  const checkSlice = (slice: Slice, what: string): void => {
    // Timers may be early by a millisecond.
    t.ok(slice.seconds >= 0.198, `${what}: seconds`);
    const { count, p50, p99, max } = slice.latency;
    // On a busy machine such a short time may see no answer at all.
    t.ok(count === 0 ? slice.messages === 0 : p50 > 0 && p50 <= p99 && p99 <= max, `${what}: latency`);
    t.ok(slice.used.server >= 0 && slice.used.generator > 0, `${what}: CPU`);
    t.equal(typeof slice.used.postgres, 'number', `${what}: CPU of Postgres`);
  };
  const arms = ['ws', 'fastify', 'seed', 'seed10', 'minutebook'];
  for (const part of ['write', 'open'] as const) {
    t.same([...new Set(results[part].map(({ arm }) => arm))].sort(), arms.toSorted(), part);
    for (const { arm, slices } of results[part]) {
      t.equal(slices.length, 1);
      for (const slice of slices) checkSlice(slice, `${part}, ${arm}`);
    }
  }
  t.equal(results.write.length, 5);
  t.ok(results.write.some(({ slices }) => slices.some(({ messages }) => messages > 0)));
  t.same(results.fanout.map(({ arm }) => arm).sort(), ['minutebook', 'ws']);
  for (const { arm, slices } of results.fanout)
    for (const slice of slices) checkSlice(slice, `fanout, ${arm}`);

  t.same(
    results.instances.map(({ instances, rooms, slices }) => [instances, rooms, slices.length]),
    [
      [1, 50, 1],
      [2, 50, 1],
      [1, 10, 1],
      [2, 10, 1],
    ],
  );
  for (const { instances, rooms, slices } of results.instances) {
    const what = `instances, ${instances} with ${rooms} rooms`;
    for (const slice of slices) {
      checkSlice(slice, what);
      if (rooms === 50) t.equal(slice.deliveries, 0, what);
      // To four others it goes, to hardly more than one of them on the sender’s own; a few messages prove nothing.
      else t.ok(slice.messages < 200 || slice.deliveries > 2 * slice.messages, what);
    }
  }

  t.same(
    results.reads?.kinds.map(({ kind, slices, answers }) => [kind, slices.length, answers.length]),
    readKinds.map((kind) => [kind, 1, 1]),
  );
  for (const { kind, answers } of results.reads?.kinds ?? []) {
    const [{ bytes = 0, asked = 0, cut, ...answered } = {}] = answers;
    if (asked > 0) {
      const [status] = { limited: ['429'], denied: ['401'] }[kind as string] ?? [];
      t.same(Object.keys(answered), [status ?? []].flat(), `${kind}: all that were answered were refused`);
    } else {
      t.ok((answered[200] ?? 0) > 0 && bytes > 0, `${kind} were answered`);
      t.notOk(cut, `${kind} were not cut`);
    }
  }

  const [age] = results.stream?.ages ?? [];
  t.ok((age?.count ?? 0) > 0, 'messages came by the stream');
  t.ok((age?.p50 ?? 0) > 0 && (age?.p50 ?? 0) <= (age?.p99 ?? 0), 'and none before its time');

  const { snapshot, idle } = results;
  t.equal(snapshot?.before.length, 1);
  t.equal(snapshot?.end.length, 1);
  t.equal(snapshot?.after.length, 1);
  t.same(
    idle?.memory.map(({ rounds }) => rounds.length),
    [1, 1],
  );
  t.match(idle?.life, {
    before: { open: 20, closed: {} },
    join: { count: 20 },
    message: { count: 20 },
    exit: 0,
    after: { open: 0, closed: { 1001: 20 } },
    left: 0,
  });
  t.equal(idle?.life?.connected, idle?.life?.disconnected);

  t.ok(results.fsync.before.p50 > 0 && results.fsync.after.count > 0);
  t.equal(results.stopped, null);
  t.match(results.postgres.settings, { fsync: 'on', synchronous_commit: 'on', max_connections: '100' });
  t.match(results.machine.node, /^v24/);
  t.equal(results.verdicts.length, 21);
  const judged = results.verdicts.map(({ measured }) => measured !== null);
  t.same(
    [0, 1, 3, 6].map((row) => judged[row]),
    [false, false, false, false],
    'nobody had 50 or 1,000 connections',
  );
  t.match(bench.output(), '### Against the bounds');
  t.match(bench.output(), '| a lone sender');

  t.same(await readdir(bench.folder), [], 'its folder is empty again');
  t.same(await processesIn(bench.folder), []);
});

// On the Postgres of the tests: one of its own is tried above.
const endless = [
  '--use-database-url',
  '--only',
  'write',
  '--arms',
  'ws,minutebook',
  '--connections',
  '2',
  '--rounds',
  '1000',
];

/** Waits until it measures; a bench that ends before fails what follows. */
async function untilMeasuring({ child, output }: Awaited<ReturnType<typeof startBench>>): Promise<void> {
  while (!output().includes('round 1') && child.exitCode === null) await once(child.stderr, 'data');
}

/** Its databases in the Postgres of the tests. */
const databases = (): Promise<{ name: string }[]> =>
  query(serverUrl(), `select datname as name from pg_database where datname like 'minutebook_bench_%'`);

test('Ctrl-C stops everything that it started', async (t) => {
  const bench = await startBench(t, ...endless, '--seconds', '1');
  await untilMeasuring(bench);
  t.ok((await processesIn(bench.folder)).length > 1);
  t.equal((await databases()).length, 1);
  bench.child.kill('SIGINT');
  t.equal(await bench.exited, 1, bench.output());
  t.match(bench.output(), 'Not everything was measured: Stopped by SIGINT.');
  t.match(bench.output(), '| bare ws ', 'what was measured is told');
  t.same(await readdir(bench.folder), []);
  t.same(await processesIn(bench.folder), []);
  t.same(await databases(), []);
});

test('so does the end of whoever reads its output', async (t) => {
  const bench = await startBench(t, ...endless, '--seconds', '0.2');
  await untilMeasuring(bench);
  bench.child.stderr.destroy();
  t.equal(await bench.exited, 1);
  t.same(await readdir(bench.folder), []);
  t.same(await processesIn(bench.folder), []);
  t.same(await databases(), []);
});

test('an option that is wrong is told at once, with the usage', async (t) => {
  const bench = await startBench(t, '--only', 'everything');
  t.equal(await bench.exited, 2);
  t.match(bench.output(), '--only: “everything” is none of');
  t.match(bench.output(), '--snapshot-minutes');
});
