import { useMemo, useRef, useState } from 'preact/hooks';
import { Clock, timeZoneOf } from '../../common/time.ts';
import { useMedia } from '../../common/use-media.ts';
import { withValues } from '../filter.ts';
import { histogram } from '../log.ts';
import { change, view } from '../view.ts';
import { endMs, type Histogram, intervalOf, ticksOf, totalOf } from './buckets.ts';
import './histogram.css';

const HEIGHT = 64;

/** The intervals that were zoomed out of, the last one last. */
const before: { from: string | undefined; to: string | undefined }[] = [];

/** Shows an interval; undefined: without that end. */
export function zoomTo(from: string | undefined, to: string | undefined): void {
  const { filter } = view.value;
  const next = withValues(
    withValues(filter, 'from', from === undefined ? [] : [from]),
    'to',
    to === undefined ? [] : [to],
  );
  change({ filter: next, live: false });
}

function zoomIn(shown: Histogram, first: number, last: number): void {
  const { from, to } = view.value.filter;
  before.push({ from, to });
  const interval = intervalOf(shown, first, last);
  zoomTo(interval.from, interval.to);
}

/** Back to the interval before; after none, to all time. */
export function zoomOut(): void {
  const { from, to } = before.pop() ?? {};
  zoomTo(from, to);
}

/** Events over time. What is dragged over is zoomed into. */
export function HistogramView() {
  const shown = histogram.value;
  const { zone } = view.value;
  const clock = useMemo(() => new Clock(timeZoneOf(zone)), [zone]);
  if (shown === undefined) return <div class="histogram" aria-hidden="true" />;
  return <Bars shown={shown} clock={clock} />;
}

function Bars({ shown, clock }: { shown: Histogram; clock: Clock }) {
  const [range, setRange] = useState<{ anchor: number; at: number }>();
  const plot = useRef<HTMLDivElement>(null);
  const isDragging = useRef(false);
  const { counts, refused, startMs, widthMs } = shown;
  const size = counts.length;
  const most = Math.max(1, ...counts);
  const isNarrow = useMedia('(max-width: 40rem)');
  const ticks = useMemo(
    () => ticksOf(shown, clock, isNarrow ? 3 : 8),
    [startMs, widthMs, size, clock, isNarrow],
  );
  /** The part of the axis behind which there is no room for a time. */
  const lastLabel = isNarrow ? 0.84 : 0.94;
  const timeAt = (index: number) =>
    clock.full(new Date(startMs + widthMs * index).toISOString()).replace(/\.\d+/, '');
  const at = Math.min(range?.at ?? size - 1, size - 1);
  const [low, high] =
    range === undefined ? [at, at] : [Math.min(range.anchor, range.at), Math.max(range.anchor, range.at)];
  const inRange = counts.slice(low, high + 1).reduce((sum, count) => sum + count, 0);

  function indexOf(event: PointerEvent): number {
    const box = plot.current?.getBoundingClientRect();
    if (box === undefined) return 0;
    return Math.max(0, Math.min(size - 1, Math.floor(((event.clientX - box.left) / box.width) * size)));
  }
  function onKeyDown(event: KeyboardEvent) {
    const by = event.key === 'ArrowLeft' ? -1 : event.key === 'ArrowRight' ? 1 : 0;
    if (by !== 0) {
      event.preventDefault();
      const next = Math.max(0, Math.min(size - 1, at + by));
      setRange({ anchor: event.shiftKey ? (range?.anchor ?? at) : next, at: next });
    } else if (event.key === 'Enter' && range !== undefined) {
      event.preventDefault();
      zoomIn(shown, range.anchor, range.at);
      setRange(undefined);
    } else if (event.key === 'Escape') {
      event.preventDefault();
      event.stopPropagation();
      if (range === undefined) zoomOut();
      else setRange(undefined);
    }
  }
  return (
    <figure class="histogram">
      <div
        ref={plot}
        class="plot"
        role="slider"
        tabIndex={0}
        aria-label="Events over time. Arrows move, with Shift they select, Enter zooms in, Escape out."
        aria-valuemin={0}
        aria-valuemax={size - 1}
        aria-valuenow={at}
        aria-valuetext={`${timeAt(low)} to ${timeAt(high + 1)}: ${inRange.toLocaleString('en')} events`}
        title="Drag to zoom in, double click to zoom out"
        onKeyDown={onKeyDown}
        onBlur={() => setRange(undefined)}
        onDblClick={zoomOut}
        onPointerDown={(event) => {
          if (event.button !== 0) return;
          isDragging.current = true;
          event.currentTarget.setPointerCapture(event.pointerId);
          const index = indexOf(event);
          setRange({ anchor: index, at: index });
        }}
        onPointerMove={(event) => {
          if (isDragging.current && range !== undefined) setRange({ ...range, at: indexOf(event) });
        }}
        onPointerCancel={() => {
          isDragging.current = false;
          setRange(undefined);
        }}
        onPointerUp={() => {
          if (!isDragging.current) return;
          isDragging.current = false;
          // A click alone is none: it may be the first of two.
          if (range !== undefined && range.anchor !== range.at) zoomIn(shown, range.anchor, range.at);
          if (range?.anchor !== range?.at) setRange(undefined);
        }}
      >
        <svg viewBox={`0 0 ${size} ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true">
          {range !== undefined && <rect class="range" x={low} y={0} width={high - low + 1} height={HEIGHT} />}
          {counts.map((count, index) => {
            if (count === 0) return null;
            // What is there is seen, however little it is.
            const height = Math.max((count / most) * (HEIGHT - 4), 2);
            const bad = ((refused[index] ?? 0) / count) * height;
            return (
              <g key={index}>
                <rect class="bar" x={index + 0.08} y={HEIGHT - height} width={0.84} height={height - bad} />
                {bad > 0 && (
                  <rect class="bar refused" x={index + 0.08} y={HEIGHT - bad} width={0.84} height={bad} />
                )}
              </g>
            );
          })}
        </svg>
        <span class="most faint" aria-hidden="true">
          {totalOf(shown) > 0 && most.toLocaleString('en')}
        </span>
      </div>
      <div class="axis faint" aria-hidden="true">
        {ticks.map(({ ms, label }) => {
          const at = (ms - startMs) / (endMs(shown) - startMs);
          return (
            <span key={ms} style={{ left: `${at * 100}%` }}>
              {at < lastLabel && label}
            </span>
          );
        })}
      </div>
      <figcaption class="unseen">
        <table>
          <caption>{`${totalOf(shown)} events over time`}</caption>
          <thead>
            <tr>
              <th>from</th>
              <th>events</th>
              <th>of these refused</th>
            </tr>
          </thead>
          <tbody>
            {counts.map((count, index) =>
              count === 0 ? null : (
                <tr key={index}>
                  <td>{timeAt(index)}</td>
                  <td>{count}</td>
                  <td>{refused[index] ?? 0}</td>
                </tr>
              ),
            )}
          </tbody>
        </table>
      </figcaption>
    </figure>
  );
}
