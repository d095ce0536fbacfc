import { execFile } from 'node:child_process';
import { chown, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { temporaryFolder } from '../support/app.ts';

const run = promisify(execFile);
const MIB = 1024 * 1024;

/** A small disk of its own, in memory. Unmounted when the test ends. */
export async function mountTmpfs(t: Test, sizeMib: number, owner = 0): Promise<string> {
  const dir = await temporaryFolder(t);
  await run('mount', ['-t', 'tmpfs', '-o', `size=${sizeMib}m,mode=0700`, 'tmpfs', dir]);
  t.teardown(() => run('umount', ['--lazy', dir]));
  await chown(dir, owner, owner);
  return dir;
}

const ballastIn = (dir: string): string => join(dir, 'ballast');

/** Fills a disk to the last byte. */
export async function fillDisk(dir: string): Promise<void> {
  const file = await open(ballastIn(dir), 'a');
  try {
    for (let chunk = MIB; chunk >= 4_096; chunk /= 2) {
      const bytes = Buffer.alloc(chunk);
      for (let written = chunk; written === chunk; ) written = await writeWhatFits(file, bytes);
    }
  } finally {
    await file.close();
  }
}

/** How much of it could be written: 0 on a full disk. */
async function writeWhatFits(file: Awaited<ReturnType<typeof open>>, bytes: Buffer): Promise<number> {
  try {
    return (await file.write(bytes)).bytesWritten;
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOSPC') return 0;
    throw error;
  }
}

/** Gives the space back. */
export const freeDisk = (dir: string): Promise<void> => rm(ballastIn(dir), { force: true });
