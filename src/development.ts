import { randomBytes } from 'node:crypto';
import { link, mkdir, readFile, unlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { SetupError } from './core/setup-error.ts';

const keyFile = (dataDir: string): string => join(dataDir, 'development-key');

/** The key of development mode, if a server has made one. */
export async function existingDevelopmentSecret(dataDir: string): Promise<string | undefined> {
  const key = await readFile(keyFile(dataDir), 'utf8').catch(() => undefined);
  return key?.trim() || undefined;
}

/**
 * The key of development mode, made once and kept, so that yesterday's links work today. Two servers that
 * start together agree on one: the file is only made when it is not there.
 */
export async function developmentSecret(dataDir: string): Promise<string> {
  await mkdir(dataDir, { recursive: true, mode: 0o700 });
  const path = keyFile(dataDir);
  const draft = `${path}.${process.pid}`;
  await writeFile(draft, randomBytes(32).toString('base64url'), { mode: 0o600 });
  // A link is made whole or not at all, and never over another server's key.
  await link(draft, path).catch((error: NodeJS.ErrnoException) => {
    if (error.code !== 'EEXIST') throw error;
  });
  await unlink(draft);
  const key = (await readFile(path, 'utf8')).trim();
  if (key.length < 32) throw new SetupError(`${path} does not hold a key; delete it, and a new one is made.`);
  return key;
}
