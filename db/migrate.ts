import { sql } from 'kysely';
import { Migrator } from 'kysely/migration';
import { readConfig } from '../src/config.ts';
import { SetupError } from '../src/core/setup-error.ts';
import { loadDotenv } from '../src/dotenv.ts';
import { createClient, type Db } from './client.ts';
import { attachEmbedded } from './embedded/index.ts';
import { migrations } from './migrations/index.ts';

/** What is applied, what is to be applied, and what a newer server has applied that this one does not know. */
export type MigrationStatus = { applied: string[]; pending: string[]; unknown: string[] };

async function appliedNames(db: Db): Promise<string[]> {
  const { rows: tables } = await sql<{ readable: boolean | null }>`
    select has_table_privilege(to_regclass('public.kysely_migration'), 'select') as readable`.execute(db);
  const readable = tables[0]?.readable ?? null;
  if (readable === null) return [];
  if (!readable) {
    throw new SetupError(
      'This role may not read the database’s schema. Give it the rights that db/roles.sql gives, then run ' +
        '“npm run db:migrate” with the owner’s DATABASE_URL.',
    );
  }
  const { rows } = await sql<{
    name: string;
  }>`select name from public.kysely_migration order by name`.execute(db);
  return rows.map(({ name }) => name);
}

/** Compares the database’s schema with the migrations that this server brings. Changes nothing. */
export async function migrationStatus(db: Db): Promise<MigrationStatus> {
  const applied = await appliedNames(db);
  const known = Object.keys(migrations);
  return {
    applied: applied.filter((name) => known.includes(name)),
    pending: known.filter((name) => !applied.includes(name)),
    unknown: applied.filter((name) => !known.includes(name)),
  };
}

/**
 * Brings the schema up to date. Instances that start together wait for one another (the migrator holds a
 * lock in the database), and each migration happens once or not at all.
 *
 * @returns the names of the migrations that were applied now
 * @throws SetupError when the schema is newer than this server, or the role may not change it
 */
export async function migrate(db: Db): Promise<string[]> {
  const { pending, unknown } = await migrationStatus(db);
  if (unknown.length > 0) {
    throw new SetupError(
      `The database’s schema is newer than this server: it has ${unknown.join(', ')}. Start the newer version.`,
    );
  }
  if (pending.length === 0) return [];
  const migrator = new Migrator({ db, provider: { getMigrations: async () => migrations } });
  const { error, results } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const denied = (error as { code?: string }).code === '42501';
    throw new SetupError(
      denied
        ? `The database’s schema is not up to date (missing: ${pending.join(', ')}) and this role may not change ` +
            'it. Run “npm run db:migrate” with the owner’s DATABASE_URL.'
        : `A migration failed: ${error instanceof Error ? error.message : String(error)}`,
      error,
    );
  }
  return (results ?? [])
    .filter(({ status }) => status === 'Success')
    .map(({ migrationName }) => migrationName);
}

async function main(command: string | undefined): Promise<void> {
  if (command !== 'up' && command !== 'status') throw new SetupError('usage: node db/migrate.ts up|status');
  // Nothing listens here, so nothing depends on the address that the server will have.
  const { databaseUrl, dataDir } = readConfig({ ...process.env, HOST: undefined });
  const embedded = databaseUrl === undefined ? await attachEmbedded(dataDir) : undefined;
  const db = createClient({
    url: databaseUrl ?? embedded?.url ?? '',
    applicationName: 'minutebook migrate',
    purpose: 'migrate',
    onError: (error) => console.error(error.message),
  });
  try {
    if (command === 'up') {
      const done = await migrate(db);
      console.log(done.length === 0 ? 'The schema is up to date.' : `Applied: ${done.join(', ')}.`);
    } else {
      const { applied, pending, unknown } = await migrationStatus(db);
      console.log(`applied: ${applied.join(', ') || 'none'}`);
      console.log(`pending: ${pending.join(', ') || 'none'}`);
      if (unknown.length > 0) console.log(`of a newer server: ${unknown.join(', ')}`);
    }
  } finally {
    await db.destroy();
    await embedded?.stop();
  }
}

if (import.meta.main) {
  try {
    loadDotenv();
    await main(process.argv[2]);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
