import { signal } from '@preact/signals';
import { useEffect, useLayoutEffect, useMemo, useRef } from 'preact/hooks';
import { ProblemError } from '../../common/api.ts';
import { Clock, timeZoneOf } from '../../common/time.ts';
import { useMedia } from '../../common/use-media.ts';
import { chipNames } from '../filter.ts';
import { release } from '../live/session.ts';
import { connection, hasOlder, isPaused, problem, reading, readOlder, rows, waiting } from '../log.ts';
import { GivenUp } from '../state/given-up.tsx';
import { Nothing } from '../state/nothing.tsx';
import { Slow } from '../state/slow.tsx';
import { TroubleNotice } from '../state/trouble.tsx';
import { change, filterKey, view } from '../view.ts';
import './list.css';
import { ListRow } from './row.tsx';
import { type Item, isBeforeAnybody, itemsOf, keyOfItem, waitingCount } from './rows.ts';
import { useVirtual } from './use-virtual.ts';

/** How near the end older rows are read. */
const NEAR_PX = 600;
const AT_TOP_PX = 8;
const NARROW = '(max-width: 40rem)';

/** The seq of the row that the keyboard is on. */
const active = signal<number | undefined>(undefined);

/** The events that are shown, newest first. */
export const shownEvents = () => (rows.value ?? []).flatMap((row) => (row.is === 'event' ? [row.event] : []));

/** The event above (-1) or below (1) another in the list. */
export function neighbour(seq: number | undefined, by: -1 | 1) {
  const events = shownEvents();
  const at = events.findIndex((event) => event.seq === seq);
  return events[at === -1 ? 0 : at + by];
}

/** Moves the keyboard's row, and the open event with it. */
export function step(by: -1 | 1): void {
  const from = view.value.event ?? active.value;
  const next = neighbour(from, by);
  if (next === undefined) return;
  active.value = next.seq;
  if (view.value.event !== undefined) change({ event: next.seq }, 'replace');
}

export const openActive = (): void => {
  if (active.value !== undefined) change({ event: active.value });
};

/** Lets in what waits, and goes on. */
export function goOn(): void {
  document.querySelector('.list')?.scrollTo({ top: 0 });
  getSelection()?.empty();
  isPaused.value = false;
  release();
}

const sizeOf = (item: Item | undefined, isNarrow: boolean): number =>
  item?.is === 'day' ? 30 : item?.is === 'gap' ? 44 : isNarrow ? 58 : 31;

