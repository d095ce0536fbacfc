import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { checkDatabase } from '../db/self-check.ts';
import { SetupError } from '../src/core/setup-error.ts';

/** How long between two looks, in milliseconds. */
const CHECK_MS = 5_000;

/** Whether the database still is one that a start would accept, as last seen. */
export type Durability = {
  /** Whether what is committed now would be kept through a crash. */
  isGiven: () => boolean;
};

declare module 'fastify' {
  interface FastifyInstance {
    durability: Durability;
  }
}

/**
 * Looks again and again at what the start has looked at: `fsync` can be switched off, and a table made UNLOGGED,
 * while the server runs.
 */
export default fp(
  async function durability(fastify: FastifyInstance) {
    const { read } = fastify.database;
    /** What is wrong; null while nothing is known to be. */
    let complaint: string | null = null;
    let closing = false;
    let timer: NodeJS.Timeout;

    async function look(): Promise<void> {
      const found = await checkDatabase(read).then(
        () => null,
        // A database that does not answer says nothing new, and readiness asks for itself whether it answers.
        (error: Error) => (error instanceof SetupError ? error.message : complaint),
      );
      if (closing) return;
      if (found !== null && found !== complaint) fastify.log.error(found);
      if (found === null && complaint !== null) fastify.log.info('the database keeps what it commits again');
      complaint = found;
      schedule();
    }
    function schedule(): void {
      timer = setTimeout(() => void look(), CHECK_MS);
    }
    schedule();

    fastify.decorate('durability', { isGiven: () => complaint === null });
    fastify.addHook('onClose', async () => {
      closing = true;
      clearTimeout(timer);
    });
  },
  { name: 'durability', dependencies: ['database'] },
);
