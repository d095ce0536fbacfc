import { ALLOWED, type Findings } from './run.ts';
import type { Holdings } from './target.ts';

const MAX_FAULTS = 20;

const holdings = ({ rssMib, heapMib, files, sockets, streams }: Holdings): string =>
  `${rssMib.toFixed(1)} MiB resident, ${heapMib.toFixed(1)} MiB of heap, ${files} files, ${sockets} WebSockets, ${streams} streams`;

/** Everything that was found, for people. */
export function describe({ options, tally, episodes, guest, before, after, log, faults }: Findings): string {
  const { minutes, seed, workers } = options;
  return [
    `${minutes} min, seed ${seed}, ${workers} workers: ${episodes} episodes, ${log.events} events on record`,
    `a guest who behaved: ${guest.acknowledged} messages acknowledged, the slowest after ${Math.round(guest.longestMs)} ms`,
    'answers:',
    ...tally.lines(),
    `held when warm:  ${holdings(before)}`,
    `held at the end: ${holdings(after)}`,
    `  (allowed more: ${ALLOWED.rssMib} MiB resident, ${ALLOWED.heapMib} MiB of heap, ${ALLOWED.files} files)`,
    faults.length === 0 ? 'nothing is wrong' : `${faults.length} things are wrong:`,
    ...faults.slice(0, MAX_FAULTS).map((fault) => `  ${fault}`),
  ].join('\n');
}