export function List() {
  const { zone, event: open } = view.value;
  const clock = useMemo(() => new Clock(timeZoneOf(zone)), [zone]);
  const shown = rows.value;
  const items = useMemo(() => itemsOf(shown ?? [], dayTeller(clock)), [shown, clock]);
  const scroller = useRef<HTMLElement>(null);
  const isNarrow = useMedia(NARROW);
  const virtual = useVirtual({
    scroller,
    count: items.length,
    sizeOf: (index) => sizeOf(items[index], isNarrow),
    keyOf: (index) => keyOfItem(items[index] as Item),
  });
  const visible = virtual.getVirtualItems();
  const top = visible[0]?.start ?? 0;
  const bottom = virtual.getTotalSize() - (visible.at(-1)?.end ?? 0);
  const firstSeq = shown?.find((row) => row.is === 'event');
  const tabStop = active.value ?? (firstSeq?.is === 'event' ? firstSeq.event.seq : undefined);

  // The row that the keyboard is on is seen, and has the focus unless something else holds it.
  useLayoutEffect(() => {
    const seq = active.value;
    const index = items.findIndex((item) => item.is === 'event' && item.event.seq === seq);
    if (index === -1) return;
    virtual.scrollToIndex(index, { align: 'auto' });
    const frame = requestAnimationFrame(() => {
      if (document.activeElement?.closest('dialog') !== null) return;
      scroller.current?.querySelector<HTMLElement>(`tr[data-seq="${seq}"] a`)?.focus({ preventScroll: true });
    });
    return () => cancelAnimationFrame(frame);
  }, [active.value]);

  useEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    const onScroll = () => {
      if (element.scrollHeight - element.scrollTop - element.clientHeight < NEAR_PX) void readOlder();
      if (connection.peek().is === 'off') return;
      if (element.scrollTop > AT_TOP_PX) isPaused.value = true;
      else if (isPaused.peek() && getSelection()?.isCollapsed !== false) {
        isPaused.value = false;
        release();
      }
    };
    const onSelect = () => {
      const selection = getSelection();
      if (selection === null || selection.isCollapsed || !element.contains(selection.anchorNode)) return;
      if (connection.peek().is !== 'off') isPaused.value = true;
    };
    const onClick = (event: MouseEvent) => {
      const row = (event.target as Element).closest<HTMLElement>('tr[data-seq]');
      if (row === null || event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      // Who selects text does not open it.
      if (getSelection()?.isCollapsed === false) return;
      active.value = Number(row.dataset.seq);
      change({ event: Number(row.dataset.seq) });
    };
    element.addEventListener('scroll', onScroll, { passive: true });
    element.addEventListener('click', onClick);
    document.addEventListener('selectionchange', onSelect);
    return () => {
      element.removeEventListener('scroll', onScroll);
      element.removeEventListener('click', onClick);
      document.removeEventListener('selectionchange', onSelect);
    };
  }, []);

  const isGivenUp =
    shown === undefined &&
    reading.value === 'no' &&
    connection.value.is === 'off' &&
    problem.value === undefined;
  const isUnknown = shown === undefined && (isGivenUp || problem.value !== undefined);
  const isEmpty = shown !== undefined && shown.length === 0;
  return (
    <section class="list-frame" aria-label="Events">
      {problem.value !== undefined && !isOfChip(problem.value) && <TroubleNotice error={problem.value} />}
      <Slow />
      <Pill />
      <section class="list" ref={scroller} aria-label="Table of events" aria-busy={reading.value === 'first'}>
        {isGivenUp && <GivenUp />}
        {isUnknown ? null : isEmpty ? (
          reading.value === 'no' && problem.value === undefined && <Nothing />
        ) : (
          <table
            aria-rowcount={hasOlder.value ? -1 : items.length + 1}
            style={{ marginBlock: `${top}px ${Math.max(bottom, 0)}px` }}
          >
            <thead>
              <tr aria-rowindex={1}>
                <th scope="col" class="time">
                  time
                </th>
                <th scope="col" class="action">
                  action
                </th>
                <th scope="col" class="user">
                  user_id
                </th>
                <th scope="col" class="where">
                  where, to whom
                </th>
                <th scope="col" class="summary">
                  what
                </th>
              </tr>
            </thead>
            <tbody>
              {visible.map(({ index, key }) => {
                const item = items[index];
                if (item === undefined) return null;
                const seq = item.is === 'event' ? item.event.seq : undefined;
                return (
                  <ListRow
                    key={key}
                    item={item}
                    index={index}
                    clock={clock}
                    isOpen={seq !== undefined && seq === open}
                    isActive={seq !== undefined && seq === tabStop}
                  />
                );
              })}
            </tbody>
          </table>
        )}
        {shown !== undefined && !isEmpty && (
          <p class="end faint">
            {reading.value === 'older' ? (
              'Reading older ones …'
            ) : hasOlder.value ? (
              <button type="button" onClick={() => void readOlder()}>
                Load older
              </button>
            ) : (
              'That is all that matches.'
            )}
            {filterKey.value === '' && !hasOlder.value && isBeforeAnybody(shown) && <OpenChat />}
          </p>
        )}
      </section>
    </section>
  );
}

/** There is nothing yet but what the server did, and those who read. */
const OpenChat = () => (
  <span class="row">
    Nobody has been in the chat.
    <a class="button" href="./">
      Open the chat
    </a>
  </span>
);

/** Said where it is: at the chip of the filter. */
const isOfChip = (error: Error): boolean =>
  error instanceof ProblemError &&
  (error.parameter === 'from' ||
    error.parameter === 'to' ||
    chipNames.some((name) => name === error.parameter));

/** How many wait, and the way to go on. Only the number is told to screen readers. */
function Pill() {
  const count = waitingCount(waiting.value);
  return (
    <div role="status" class="pill-place">
      {isPaused.value && connection.value.is !== 'off' && (
        <button type="button" class="primary pill" onClick={goOn}>
          {count === 0 ? 'Paused: go on' : `${count.toLocaleString('en')} new event${count === 1 ? '' : 's'}`}
        </button>
      )}
    </div>
  );
}

/** Says a time's day; each minute is worked out once. */
function dayTeller(clock: Clock): (timestamp: string) => string {
  const known = new Map<string, string>();
  const now = Date.now();
  return (timestamp) => {
    const minute = timestamp.slice(0, 16);
    const day = known.get(minute) ?? clock.day(timestamp, now);
    known.set(minute, day);
    return day;
  };
}
