import { computed, signal } from '@preact/signals';
import { takeToken } from '../common/token.ts';
import { readView, type View, writeView } from './address.ts';
import { frozen, keyOf } from './filter.ts';

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
    // A link with a token, opened in a tab that is here already.
    if (/[#&]token=/.test(location.hash)) takeToken();
    view.value = readView(location.hash);
  };
  read();
  addEventListener('popstate', read);
  addEventListener('hashchange', read);
}
