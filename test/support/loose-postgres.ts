import { spawn } from 'node:child_process';
import { join } from 'node:path';
import type { Test } from 'tap';
import { findBinaries } from '../../db/embedded/binaries.ts';
import { startEmbedded } from '../../db/embedded/index.ts';
import { stopPostmaster, waitUntilReady } from '../../db/embedded/postmaster.ts';
import { clusterUser, runAs } from '../../db/embedded/user.ts';
import { migrate } from '../../db/migrate.ts';
import { temporaryFolder } from './app.ts';
import { until } from './client.ts';
import { openDb } from './log-store.ts';
import { query } from './postgres.ts';

export type LoosePostgres = { url: string; clusterDir: string; restart: () => Promise<void> };

/** A Postgres of the test’s own, without the settings that the embedded one insists on; migrated. */
export async function loosePostgres(t: Test): Promise<LoosePostgres> {
  const dataDir = await temporaryFolder(t);
  const clusterDir = join(dataDir, 'postgres');
  const made = await startEmbedded(dataDir);
  await migrate(openDb(t, made.url, 'migrate'));
  await made.stop();

  const { postgres } = await findBinaries();
  const { file, args } = runAs(await clusterUser(clusterDir), {
    file: postgres,
    args: ['-D', clusterDir, '-c', `port=${new URL(made.url).port}`, '-c', 'unix_socket_directories='],
  });
  t.teardown(() => stopPostmaster(clusterDir));
  const restart = async (): Promise<void> => {
    await stopPostmaster(clusterDir);
    const child = spawn(file, args, { cwd: clusterDir, stdio: 'ignore', env: { PATH: process.env.PATH } });
    const gone = new Promise<never>((_, reject) => child.once('exit', () => reject(new Error('it ended'))));
    gone.catch(() => {});
    await waitUntilReady(made.url, gone);
  };
  await restart();
  return { url: made.url, clusterDir, restart };
}

/** Sets something for the whole server, and waits until a new connection sees it. */
export async function alterSystem(url: string, name: string, value: string): Promise<void> {
  await query(url, `alter system set ${name} = ${value}`);
  await query(url, 'select pg_reload_conf()');
  await until(`${name} is ${value}`, async () => {
    const rows = await query<{ value: string }>(url, `select current_setting('${name}') as value`);
    return rows[0]?.value === value;
  });
}
