import { type Command, Option } from 'commander';
import { askJson } from './ask.ts';
import { addConnectionOptions, type ConnectionOptions, openConnection } from './connection.ts';
import { type Context, count } from './context.ts';
import { addFilters, filterParameters } from './filters.ts';
import { visible } from './lines.ts';
import { tell, write } from './output.ts';

const groups = ['time', 'action', 'user_id', 'room'] as const;
/** How long the longest bar is, in characters. */
const BAR = 40;

type StatsOptions = ConnectionOptions & {
  groupBy: (typeof groups)[number];
  buckets?: number;
  limit?: number;
  json?: boolean;
};
type Stats = {
  data: { start?: string; value?: string | null; count: number }[];
  complete?: boolean;
};

/** The counts as lines of a table, with a bar each. */
export function statsLines({ data }: Stats): string[] {
  const most = Math.max(1, ...data.map((row) => row.count));
  const width = Math.max(...data.map((row) => String(row.count).length));
  return data.map(({ start, value, count: number }) => {
    const bar = '█'.repeat(Math.ceil((number / most) * BAR)).padEnd(BAR);
    return `${String(number).padStart(width)}  ${bar}  ${visible(start ?? value ?? '-')}`;
  });
}

async function stats(options: StatsOptions, { environment, signal }: Context): Promise<void> {
  const connection = openConnection(options, environment);
  const parameters = new URLSearchParams([...filterParameters(options), ['group_by', options.groupBy]]);
  if (options.buckets !== undefined) parameters.set('buckets', String(options.buckets));
  if (options.limit !== undefined) parameters.set('limit', String(options.limit));
  const answer = await askJson<Stats>(connection, '/audit/stats', parameters, signal);
  if (options.json === true) return write(process.stdout, `${JSON.stringify(answer)}\n`);
  for (const line of statsLines(answer)) await write(process.stdout, `${line}\n`);
  if (answer.complete === false)
    tell('The server had to stop counting: the numbers are too low. Narrow the interval.');
}

/** `stats`. */
export function addStatsCommand(program: Command, context: Context): void {
  const command = program
    .command('stats')
    .summary('count the events that match')
    .description('Counts the events that match, over time or by action, user or room.');
  addFilters(command)
    .addOption(new Option('--group-by <group>', 'what is counted apart').choices(groups).default('action'))
    .option('--buckets <number>', 'in how many parts time is cut (default: 60)', count)
    .option('--limit <number>', 'how many values at most, where it is not time (default: 10)', count)
    .option('--json', 'the answer of the server, as JSON');
  addConnectionOptions(command)
    .addHelpText(
      'after',
      `
Examples:
  $ minutebook stats
  $ minutebook stats --group-by time --buckets 24 --from -24h
  $ minutebook stats --group-by user_id --action MESSAGE_SENT --room lobby`,
    )
    .action((options: StatsOptions) => stats(options, context));
}
