import { Command, CommanderError } from 'commander';
import { SetupError } from '../core/setup-error.ts';
import { loadDotenv } from '../dotenv.ts';
import { version } from '../version.ts';
import type { Context } from './context.ts';
import { addDoctorCommand } from './doctor.ts';
import { CliError, exitCodes } from './exit.ts';
import { addExportCommand } from './export.ts';
import { visible } from './lines.ts';
import { endWithReader, tell } from './output.ts';
import { addReadCommands } from './read.ts';
import { addStatsCommand } from './stats.ts';
import { addTokenCommand } from './token.ts';

/** All commands. Exit codes stand in docs/cli.md. */
function buildProgram(context: Context): Command {
  const program = new Command('minutebook')
    .description('Runs a Minutebook server, and reads its audit log.')
    .version(version)
    .exitOverride()
    .showHelpAfterError('(--help says how)')
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook serve
  $ minutebook tail --follow
  $ minutebook query --user-id alice --from -24h
  $ minutebook COMMAND --help`,
    );
  program
    .command('serve')
    .summary('run the server')
    .description(
      'Runs the server, as npm start does. It is configured by the environment; see docs/configuration.md.',
    )
    .addHelpText('after', '\nExamples:\n  $ minutebook serve\n  $ PORT=8080 LOG_LEVEL=warn minutebook serve')
    // Loaded only here, for it takes longer to load than all the others.
    .action(async () => {
      const { serve } = await import('../server.ts');
      await serve();
    });
  addReadCommands(program, context);
  addExportCommand(program, context);
  addStatsCommand(program, context);
  addTokenCommand(program, context);
  addDoctorCommand(program, context);
  return program;
}

/** What went wrong, in a line, and the exit code that says it to scripts. */
function fail(error: unknown, signal: AbortSignal): number {
  // Of the parser; it has said what it had to say.
  if (error instanceof CommanderError) return error.exitCode === 0 ? exitCodes.ok : exitCodes.usage;
  if (signal.aborted) return exitCodes.interrupted;
  if (error instanceof CliError || error instanceof SetupError) {
    tell(`minutebook: ${visible(error.message)}`);
    return error instanceof CliError ? error.exitCode : exitCodes.failed;
  }
  console.error(error);
  return exitCodes.failed;
}

async function main(): Promise<void> {
  const interrupt = new AbortController();
  const closers = new Set<() => Promise<void>>();
  // The server takes the signals itself.
  if (process.argv[2] !== 'serve') {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, () => interrupt.abort());
    endWithReader(closers);
  }
  loadDotenv();
  const context = { environment: process.env, signal: interrupt.signal, closers };
  try {
    await buildProgram(context).parseAsync();
  } catch (error) {
    process.exitCode = fail(error, interrupt.signal);
  }
}

if (import.meta.main) await main();
