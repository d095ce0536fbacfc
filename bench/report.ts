import { arms } from './arms.ts';
import type { IdleLife, IdleResult, Memory } from './parts/idle.ts';
import { againstOne } from './parts/instances.ts';
import type { ReadsResult } from './parts/reads.ts';
import type { SnapshotResult } from './parts/snapshot.ts';
import type { StreamResult } from './parts/stream.ts';
import type { Results } from './results.ts';
import { commonCells, commonHead, middle, over, rateOf, withRange } from './slices.ts';
import { type Latency, type Spread, spread } from './stats.ts';
import { digits, table } from './table.ts';
import { verdictTable } from './verdict.ts';

const KIB = 1_024;

/** What was measured with. */
function conditions({ machine, postgres, fsync, load, options }: Results): string {
  const settings = Object.entries(postgres.settings)
    .map(([name, value]) => `${name}=${value}`)
    .join(', ');
  const disk = (latency: Latency): string => `p50 ${digits(latency.p50)} ms, p99 ${digits(latency.p99)} ms`;
  return [
    `- ${machine.at}, commit ${machine.git}`,
    `- ${machine.cpus} x ${machine.cpu}, ${machine.memoryGiB} GiB, ${machine.system}; servers, Postgres and load share them`,
    `- Node ${machine.node}, ws ${machine.ws}, fastify ${machine.fastify}, ` +
      `@fastify/websocket ${machine['@fastify/websocket']}, pg ${machine.pg}`,
    `- Postgres ${postgres.version}: ${settings}`,
    `- fdatasync of 8 KiB: before ${disk(fsync.before)}; after ${disk(fsync.after)}`,
    `- load average: before ${load.before.toFixed(2)}, after ${load.after.toFixed(2)}`,
    `- rounds: ${options.rounds}, each of ${options.seconds} s after ${options.warmup} s of warm-up; ` +
      'medians, and (min..max) over the rounds',
  ].join('\n');
}

function writeTable({ write }: Results): string {
  const rows = write.map(({ arm, connections, slices }) => [
    arms[arm],
    String(connections),
    withRange(over(slices, rateOf)),
    ...commonCells(slices),
  ]);
  return table(['arm', 'connections', 'messages/s', ...commonHead], rows);
}

function openTable({ open }: Results): string {
  const rows = open.map(({ arm, rate, slices }) => [
    arms[arm],
    rate.toLocaleString('en-US'),
    withRange(over(slices, rateOf)),
    middle(spread(slices.map(({ unanswered }) => unanswered))),
    middle(spread(slices.map(({ late }) => late.p99))),
    ...commonCells(slices),
  ]);
  return table(['arm', 'due/s', 'answered/s', 'unanswered', 'sent late, p99 ms', ...commonHead], rows);
}

function fanoutTable({ fanout }: Results): string {
  const rows = fanout.map(({ arm, members, slices }) => [
    arm === 'ws' ? 'bare ws broadcast' : arms[arm],
    members.toLocaleString('en-US'),
    withRange(over(slices, rateOf)),
    ...commonCells(slices),
  ]);
  return table(['arm', 'members', 'deliveries/s', ...commonHead], rows);
}

function instancesTable({ instances: all }: Results): string {
  const rows = all.map(({ instances, rooms, slices }) => [
    `${instances} x Minutebook`,
    String(rooms),
    withRange(over(slices, rateOf)),
    instances === 1 ? '' : withRange(againstOne(all, rooms)),
    middle(over(slices, ({ deliveries, seconds }) => deliveries / seconds)),
    ...commonCells(slices),
  ]);
  return table(['processes', 'rooms', 'messages/s', 'against one', 'to others/s', ...commonHead], rows);
}

function snapshotTable({
  before,
  meanwhile,
  end,
  dump,
  noDump,
  after,
  minutes,
  ...result
}: SnapshotResult): string {
  const ratio = (of: Spread | null): string => (of === null ? '' : withRange(of));
  const row = (when: string, slices: typeof before, against: Spread | null): string[] => [
    when,
    withRange(over(slices, rateOf)),
    ratio(against),
    ...commonCells(slices),
  ];
  const rows = [
    row('before', before, null),
    ...meanwhile.map(({ ageSeconds, slice }) => row(`open for ${ageSeconds} s`, [slice], null)),
    row(`open for ${minutes} min`, end, result.ratio),
    ...(dump.length > 0 ? [row('and pg_dump, standing still', dump, result.dumpRatio)] : []),
    row('after', after, null),
  ];
  const note = noDump === null ? '' : `\n\nWithout pg_dump: ${noDump}.`;
  return table(['snapshot', 'messages/s', 'against without', ...commonHead], rows) + note;
}

const readers = {
  pages: 'one who reads as much as the limit allows',
  burst: 'the same, as fast as they are answered',
  stats: 'one who counts as often, two at a time',
  search: 'one who searches by `q` as often, two at a time',
  exports: 'two exports of one user',
  history: 'a stream that reads from history',
  live: 'a live stream of everything',
  streams: 'twenty of those, of one user',
  limited: 'reads beyond the limit',
  denied: 'reads without a right to it',
  hasty: 'the same, a connection for each, whose answer is not waited for',
} as const;

