import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  chmod,
  copyFile,
  mkdir,
  readdir,
  readFile,
  readlink,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type Test, test } from 'tap';
import { findBinaries } from '../../db/embedded/binaries.ts';
import { attachEmbedded, startEmbedded } from '../../db/embedded/index.ts';
import { findPostmaster, stopPostmaster } from '../../db/embedded/postmaster.ts';
import { runAs } from '../../db/embedded/user.ts';
import { temporaryFolder } from '../support/app.ts';
import { until } from '../support/client.ts';
import { plainEnvironment } from '../support/environment.ts';
import { query } from '../support/postgres.ts';

const ONE = 'select 1 as one';
const isRoot = process.getuid?.() === 0;

/** A data folder whose Postgres is stopped when the test ends, whoever has it then. */
async function emptyFolder(t: Test): Promise<string> {
  const dataDir = join(await temporaryFolder(t), 'data');
  t.teardown(() => stopPostmaster(join(dataDir, 'postgres')));
  return dataDir;
}

let made: Promise<string> | undefined;

/** A data folder with a cluster in it that was stopped in good order. It is made once, and copied. */
async function usedFolder(t: Test): Promise<string> {
  made ??= (async () => {
    const original = join(await temporaryFolder(t.parent as Test), 'data');
    const postgres = await startEmbedded(original);
    await query(postgres.url, "create table kept as select 'kept' as text");
    await postgres.stop();
    return original;
  })();
  const original = await made;
  const dataDir = await emptyFolder(t);
  await promisify(execFile)('cp', ['-a', original, dataDir]);
  return dataDir;
}

const isKept = async (t: Test, url: string): Promise<void> => {
  t.strictSame(await query(url, 'select text from kept'), [{ text: 'kept' }], 'the data is there');
};

/** Another process that runs the Postgres of a folder; killed when the test ends. */
async function childOn(t: Test, dataDir: string): Promise<{ child: ChildProcess; pid: number; url: string }> {
  const script = join(import.meta.dirname, '../support/embedded-child.ts');
  const child = spawn(process.execPath, [script, dataDir], {
    env: plainEnvironment(),
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  t.teardown(() => child.kill('SIGKILL'));
  const [chunk] = (await Promise.race([
    once(child.stdout, 'data'),
    once(child, 'exit').then(([code]) => Promise.reject(new Error(`the child ended with ${code}`))),
  ])) as [Buffer];
  return { child, pid: child.pid ?? 0, url: chunk.toString().trim() };
}

const kill = async (child: ChildProcess): Promise<void> => {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
};

const postmasterOf = async (dataDir: string): Promise<number> =>
  (await findPostmaster(join(dataDir, 'postgres')))?.pid ?? 0;

/** Whether a process runs; one that has ended and waits for its parent to notice does not. */
const isAlive = async (pid: number): Promise<boolean> =>
  promisify(execFile)('ps', ['-o', 'stat=', '-p', `${pid}`]).then(
    ({ stdout }) => !stdout.startsWith('Z'),
    () => false,
  );

/** The processes whose command line names a folder, or that work in it. */
async function processesIn(dataDir: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of await readdir('/proc')) {
    if (!/^\d+$/.test(pid) || Number(pid) === process.pid) continue;
    const command = await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '');
    const folder = await readlink(`/proc/${pid}/cwd`).catch(() => '');
    if (command.includes(dataDir) || folder.startsWith(dataDir)) found.push(`${pid}: ${command}`);
  }
  return found;
}

