import { endMs, shifted } from './histogram/buckets.ts';
import { zoomTo } from './histogram/histogram.tsx';
import { goOn, openActive, step } from './list/list.tsx';
import { toggleLive } from './live/status.tsx';
import { connection, histogram, isPaused } from './log.ts';
import { change, view } from './view.ts';

/** What keys do, for the help. */
export const keys = [
  ['/', 'Filter'],
  ['j k', 'The event below, above; also ↓ and ↑ in the list'],
  ['Enter', 'Open the event'],
  ['Esc', 'Close; in the histogram, zoom out'],
  ['L', 'Follow what comes, or stop'],
  ['Space', 'Pause, and go on'],
  ['[ ]', 'The interval before, after'],
  ['z', 'Times here, or in UTC'],
  ['e', 'Export all that match'],
  ['s', 'Sessions and bans'],
  ['?', 'This help'],
] as const;

const isPoint = (time: string | undefined): time is string => time !== undefined && /^\d{4}-/.test(time);

function shift(by: -1 | 1): void {
  const { from, to } = view.value.filter;
  const shown = histogram.value;
  // What is asked for, before it is counted; the bars may still be those of the interval before.
  const [start, end] =
    isPoint(from) && isPoint(to)
      ? [Date.parse(from), Date.parse(to)]
      : shown === undefined
        ? []
        : [shown.startMs, endMs(shown)];
  if (start === undefined || end === undefined || !(end > start)) return;
  const next = shifted(start, end, by);
  zoomTo(next.from, next.to);
}

function pause(): void {
  if (isPaused.value) goOn();
  else isPaused.value = true;
}

const acts: Record<string, () => void> = {
  '/': () => document.getElementById('filter')?.focus(),
  j: () => step(1),
  k: () => step(-1),
  l: toggleLive,
  L: toggleLive,
  '[': () => shift(-1),
  ']': () => shift(1),
  z: () => change({ zone: view.value.zone === 'utc' ? 'local' : 'utc' }, 'replace'),
  e: () => change({ panel: 'export' }),
  s: () => change({ panel: 'sessions' }),
  '?': () => change({ panel: 'help' }),
};

/** Keys of the whole page, except where one types or a dialog has them. */
export function followKeys(): () => void {
  const onKey = (event: KeyboardEvent) => {
    const target = event.target as Element;
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
    if (document.querySelector('dialog:modal') !== null) return;
    if (target.closest('input, textarea, select, [contenteditable]') !== null) return;
    const inList = target.closest('.list') !== null;
    const act =
      event.key === ' ' &&
      connection.value.is !== 'off' &&
      target.closest('button, summary, a[href]:not(.list a)') === null
        ? pause
        : inList && event.key === 'ArrowDown'
          ? acts.j
          : inList && event.key === 'ArrowUp'
            ? acts.k
            : event.key === 'Enter' && target === document.body
              ? openActive
              : acts[event.key];
    if (act === undefined) return;
    event.preventDefault();
    act();
  };
  document.addEventListener('keydown', onKey);
  return () => document.removeEventListener('keydown', onKey);
}
