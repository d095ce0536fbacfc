import type { Zone } from '../common/time.ts';
import { type Filter, readFilter, writeFilter } from './filter.ts';

export const panels = ['export', 'sessions', 'help'] as const;
export type Panel = (typeof panels)[number];

/** All that the address says: whoever opens it sees the same. */
export type View = {
  filter: Filter;
  zone: Zone;
  /** The seq of the event that is open. */
  event: number | undefined;
  live: boolean;
  panel: Panel | undefined;
};

/** Reads a view out of an address's fragment; what it does not say is as usual. */
export function readView(fragment: string): View {
  const params = new URLSearchParams(fragment.replace(/^#/, ''));
  const event = params.get('event') ?? '';
  const panel = params.get('panel');
  return {
    filter: readFilter(params),
    zone: params.get('zone') === 'utc' ? 'utc' : 'local',
    event: /^\d{1,15}$/.test(event) ? Number(event) : undefined,
    live: params.get('live') === 'on',
    panel: panels.find((one) => one === panel),
  };
}

/** The fragment that says it, with its `#`; empty when all is as usual. */
export function writeView({ filter, zone, event, live, panel }: View): string {
  const params = new URLSearchParams();
  writeFilter(filter, params);
  if (zone === 'utc') params.set('zone', zone);
  if (live) params.set('live', 'on');
  if (event !== undefined) params.set('event', String(event));
  if (panel !== undefined) params.set('panel', panel);
  return params.size === 0 ? '' : `#${params}`;
}