test('a fresh start works within 5 s, below a folder that only its owner may enter, and makes no user', async (t) => {
  const parent = join(await temporaryFolder(t), 'private');
  await mkdir(parent);
  await chmod(parent, 0o700);
  const dataDir = join(parent, 'data');
  t.teardown(() => stopPostmaster(join(dataDir, 'postgres')));
  const users = await readFile('/etc/passwd', 'utf8');

  const start = async () => {
    const startedAt = performance.now();
    const postgres = await startEmbedded(dataDir);
    return { postgres, took: performance.now() - startedAt };
  };
  let { postgres, took } = await start();
  // The machine may have been busy with something else: two more chances.
  for (let more = 2; took >= 5_000 && more > 0; more -= 1) {
    await postgres.stop();
    await rm(dataDir, { recursive: true });
    ({ postgres, took } = await start());
  }
  t.ok(took < 5_000, `it took ${Math.round(took)} ms`);
  t.strictSame(await query(postgres.url, ONE), [{ one: 1 }]);
  t.match(
    await query(
      postgres.url,
      `select current_setting('fsync') as fsync, current_setting('synchronous_commit') as synchronous_commit,
        current_setting('full_page_writes') as full_page_writes, current_setting('server_encoding') as encoding,
        current_setting('listen_addresses') as listen_addresses, current_setting('data_checksums') as checksums`,
    ),
    [
      {
        fsync: 'on',
        synchronous_commit: 'on',
        full_page_writes: 'on',
        encoding: 'UTF8',
        listen_addresses: '127.0.0.1',
      },
    ],
  );
  t.equal(await readFile('/etc/passwd', 'utf8'), users, 'no user was made');
  const pid = await postmasterOf(dataDir);
  if (process.platform === 'linux') {
    const status = await readFile(`/proc/${pid}/status`, 'utf8');
    if (isRoot) t.notMatch(status, /^Uid:\t0\t/m, 'it does not run as root');
    const [, , , , session] = (await readFile(`/proc/${pid}/stat`, 'utf8')).replace(/\(.*\) /, '').split(' ');
    t.equal(Number(session), pid, 'it has a session of its own, which Ctrl-C does not reach');
  }
  await postgres.stop();
  t.notOk(await isAlive(pid), 'stopped, it is gone');
  await t.rejects(query(postgres.url, ONE), { code: 'ECONNREFUSED' });
});

test('without its password nobody gets in', async (t) => {
  const dataDir = await usedFolder(t);
  const postgres = await startEmbedded(dataDir);
  t.teardown(postgres.stop);
  t.match(new URL(postgres.url).password, /^[0-9a-f]{48}$/);
  for (const password of ['', 'minutebook', '0'.repeat(48)]) {
    const url = new URL(postgres.url);
    url.password = password;
    await t.rejects(query(url.href, ONE), `“${password}”`);
  }
});

test('what a failing statement holds does not reach the log file', async (t) => {
  const dataDir = await usedFolder(t);
  const postgres = await startEmbedded(dataDir);
  t.teardown(postgres.stop);
  await t.rejects(query(postgres.url, "select 'a secret' from nowhere"));
  await t.rejects(query(postgres.url, 'select $1::text', ['another secret \0']));
  const log = await readFile(join(dataDir, 'postgres.log'), 'utf8');
  t.match(log, /nowhere/, 'that it failed is in the log');
  t.notMatch(log, /secret/);
});

test('a second start reuses the data, within 2 s', async (t) => {
  const dataDir = await usedFolder(t);
  const start = performance.now();
  const postgres = await startEmbedded(dataDir);
  const took = performance.now() - start;
  t.ok(took < 2_000, `it took ${Math.round(took)} ms`);
  await isKept(t, postgres.url);
  await postgres.stop();
});

test('a cluster that was half made when its process died is made anew', async (t) => {
  const dataDir = await emptyFolder(t);
  await mkdir(join(dataDir, 'postgres.new/base'), { recursive: true });
  await writeFile(join(dataDir, 'postgres.new/PG_VERSION'), '18\n');
  const postgres = await startEmbedded(dataDir);
  t.strictSame(await query(postgres.url, ONE), [{ one: 1 }]);
  await postgres.stop();
});

test('a Postgres that a killed process left behind is replaced, and the data is there', async (t) => {
  const dataDir = await usedFolder(t);
  const { child, url } = await childOn(t, dataDir);
  const left = await postmasterOf(dataDir);
  await kill(child);
  t.ok(await isAlive(left), 'Postgres lives on');
  await query(url, 'create table after_the_kill as select 1 as one');
  const postgres = await startEmbedded(dataDir);
  t.notOk(await isAlive(left));
  t.not(await postmasterOf(dataDir), left);
  await isKept(t, postgres.url);
  t.strictSame(await query(postgres.url, 'select * from after_the_kill'), [{ one: 1 }]);
  await postgres.stop();
  t.strictSame(await processesIn(dataDir), []);
});

test('a Postgres left behind is found also when the folder is reached by another path', async (t) => {
  const dataDir = await usedFolder(t);
  const link = `${dataDir}-link`;
  await symlink(dataDir, link);
  const { child } = await childOn(t, link);
  t.ok(await postmasterOf(dataDir), 'by its real path');
  await t.rejects(
    startEmbedded(dataDir),
    { message: new RegExp(`process ${child.pid}`) },
    'the lock is the same',
  );
  await kill(child);
  const postgres = await startEmbedded(dataDir);
  await isKept(t, postgres.url);
  await postgres.stop();
});

