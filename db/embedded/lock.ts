import { createHash } from 'node:crypto';
import { realpath, unlink } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { join } from 'node:path';
import { SetupError } from '../../src/core/setup-error.ts';

/** A hold on a data folder; it ends with the process, however that ends. */
export type DataLock = { release: () => Promise<void> };

/**
 * Where the holder of a folder listens. Linux has abstract sockets (unix(7)), which vanish with their process.
 * Elsewhere it is a file, which a killed process leaves behind.
 */
async function addressOf(dataDir: string): Promise<{ path: string; isFile: boolean }> {
  const real = await realpath(dataDir);
  const name = `minutebook-${createHash('sha256').update(real).digest('hex').slice(0, 32)}`;
  if (process.platform === 'linux') return { path: `\0${name}`, isFile: false };
  return { path: join(real, 'lock'), isFile: true };
}

function listen(path: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    // Whoever is refused the folder asks by whom, and gets the process id.
    const server = createServer((socket) => socket.on('error', () => {}).end(String(process.pid)));
    server.once('error', reject);
    server.listen(path, () => resolve(server));
    server.unref();
  });
}

/** The process id of the holder; undefined when nobody answers. */
function askHolder(path: string): Promise<string | undefined> {
  return new Promise((resolve) => {
    let answer = '';
    const socket = connect(path);
    socket.setTimeout(1_000, () => socket.destroy());
    socket.on('data', (chunk) => {
      answer += chunk.toString();
    });
    socket.on('error', () => {});
    socket.on('close', () => resolve(answer === '' ? undefined : answer));
  });
}

/**
 * Takes a data folder for this process; undefined when another process has it.
 *
 * @throws SetupError when the lock cannot be made at all
 */
export async function tryLockDataDir(dataDir: string): Promise<DataLock | undefined> {
  const { path, isFile } = await addressOf(dataDir);
  for (let attempt = 0; attempt < 2; attempt += 1) {
    try {
      const server = await listen(path);
      return { release: () => new Promise((resolve) => server.close(() => resolve())) };
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'EADDRINUSE') {
        throw new SetupError(`The data folder ${dataDir} cannot be locked.`, error);
      }
      if (!isFile || (await askHolder(path)) !== undefined) return undefined;
      await unlink(path).catch(() => {});
    }
  }
  return undefined;
}

/**
 * Takes a data folder for this process.
 *
 * @throws SetupError naming the process that has it
 */
export async function lockDataDir(dataDir: string): Promise<DataLock> {
  const lock = await tryLockDataDir(dataDir);
  if (lock !== undefined) return lock;
  const { path } = await addressOf(dataDir);
  const holder = await askHolder(path);
  throw new SetupError(
    `Another Minutebook server${holder === undefined ? '' : ` (process ${holder})`} is running on the data folder ` +
      `${dataDir}. Stop it first, or set DATA_DIR to another folder.`,
  );
}
