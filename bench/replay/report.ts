import type { Plan } from './plan.ts';
import type { Tally } from './player.ts';

const number = (value: number): string => value.toLocaleString('en-US');
const row = (label: string, value: string, note = ''): string =>
  `  ${label.padEnd(22)}${value.padStart(12)}  ${note}`;

/** Says what will be played, beside what the file holds. */
export function describePlan({ file, played, added, skipped, users }: Plan): string {
  return [
    'in the file',
    row('messages', number(file.messages), `${number(file.blankTexts)} of them blank`),
    row(
      '',
      '',
      `${number(file.messagesFromOutside)} from ${number(file.usersOutside)} users who had not joined`,
    ),
    row('joins', number(file.joins), `${number(file.repeatedJoins)} of them repeated`),
    row('leaves', number(file.leaves), `${number(file.leavesOutside)} of them from outside`),
    row('nick changes', number(file.nicks)),
    'played, each user over a session of their own',
    row('users', number(users.size)),
    row('messages', number(played.messages), `${number(skipped.texts)} blank texts skipped`),
    row(
      'joins',
      number(played.joins),
      `${number(skipped.joins)} repeated skipped, ${number(added.joinsOfSpeakers)} added for speakers outside, ` +
        `${number(added.joinsOfNicks)} for new names`,
    ),
    row(
      'leaves',
      number(played.leaves),
      `${number(skipped.leaves)} from outside skipped, ${number(added.leavesOfNicks)} added for old names`,
    ),
  ].join('\n');
}

const percentile = (sorted: readonly number[], share: number): number =>
  sorted[Math.min(sorted.length - 1, Math.floor(sorted.length * share))] ?? 0;

/** The table at the end. */
export function describeResult(tally: Tally, seconds: number): string {
  const sorted = tally.latencies.toSorted((a, b) => a - b);
  return [
    'result',
    row('sent', number(tally.sent)),
    row('acknowledged', number(tally.acknowledged)),
    row(
      'refused',
      number(tally.refused),
      [...tally.reasons].map(([why, n]) => `${why}: ${number(n)}`).join(', '),
    ),
    row('told to wait', number(tally.waited), 'rate limited or not ready, then tried again'),
    row('seconds', seconds.toFixed(1)),
    row('per second', number(Math.round(tally.acknowledged / seconds))),
    row(
      'latency p50',
      `${percentile(sorted, 0.5).toFixed(1)} ms`,
      'from the first sending to the acknowledgement',
    ),
    row('latency p99', `${percentile(sorted, 0.99).toFixed(1)} ms`),
  ].join('\n');
}

/** A progress bar, on a terminal only. */
export function startProgress(tally: Tally, total: number): () => void {
  const { stderr } = process;
  if (!stderr.isTTY) return () => {};
  const width = 40;
  const draw = (): void => {
    const done = tally.acknowledged + tally.refused;
    const filled = total === 0 ? width : Math.round((done / total) * width);
    stderr.write(
      `\r  [${'#'.repeat(filled)}${' '.repeat(width - filled)}] ${number(done)} of ${number(total)}`,
    );
  };
  const timer = setInterval(draw, 100);
  return () => {
    clearInterval(timer);
    draw();
    stderr.write('\n');
  };
}
