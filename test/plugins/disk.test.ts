import { execFile } from 'node:child_process';
import { statfs } from 'node:fs/promises';
import { promisify } from 'node:util';
import Fastify from 'fastify';
import { test } from 'tap';
import disk, { type DiskOptions } from '../../plugins/disk.ts';
import errors from '../../plugins/errors.ts';
import type { DiskSpace } from '../../src/core/disk-space.ts';
import { temporaryFolder } from '../support/app.ts';
import { until } from '../support/client.ts';
import { readScrape } from '../support/exposition.ts';
import { startServer } from '../support/server.ts';

const run = promisify(execFile);
const GIB = 1024 ** 3;

/** The plugin alone, with what it logs. */
async function watch(options: DiskOptions) {
  const lines: { level: number; msg: string }[] = [];
  const app = Fastify({ logger: { stream: { write: (line: string) => lines.push(JSON.parse(line)) } } });
  await app.register(errors);
  await app.register(disk, options);
  return { app, lines };
}

test('it warns once when the disk runs short, and says once that it has space again', async (t) => {
  let space: DiskSpace = { free: 50 * GIB, size: 100 * GIB };
  let looks = 0;
  const { app, lines } = await watch({
    folder: '/somewhere',
    checkMs: 1,
    look: async () => {
      looks += 1;
      return space;
    },
  });
  const lookAgain = async (next: DiskSpace): Promise<void> => {
    space = next;
    const seen = looks;
    await until('it has looked twice', () => looks > seen + 2);
  };
  t.strictSame(app.disk.warnings(), []);
  await lookAgain({ free: 4 * GIB, size: 100 * GIB });
  t.equal(app.disk.isShort(), true);
  t.strictSame(app.disk.warnings(), [
    'only 4096 MiB of 102400 MiB are free on the disk of the log; when it is full, nothing can be written',
  ]);
  await lookAgain({ free: 3 * GIB, size: 100 * GIB });
  await lookAgain({ free: 50 * GIB, size: 100 * GIB });
  t.strictSame(app.disk.warnings(), []);
  t.match(lines, [
    { level: 40, msg: 'the disk of the log runs short', free: 4 * GIB },
    { level: 30, msg: 'the disk of the log has space again' },
  ]);
  t.equal(lines.length, 2);
  await app.close();
  const seen = looks;
  await new Promise((resolve) => setTimeout(resolve, 50));
  t.equal(looks, seen, 'and looks no more once it is closed');
});

test('a folder that cannot be looked at is said once, and what was known stays', async (t) => {
  const folder = await temporaryFolder(t);
  let looks = 0;
  const { app, lines } = await watch({
    folder,
    checkMs: 1,
    look: async (path) => {
      looks += 1;
      if (looks > 1) throw new Error('no such disk');
      const { bavail, blocks, bsize } = await statfs(path);
      return { free: bavail * bsize, size: blocks * bsize };
    },
  });
  await until('it has failed thrice', () => looks > 4);
  t.match(
    lines.filter(({ msg }) => msg.includes('looked')),
    [{ level: 40, msg: 'the disk of the log cannot be looked at: no such disk' }],
  );
  t.equal(lines.filter(({ msg }) => msg.includes('looked')).length, 1);
  t.ok((app.disk.space()?.size ?? 0) > 0);
  await app.close();
});

test('a database elsewhere has a disk that is not ours to see', async (t) => {
  const { app } = await watch({ folder: undefined });
  t.equal(app.disk.space(), undefined);
  t.strictSame(app.disk.warnings(), []);
  await app.close();
});

test('the disk of the embedded Postgres is in readiness, in the log and in the metrics', async (t) => {
  // A disk of 700 MiB has less than 1 GiB free however empty it is. To mount one takes root.
  const dataDir = await temporaryFolder(t);
  const mounted = await run('mount', [
    '-t',
    'tmpfs',
    '-o',
    'size=700m,mode=755',
    'minutebook-test',
    dataDir,
  ]).then(
    () => true,
    () => false,
  );
  if (mounted) t.teardown(() => run('umount', [dataDir]));
  else t.comment('no disk can be mounted here: only what holds on any disk is tried');
  const server = await startServer(t, { dataDir, env: { LOG_LEVEL: 'warn' } });
  const ready = (await (await fetch(`${server.url}/health/ready`)).json()) as { warnings: string[] };
  const scrape = readScrape(await (await fetch(`${server.url}/metrics`)).text());
  const { blocks, bsize } = await statfs(dataDir);
  t.equal(scrape.value('minutebook_disk_size_bytes'), blocks * bsize);
  const free = scrape.value('minutebook_disk_free_bytes') ?? 0;
  t.ok(free > 0 && free < blocks * bsize);
  const warned = scrape.value('minutebook_disk_short');
  t.equal(scrape.value('minutebook_readiness_warnings'), ready.warnings.length);
  t.equal(warned, ready.warnings.length);
  if (mounted) {
    t.match(ready.warnings, [/^only 6\d\d MiB of 700 MiB are free on the disk of the log/]);
    t.match(server.output(), 'the disk of the log runs short');
  }
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
});
