import { setTimeout as delay } from 'node:timers/promises';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { createClient, type Db, openPool, type PoolStats, type Purpose } from '../db/client.ts';
import { startEmbedded } from '../db/embedded/index.ts';
import { migrate } from '../db/migrate.ts';
import { Notifications, type NotificationsOptions } from '../db/notifications.ts';
import { checkDatabase, type DatabaseFacts } from '../db/self-check.ts';
import { SetupError } from '../src/core/setup-error.ts';

/** How long the end of the server waits for statements under way. */
const CLOSE_MS = 1_000;

export type DatabaseOptions = {
  /** undefined: the embedded Postgres in `dataDir`. */
  url: string | undefined;
  dataDir: string;
  applicationName: string;
  /** How long a read of the log may take, in milliseconds. */
  readMs: number;
};

/** The database, by what one wants of it, so that reading never queues in front of writing. */
export type DatabaseHandle = {
  write: Db;
  tail: Db;
  read: Db;
  /** For what a handshake has to ask. */
  handshake: Db;
  /** For what an act of an administrator has to ask. */
  moderation: Db;
  /** For what makes the index of the log. */
  index: Db;
  facts: DatabaseFacts;
  /** Opens a connection that hears and tells other instances how far the log has come; to be closed by the caller. */
  notifications: (onHint: NotificationsOptions['onHint']) => Notifications;
  /** The connections, by purpose. */
  pools: () => Record<Exclude<Purpose, 'migrate'>, PoolStats>;
};

declare module 'fastify' {
  interface FastifyInstance {
    database: DatabaseHandle;
  }
}

/** Opens the database, brings its schema up to date and refuses one that would lose data; closed last. */
export default fp(
  async function database(
    fastify: FastifyInstance,
    { url, dataDir, applicationName, readMs }: DatabaseOptions,
  ) {
    let closing = false;
    const onError = (error: Error): void => {
      // Connections that our own Postgres ends while it is stopped are no news.
      if (!closing) fastify.log.warn({ code: (error as { code?: string }).code }, error.message);
    };
    const embedded =
      url === undefined
        ? await startEmbedded(dataDir, {
            onRestart: (exitCode) =>
              fastify.log.error({ exitCode }, 'the embedded Postgres ended; restarting it'),
          })
        : undefined;
    const settings = (purpose: Purpose) => ({
      url: url ?? embedded?.url ?? '',
      applicationName,
      purpose,
      onError,
    });
    const pools = {
      write: openPool(settings('write')),
      tail: openPool(settings('tail')),
      read: openPool({ ...settings('read'), readMs }),
      handshake: openPool(settings('handshake')),
      moderation: openPool(settings('moderation')),
      index: openPool(settings('index')),
    };
    const write = pools.write.db;
    fastify.addHook('onClose', async () => {
      closing = true;
      const closed = Promise.all(Object.values(pools).map(({ db }) => db.destroy()));
      // A database that does not answer must not hold up the end of the process.
      await Promise.race([closed, delay(CLOSE_MS, undefined, { ref: false })]);
      await embedded?.stop();
    });

    async function prepare(): Promise<DatabaseFacts> {
      // Before anything is changed in a database that is then refused.
      const facts = await checkDatabase(write);
      const patient = createClient(settings('migrate'));
      try {
        const applied = await migrate(patient);
        if (applied.length > 0) fastify.log.info({ applied }, 'the schema was brought up to date');
      } finally {
        await patient.destroy();
      }
      return facts;
    }

    const facts = await prepare().catch((error: Error) => {
      if (error instanceof SetupError) throw error;
      throw new SetupError(`The database cannot be used: ${error.message}. Check DATABASE_URL.`, error);
    });
    fastify.decorate('database', {
      write,
      tail: pools.tail.db,
      read: pools.read.db,
      handshake: pools.handshake.db,
      moderation: pools.moderation.db,
      index: pools.index.db,
      facts,
      notifications: (onHint) =>
        new Notifications({ url: url ?? embedded?.url ?? '', applicationName, onHint, onError }),
      pools: () => ({
        write: pools.write.stats(),
        tail: pools.tail.stats(),
        read: pools.read.stats(),
        handshake: pools.handshake.stats(),
        moderation: pools.moderation.stats(),
        index: pools.index.stats(),
      }),
    });
  },
  { name: 'database', dependencies: ['errors'] },
);