test('a second process on the folder is refused, and told which process has it', async (t) => {
  const dataDir = await usedFolder(t);
  const { child, pid, url } = await childOn(t, dataDir);
  await t.rejects(startEmbedded(dataDir), {
    name: 'SetupError',
    message: new RegExp(
      `^Another Minutebook server \\(process ${pid}\\) is running on the data folder .*DATA_DIR`,
    ),
  });
  await isKept(t, url);
  await kill(child);
  const postgres = await startEmbedded(dataDir);
  await t.rejects(
    startEmbedded(dataDir),
    { message: new RegExp(`process ${process.pid}`) },
    'also by ourselves',
  );
  await isKept(t, postgres.url);
  await postgres.stop();
  await (await startEmbedded(dataDir)).stop();
});

test('a short task reaches the running server’s Postgres without stopping it, or starts its own', async (t) => {
  const dataDir = await usedFolder(t);
  const { child, url } = await childOn(t, dataDir);
  const attached = await attachEmbedded(dataDir);
  await isKept(t, attached.url);
  t.equal(attached.url, url);
  await attached.stop();
  await isKept(t, url);
  await kill(child);

  const own = await attachEmbedded(dataDir);
  await isKept(t, own.url);
  await own.stop();
  await t.rejects(query(own.url, ONE), { code: 'ECONNREFUSED' });
  t.strictSame(await processesIn(dataDir), []);
});

test('a folder of another Postgres major is refused, and left as it is', async (t) => {
  const dataDir = await emptyFolder(t);
  await mkdir(join(dataDir, 'postgres'), { recursive: true });
  await writeFile(join(dataDir, 'postgres/PG_VERSION'), '17\n');
  for (const attempt of ['first', 'second, for the first let go of the folder']) {
    await t.rejects(
      startEmbedded(dataDir),
      {
        name: 'SetupError',
        message: /made by Postgres 17, but .* brings Postgres 18\..*docs\/operations\.md/,
      },
      attempt,
    );
  }
  t.strictSame(await readdir(join(dataDir, 'postgres')), ['PG_VERSION']);
});

test('a Postgres that is killed is started again on the same URL, and the data is there', async (t) => {
  const dataDir = await usedFolder(t);
  const exits: (number | null)[] = [];
  const postgres = await startEmbedded(dataDir, { onRestart: (code) => exits.push(code) });
  t.teardown(postgres.stop);
  for (const round of [1, 2]) {
    await query(postgres.url, `create table round_${round} as select 1 as one`);
    const pid = await postmasterOf(dataDir);
    process.kill(pid, 'SIGKILL');
    await until('it is told', () => exits.length >= round);
    await until('it answers again', () =>
      query(postgres.url, ONE).then(
        () => true,
        () => false,
      ),
    );
    t.not(await postmasterOf(dataDir), pid);
    t.strictSame(await query(postgres.url, `select * from round_${round}`), [{ one: 1 }]);
  }
  await isKept(t, postgres.url);
  t.equal(exits[0], null, 'no exit code: a signal');
  await postgres.stop();
  t.strictSame(await processesIn(dataDir), [], 'stopped, it is not started again');
});

test('stopping while it is being started again leaves no Postgres behind', { skip: !isRoot }, async (t) => {
  const dataDir = await usedFolder(t);
  // A “setpriv” that waits at a gate, so that a start is as slow as the test wants.
  const slow = await temporaryFolder(t);
  const gate = join(slow, 'gate');
  const real = (await promisify(execFile)('which', ['setpriv'])).stdout.trim();
  await writeFile(
    join(slow, 'setpriv'),
    `#!/bin/sh\nwhile [ -e ${gate} ]; do sleep 0.02; done\nexec ${real} "$@"\n`,
    { mode: 0o755 },
  );
  const { PATH } = process.env;
  process.env.PATH = `${slow}:${PATH}`;
  t.teardown(() => {
    process.env.PATH = PATH;
  });

  for (const wait of ['at once', 'when it is spawned', 'when it has begun']) {
    let told = false;
    const postgres = await startEmbedded(dataDir, {
      onRestart: () => {
        told = true;
      },
    });
    const pid = await postmasterOf(dataDir);
    if (wait === 'when it is spawned') await writeFile(gate, '');
    // All of it at once, for the next one waits until nobody holds the memory of the one before.
    for (const line of await processesIn(dataDir)) process.kill(Number.parseInt(line, 10), 'SIGKILL');
    await until('it is told', () => told);
    if (wait === 'when it is spawned') {
      await until('it is spawned', async () => (await processesIn(dataDir)).length > 0);
    } else if (wait === 'when it has begun') {
      await until('it has begun', async () => ![0, pid].includes(await postmasterOf(dataDir)));
    }
    await postgres.stop();
    // What was forked while the others were killed ends by itself, when it misses its postmaster.
    await until(`none is left, stopped ${wait}`, async () => (await processesIn(dataDir)).length === 0);
    await rm(gate, { force: true });
  }
});

