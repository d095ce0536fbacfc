import { computed, signal } from '@preact/signals';
import type { Zone } from '../shared/time.ts';
import { type Filter, frozen, keyOf, readFilter, writeFilter } from './filter.ts';

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

/** What is shown. Change it by `change` alone, which keeps the address in step. */
export const view = signal<View>(readView(''));

/** Changes when the filter means something else, and not when another event is opened. */
export const filterKey = computed(() => keyOf(view.value.filter));

const addressOf = (shown: View): string => location.pathname + location.search + writeView(shown);

/** Shows something else. `replace` is for what nobody wants to go back to. */
export function change(patch: Partial<View>, how: 'push' | 'replace' = 'push'): void {
  const next = { ...view.value, ...patch };
  if (writeView(next) === writeView(view.value)) return;
  view.value = next;
  if (how === 'push') history.pushState(null, '', addressOf(next));
  else history.replaceState(null, '', addressOf(next));
}

/** The address that shows this to somebody else. */
export const linkTo = (patch: Partial<View> = {}): string =>
  new URL(addressOf({ ...view.value, ...patch }), location.href).href;

/** Turns times that move with the clock into those that they mean now. */
export const freeze = (): void => change({ filter: frozen(view.value.filter, Date.now()), live: false });

/** Reads the address, now and whenever it changes. */
export function followAddress(): void {
  const read = () => {
    view.value = readView(location.hash);
  };
  read();
  addEventListener('popstate', read);
  addEventListener('hashchange', read);
}
