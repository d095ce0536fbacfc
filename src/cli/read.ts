import type { Command } from 'commander';
import { Option } from 'commander';
import type { AuditEvent, AuditPage } from '../core/schemas.ts';
import { askJson } from './ask.ts';
import {
  addConnectionOptions,
  type Connection,
  type ConnectionOptions,
  openConnection,
} from './connection.ts';
import { type Context, count, countOrNone } from './context.ts';
import { addFilters, filterParameters } from './filters.ts';
import { follow } from './follow.ts';
import { eventLine } from './lines.ts';
import { tell, write } from './output.ts';

const PAGE = 1_000;
/** As many events may be recorded while the last ones are asked for, without a second page for what was before. */
const MEANWHILE = 50;

type ReadOptions = ConnectionOptions & { json?: boolean };

type PagesOptions = {
  order: 'asc' | 'desc';
  most: number;
  /** How many events a page holds at most. */
  page?: number;
  signal: AbortSignal;
};

/** Pages of what matches, as many events as were asked for. */
async function* pages(
  connection: Connection,
  parameters: URLSearchParams,
  { order, most, page: size = PAGE, signal }: PagesOptions,
): AsyncGenerator<AuditPage> {
  let cursor: string | null = null;
  for (let left = most; left > 0; ) {
    const query = new URLSearchParams([
      ...parameters,
      ['order', order],
      ['limit', String(Math.min(left, size))],
    ]);
    if (cursor !== null) query.set('cursor', cursor);
    const page: AuditPage = await askJson<AuditPage>(connection, '/audit', query, signal);
    yield page;
    if (!page.has_more) return;
    left -= page.data.length;
    cursor = page.next_cursor;
  }
}

const printer = ({ json = false }: ReadOptions) => {
  const look = { json, colours: process.stdout.isTTY === true && process.stdout.hasColors() };
  return (event: AuditEvent): Promise<void> => write(process.stdout, `${eventLine(event, look)}\n`);
};

type QueryOptions = ReadOptions & { order: 'asc' | 'desc'; limit: number; all?: boolean };

async function query(options: QueryOptions, { environment, signal }: Context): Promise<void> {
  const connection = openConnection(options, environment);
  const print = printer(options);
  const most = options.all === true ? Number.POSITIVE_INFINITY : options.limit;
  let printed = 0;
  let isMore = false;
  for await (const page of pages(connection, filterParameters(options), {
    order: options.order,
    most,
    signal,
  })) {
    for (const event of page.data) await print(event);
    printed += page.data.length;
    isMore = page.has_more;
  }
  if (isMore) tell(`There is more than these ${printed}; --all gives everything, --limit another number.`);
}

type TailOptions = ReadOptions & { last: number; follow?: boolean; from?: string[] };

async function tail(options: TailOptions, { environment, signal }: Context): Promise<void> {
  const connection = openConnection(options, environment);
  const parameters = filterParameters(options);
  const print = printer(options);

  /** Prints the last that match, oldest first, but none after a seq. */
  async function printLast(head = Number.POSITIVE_INFINITY): Promise<void> {
    const events: AuditEvent[] = [];
    // What came after the head is in the stream, so more than these may have to be asked for.
    const most = head === Number.POSITIVE_INFINITY ? options.last : Number.POSITIVE_INFINITY;
    const size = Math.min(PAGE, options.last + MEANWHILE);
    for await (const page of pages(connection, parameters, { order: 'desc', most, page: size, signal })) {
      events.push(...page.data.filter(({ seq }) => seq <= head));
      if (events.length >= options.last) break;
    }
    for (const event of events.slice(0, options.last).reverse()) await print(event);
  }

  if (options.follow !== true) return printLast();
  const events = follow(connection, {
    parameters,
    signal,
    // A stream that starts in history brings it along.
    onOpen: async (head) => {
      if (options.from === undefined && options.last > 0) await printLast(head);
    },
    onNotice: (text) => tell(`minutebook: ${text}`),
  });
  try {
    for await (const event of events) await print(event);
  } catch (error) {
    // Ctrl-C is how following ends.
    if (!signal.aborted) throw error;
  }
}

/** `query` and `tail`. */
export function addReadCommands(program: Command, context: Context): void {
  const queryCommand = program
    .command('query')
    .summary('print the events that match')
    .description('Prints the events that match, newest first. The read is itself recorded, as AUDIT_READ.');
  addFilters(queryCommand)
    .option('--limit <number>', 'how many events at most', count, 50)
    .option('--all', 'all that match, however many')
    .addOption(
      new Option('--order <order>', 'newest or oldest first').choices(['desc', 'asc']).default('desc'),
    )
    .option('--json', 'an event a line, as JSON');
  addConnectionOptions(queryCommand)
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook query --user-id alice --from -24h
  $ minutebook query --action USER_BANNED --action USER_KICKED --limit 10
  $ minutebook query --q "hello" --room lobby --all --order asc --json | jq .message`,
    )
    .action((options: QueryOptions) => query(options, context));

  const tailCommand = program
    .command('tail')
    .summary('print the last events, and follow the log')
    .description(
      'Prints the last events that match. With --follow it goes on with those to come, and after a break of the ' +
        'connection, or a restart of the server, where it was: none is lost, none comes twice.',
    );
  addFilters(tailCommand)
    .option('-n, --last <number>', 'how many of the last events; with --follow, 0 for none', countOrNone, 20)
    .option('-f, --follow', 'go on with what is recorded from now on; with --from, from there')
    .option('--json', 'an event a line, as JSON');
  addConnectionOptions(tailCommand)
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook tail --follow
  $ minutebook tail -n 100 --room lobby --action MESSAGE_SENT
  $ minutebook tail --follow --from -15m --json | jq -c '[.user_id, .message]'`,
    )
    .action((options: TailOptions) => tail(options, context));
}
