import { statfs } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { type DiskSpace, isShort } from '../src/core/disk-space.ts';

const CHECK_MS = 10_000;
const MIB = 1024 * 1024;

export type DiskOptions = {
  /** Where the log's files are; undefined when they are on another machine, whose disk is not ours to see. */
  folder: string | undefined;
  /** How long between two looks, in milliseconds. */
  checkMs?: number;
  look?: (folder: string) => Promise<DiskSpace>;
};

/** The disk that the log is on, as last seen. */
export type Disk = {
  /** undefined: not known. */
  space: () => DiskSpace | undefined;
  isShort: () => boolean;
  /** What an operator should know. */
  warnings: () => string[];
};

declare module 'fastify' {
  interface FastifyInstance {
    disk: Disk;
  }
}

/** What the file system says; `bavail` is what is left for those who are not root, as Postgres is not. */
async function askSystem(folder: string): Promise<DiskSpace> {
  const { bavail, blocks, bsize } = await statfs(folder);
  return { free: bavail * bsize, size: blocks * bsize };
}

const mib = (bytes: number): string => `${Math.floor(bytes / MIB)} MiB`;

/** Watches the disk of the embedded Postgres, and warns before it is full. */
export default fp(
  async function disk(
    fastify: FastifyInstance,
    { folder, checkMs = CHECK_MS, look = askSystem }: DiskOptions,
  ) {
    let space: DiskSpace | undefined;
    let short = false;
    /** Why the disk could not be looked at, the last time; undefined when it could. */
    let blind: string | undefined;

    async function check(path: string): Promise<void> {
      try {
        space = await look(path);
        blind = undefined;
      } catch (error) {
        const { message } = error as Error;
        if (message !== blind) fastify.log.warn(`the disk of the log cannot be looked at: ${message}`);
        blind = message;
        return;
      }
      const wasShort = short;
      short = isShort(space, wasShort);
      if (short && !wasShort) fastify.log.warn(space, 'the disk of the log runs short');
      if (wasShort && !short) fastify.log.info(space, 'the disk of the log has space again');
    }

    if (folder !== undefined) {
      await check(folder);
      const timer = setInterval(() => void check(folder), checkMs);
      fastify.addHook('onClose', async () => clearInterval(timer));
    }

    fastify.decorate('disk', {
      space: () => space,
      isShort: () => short,
      warnings: () =>
        short && space !== undefined
          ? [
              `only ${mib(space.free)} of ${mib(space.size)} are free on the disk of the log; when it is full, ` +
                'nothing can be written',
            ]
          : [],
    });
  },
  { name: 'disk', dependencies: ['errors'] },
);
