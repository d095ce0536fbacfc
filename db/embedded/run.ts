import { spawn } from 'node:child_process';
import { readConfig } from '../../src/config.ts';
import { SetupError } from '../../src/core/setup-error.ts';
import { loadDotenv } from '../../src/dotenv.ts';
import { attachEmbedded } from './index.ts';

/** Where a Postgres is, as every program built on libpq reads it; a password on a command line can be seen. */
function libpqEnvironment(url: string): Record<string, string> {
  const { hostname, port, username, password, pathname } = new URL(url);
  return {
    PGHOST: hostname,
    PGPORT: port,
    PGUSER: username,
    PGPASSWORD: password,
    PGDATABASE: pathname.slice(1),
  };
}

function run(command: string, args: string[], environment: Record<string, string>): Promise<number> {
  return new Promise((done, fail) => {
    const child = spawn(command, args, { stdio: 'inherit', env: { ...process.env, ...environment } });
    child.once('error', (error) =>
      fail(new SetupError(`${command} cannot be run: ${error.message}.`, error)),
    );
    child.once('exit', (code) => done(code ?? 1));
  });
}

/**
 * Runs a program such as pg_dump or psql on the embedded Postgres: the running server's, or one started for
 * it. Unlike the server it migrates nothing, so that a dump can be restored into an empty cluster.
 */
async function main([command, ...args]: string[]): Promise<void> {
  if (command === undefined) throw new SetupError('usage: npm run db:run -- COMMAND [ARGUMENT...]');
  const { databaseUrl, dataDir } = readConfig({ ...process.env, HOST: undefined });
  if (databaseUrl !== undefined)
    throw new SetupError('DATABASE_URL is set, so no embedded Postgres is in use.');
  const embedded = await attachEmbedded(dataDir);
  // Ctrl-C reaches the command as well; Postgres must be stopped when that has ended.
  process.on('SIGINT', () => {});
  try {
    process.exitCode = await run(command, args, libpqEnvironment(embedded.url));
  } finally {
    await embedded.stop();
  }
}

try {
  loadDotenv();
  await main(process.argv.slice(2));
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exitCode = 1;
}