test('a stale postmaster.pid does not get its process id’s new owner killed', async (t) => {
  const dataDir = await usedFolder(t);
  const stranger = spawn('sleep', ['600'], { stdio: 'ignore' });
  t.teardown(() => stranger.kill());
  const clusterDir = join(dataDir, 'postgres');
  await writeFile(
    join(clusterDir, 'postmaster.pid'),
    `${stranger.pid}\n${clusterDir}\n1700000000\n5432\n\n127.0.0.1\n`,
  );
  t.equal(await findPostmaster(clusterDir), undefined);
  await stopPostmaster(clusterDir);
  t.ok(await isAlive(stranger.pid ?? 0), 'nobody was killed');
  if (isRoot) {
    // Postgres itself takes the file for stale only when the process belongs to another user.
    const postgres = await startEmbedded(dataDir);
    await isKept(t, postgres.url);
    await postgres.stop();
    t.ok(await isAlive(stranger.pid ?? 0), 'nor now');
  }
});

test('another cluster’s server is not taken for this one’s, however alike the folders are called', async (t) => {
  const dataDir = await usedFolder(t);
  // The other folder’s path ends with this one’s: /tmp/x/data/nested/tmp/x/data
  const alike = join(`${dataDir}/nested`, dataDir);
  await mkdir(alike, { recursive: true });
  await promisify(execFile)('cp', ['-a', join(dataDir, 'postgres'), alike]);
  const postgres = await startEmbedded(alike);
  t.teardown(postgres.stop);
  const pid = await postmasterOf(alike);
  for (const clusterDir of [join(dataDir, 'postgres'), join(alike, 'postgre')]) {
    await mkdir(clusterDir, { recursive: true });
    await writeFile(
      join(clusterDir, 'postmaster.pid'),
      `${pid}\n${clusterDir}\n1700000000\n5432\n\n127.0.0.1\n`,
    );
    t.equal(await findPostmaster(clusterDir), undefined, clusterDir);
  }
  await isKept(t, postgres.url);
});

test('a Postgres that cannot start is told with the place of its log, and lets go of the folder', async (t) => {
  const dataDir = await usedFolder(t);
  const settings = join(dataDir, 'postgres/postgresql.conf');
  const good = await readFile(settings, 'utf8');
  await writeFile(settings, `${good}\nno_such_setting = on\n`);
  await t.rejects(startEmbedded(dataDir), {
    name: 'SetupError',
    message: /^The embedded Postgres ended at its start \(exit code 1\); see .*postgres\.log\.$/,
  });
  await writeFile(settings, good);
  const postgres = await startEmbedded(dataDir);
  await isKept(t, postgres.url);
  await postgres.stop();
});

test('as root, the programs are found below a folder that only root may enter', async (t) => {
  if (!isRoot) {
    t.comment('skipped: only root runs Postgres as somebody else');
    t.pass();
    return;
  }
  const { postgres } = await findBinaries();
  const folder = await temporaryFolder(t);
  await chmod(folder, 0o700);
  await mkdir(join(folder, 'bin'));
  const copy = join(folder, 'bin/postgres');
  await copyFile(postgres, copy);
  await symlink(join(postgres, '../../lib'), join(folder, 'lib'));
  const { file, args } = runAs({ uid: 65_534, gid: 65_534 }, { file: copy, args: ['--version'] });
  const { stdout, stderr } = await promisify(execFile)(file, args);
  t.match(stdout, /^postgres \(PostgreSQL\)/);
  t.equal(stderr, '', 'it asks access(2) whether it may be run, and is told yes');
});
