import { createWriteStream, rmSync, statSync } from 'node:fs';
import { rename } from 'node:fs/promises';
import { pipeline } from 'node:stream/promises';
import { type Command, Option } from 'commander';
import { type ExportFormat, exportFormats } from '../core/actions.ts';
import { ExportCheck, type ExportVerdict } from '../core/export-check.ts';
import { ask } from './ask.ts';
import { addConnectionOptions, type ConnectionOptions, openConnection } from './connection.ts';
import type { Context } from './context.ts';
import { CliError, exitCodes } from './exit.ts';
import { addFilters, filterParameters } from './filters.ts';
import { tell } from './output.ts';

type ExportOptions = ConnectionOptions & { format: ExportFormat; output?: string; force?: boolean };

/** Passes a body on to a stream, and judges whether it was whole. */
async function pass(
  response: Response,
  format: ExportFormat,
  to: NodeJS.WritableStream,
  signal: AbortSignal,
): Promise<ExportVerdict> {
  const check = new ExportCheck(format);
  let isBroken = false;
  async function* checked(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of response.body ?? []) {
        check.add(chunk);
        yield chunk;
      }
    } catch {
      // What came is kept.
      isBroken = true;
    }
  }
  await pipeline(checked(), to, { end: to !== process.stdout });
  signal.throwIfAborted();
  return isBroken ? { ok: false, reason: 'it is cut off: the connection broke' } : check.end();
}

async function passToFile(
  response: Response,
  { format, output = '' }: ExportOptions,
  signal: AbortSignal,
): Promise<ExportVerdict> {
  const part = `${output}.part`;
  try {
    // For its owner alone, whoever could read the one before: it holds what people said. Without a turn between, in which
    // a connection that breaks would take along what has come.
    rmSync(part, { force: true });
    const verdict = await pass(response, format, createWriteStream(part, { mode: 0o600 }), signal);
    if (verdict.ok) await rename(part, output);
    return verdict;
  } catch (error) {
    if (signal.aborted) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    throw new CliError(exitCodes.failed, `${output} cannot be written (${code ?? message}).`, error);
  }
}

async function exportAll(options: ExportOptions, { environment, signal }: Context): Promise<void> {
  const { format, output, force } = options;
  if (output === '') throw new CliError(exitCodes.usage, '--output names no file.');
  const there = output === undefined ? undefined : statSync(output, { throwIfNoEntry: false });
  if (there?.isDirectory()) throw new CliError(exitCodes.usage, `${output} is a folder; name a file.`);
  if (there !== undefined && force !== true) {
    throw new CliError(exitCodes.usage, `${output} is there already; --force replaces it.`);
  }
  const connection = openConnection(options, environment);
  const parameters = new URLSearchParams([...filterParameters(options), ['format', format]]);
  const response = await ask(connection, '/audit/export', parameters, { signal });
  const verdict =
    output === undefined
      ? await pass(response, format, process.stdout, signal)
      : await passToFile(response, options, signal);
  if (!verdict.ok) {
    const where = output === undefined ? '' : ` What came is in ${output}.part.`;
    throw new CliError(exitCodes.incomplete, `The export is not whole: ${verdict.reason}.${where}`);
  }
  const { count, first_seq, last_seq } = verdict.trailer;
  const which = count === 0 ? '' : `, seq ${first_seq} to ${last_seq}`;
  tell(`The export is whole: ${count} events${which}.`);
}

/** `export`. */
export function addExportCommand(program: Command, context: Context): void {
  const command = program
    .command('export')
    .summary('save all events that match, as a file that can be checked')
    .description(
      'Saves all events that match, oldest first, up to the head of the log at the start, and checks count and SHA-256 in ' +
        `the last line. A file is written as FILE.part until it is whole. Exit code ${exitCodes.incomplete}: it is not.`,
    );
  addFilters(command)
    .addOption(
      new Option('--format <format>', 'a JSON object a line, or CSV')
        .choices(exportFormats)
        .default('ndjson'),
    )
    .option('-o, --output <file>', 'where to (default: standard output)')
    .option('--force', 'replace the file, if it is there');
  addConnectionOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook export -o log.ndjson
  $ minutebook export --format csv --from 2026-11-01T00:00:00Z --to 2026-12-01T00:00:00Z -o november.csv
  $ minutebook export --user-id alice | gzip > alice.ndjson.gz`,
    )
    .action((options: ExportOptions) => exportAll(options, context));
}