function readsTable({ before, kinds, after }: ReadsResult): string {
  const row = (beside: string, slices: typeof before, cells: string[]): string[] => [
    beside,
    withRange(over(slices, rateOf)),
    ...cells,
    ...commonCells(slices),
  ];
  const rows = [
    row('nobody, before', before, ['', '', '', '', '']),
    ...kinds.map(({ kind, slices, answers, ratio }) => {
      const read = spread(answers.map(({ 200: pages = 0 }) => pages));
      const refused = spread(answers.map(({ 401: denied = 0, 429: limited = 0 }) => denied + limited));
      const mib = spread(answers.map(({ bytes = 0 }) => bytes / KIB / KIB));
      const asked = spread(answers.map(({ asked = 0 }) => asked));
      return row(readers[kind], slices, [ratio, read, mib, asked, refused].map(withRange));
    }),
    row('nobody, after', after, ['', '', '', '', '']),
  ];
  return table(
    [
      'beside',
      'messages/s',
      'against without',
      'answers/s',
      'MiB/s',
      'asked in vain/s',
      'refused/s',
      ...commonHead,
    ],
    rows,
  );
}

function streamTable({ rate, slices, ages }: StreamResult): string {
  const over = (pick: (age: Latency) => number): string => withRange(spread(ages.map(pick)));
  const row = [
    rate.toLocaleString('en-US'),
    middle(spread(ages.map(({ count }) => count))),
    over(({ p50 }) => p50),
    over(({ p99 }) => p99),
    over(({ max }) => max),
    middle(spread(slices.map(({ latency }) => latency.p99))),
  ];
  return table(['messages/s', 'came', 'p50 ms', 'p99 ms', 'max ms', 'acknowledged, p99 ms'], [row]);
}

const eachKib = (
  rounds: readonly Memory[],
  which: 'full' | 'collected',
  connections: number,
): Spread | null => spread(rounds.map((round) => (round[which] - round.empty) / connections / KIB));

function memoryTable({ memory, connections }: IdleResult): string {
  const rows = memory.map(({ arm, rounds }) => [
    arms[arm],
    connections.toLocaleString('en-US'),
    withRange(eachKib(rounds, 'full', connections)),
    withRange(eachKib(rounds, 'collected', connections)),
    withRange(spread(rounds.map(({ full }) => full / KIB / KIB))),
    withRange(spread(rounds.map(({ openSeconds }) => openSeconds))),
  ]);
  return table(
    ['arm', 'idle connections', 'KiB each', 'KiB each, after GC', 'MiB in all', 'opened in s'],
    rows,
  );
}

function describeLife(life: IdleLife, connections: number): string {
  const codes = (closed: Record<string, number>): string =>
    Object.entries(closed)
      .map(([code, count]) => `${count} with ${code}`)
      .join(', ') || 'none';
  const times = ({ p50, max }: Latency): string => `p50 ${digits(p50)} ms, max ${digits(max)} ms`;
  const { before, after, join, message } = life;
  return [
    `- held for ${life.heldSeconds} s: ${before.open} of ${connections} open, closed: ${codes(before.closed)}; ` +
      `each answered ${before.minPings} pings or more`,
    `- then ${join.count} of them at once: join ${times(join)}; message ${times(message)}`,
    `- SIGTERM with all open: ended in ${digits(life.stopSeconds)} s with ${life.exit}; closed: ${codes(after.closed)}`,
    `- in the log: ${life.connected} CONNECTED, ${life.disconnected} DISCONNECTED, ${life.left} sessions left open`,
  ].join('\n');
}

/** The whole result as Markdown that can be read as it is. */
export function describeResults(results: Results): string {
  const { write, open, fanout, instances, reads, stream, snapshot, idle, verdicts } = results;
  const sections: [title: string, text: string][] = [['Against the bounds', verdictTable(verdicts)]];
  sections.push(['Measured with', conditions(results)]);
  if (write.length > 0)
    sections.push(['Closed loop, each connection in a room of its own', writeTable(results)]);
  if (open.length > 0)
    sections.push(['Open loop, 50 connections, latency from the intended time', openTable(results)]);
  if (fanout.length > 0) sections.push(['One message at a time to one room', fanoutTable(results)]);
  if (instances.length > 0)
    sections.push(['Closed loop, 50 connections, on one instance and on two', instancesTable(results)]);
  if (reads !== null)
    sections.push(['Minutebook, 50 connections, beside somebody who reads', readsTable(reads)]);
  if (stream !== null)
    sections.push(['From a message’s time in the log to the reader of the live stream', streamTable(stream)]);
  if (snapshot !== null)
    sections.push(['Minutebook, 50 connections, beside a foreign snapshot', snapshotTable(snapshot)]);
  if (idle !== null) {
    sections.push(['Idle connections, in no room', memoryTable(idle)]);
    if (idle.life !== null)
      sections.push(['Minutebook with them', describeLife(idle.life, idle.connections)]);
  }
  return sections.map(([title, text]) => `### ${title}\n\n${text}`).join('\n\n');
}
