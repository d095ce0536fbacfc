import { useEffect, useId, useMemo, useRef } from 'preact/hooks';
import { Icon } from '../../common/icons.tsx';
import { closeMenu, Menu } from '../../common/menu.tsx';
import { Clock, timeZoneOf } from '../../common/time.ts';
import { type Filter, withValues } from '../filter.ts';
import { problem } from '../log.ts';
import { change, freeze, view } from '../view.ts';
import { faultOf } from './fault.ts';
import { dayInterval, intervalWords } from './interval.ts';

const presets = [
  ['-15m', 'Last 15 minutes'],
  ['-1h', 'Last hour'],
  ['-24h', 'Last 24 hours'],
  ['-7d', 'Last 7 days'],
  ['-30d', 'Last 30 days'],
] as const;

const within = (filter: Filter, from: string, to: string): Filter =>
  withValues(withValues(filter, 'from', from === '' ? [] : [from]), 'to', to === '' ? [] : [to]);

/** The interval: one of those that are often wanted, or any. */
export function TimeChip() {
  const { filter, zone } = view.value;
  const clock = useMemo(() => new Clock(timeZoneOf(zone)), [zone]);
  const menu = useRef<HTMLDetailsElement>(null);
  const id = useId();
  const fault = faultOf('from') ?? faultOf('to');

  useEffect(() => {
    if (fault !== undefined && menu.current !== null) menu.current.open = true;
  }, [problem.value]);

  function choose(from: string, to = '') {
    change({ filter: within(filter, from, to) });
    closeMenu(menu);
  }
  function submit(event: Event & { currentTarget: HTMLFormElement }) {
    event.preventDefault();
    const form = new FormData(event.currentTarget);
    choose(String(form.get('from')).trim(), String(form.get('to')).trim());
  }
  const day = (ago: number) => {
    const { from, to } = dayInterval(clock, Date.now(), ago);
    choose(from, to);
  };
  const isRelative = filter.from?.startsWith('-') || filter.to?.startsWith('-');
  return (
    <Menu
      menu={menu}
      class={fault === undefined ? 'time-chip' : 'time-chip faulty'}
      title="The interval"
      summary={
        <>
          <span class="clip">{intervalWords(filter, clock)}</span> <Icon name="down" />
        </>
      }
    >
      <ul>
        <li>
          <button type="button" class="quiet" onClick={() => choose('')}>
            All time
          </button>
        </li>
        {presets.map(([span, words]) => (
          <li key={span}>
            <button
              type="button"
              class="quiet"
              aria-pressed={filter.from === span}
              onClick={() => choose(span)}
            >
              {words}
            </button>
          </li>
        ))}
        <li>
          <button type="button" class="quiet" onClick={() => day(0)}>
            Today
          </button>
        </li>
        <li>
          <button type="button" class="quiet" onClick={() => day(1)}>
            Yesterday
          </button>
        </li>
      </ul>
      <form onSubmit={submit} key={`${filter.from} ${filter.to}`}>
        <label for={`${id}-from`}>from, inclusive</label>
        <input
          id={`${id}-from`}
          name="from"
          class="mono"
          defaultValue={filter.from ?? ''}
          placeholder="-24h"
          autocomplete="off"
        />
        <label for={`${id}-to`}>to, exclusive</label>
        <input
          id={`${id}-to`}
          name="to"
          class="mono"
          defaultValue={filter.to ?? ''}
          placeholder={clock.iso(new Date().toISOString()).replace(/\.\d+/, '')}
          autocomplete="off"
        />
        <p class="faint">RFC 3339 with an offset, or a span back such as -90m (s, m, h, d, w).</p>
        {fault !== undefined && (
          <p class="fault" role="alert">
            {fault}
          </p>
        )}
        <div class="row">
          <button type="submit" class="primary">
            Show
          </button>
          {isRelative && (
            <button
              type="button"
              title="Turns spans into points in time, so that the link shows the same later"
              onClick={freeze}
            >
              Freeze
            </button>
          )}
        </div>
      </form>
    </Menu>
  );
}
