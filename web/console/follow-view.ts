import { computed, effect, untracked } from '@preact/signals';
import { identity } from '../common/token.ts';
import { goLive, stopLive } from './live/session.ts';
import { actions, cancel, look, problem, readActions, reading, rows } from './log.ts';
import { filterKey, view } from './view.ts';

/** The mode alone, so that opening an event does not read anew. */
const liveMode = computed(() => view.value.live);

/** Looks again whenever the filter, the token or the mode changes. */
export function followView(): void {
  let shown = '';
  effect(() => {
    const key = filterKey.value;
    const who = identity.value;
    const isLive = liveMode.value;
    untracked(() => {
      stopLive();
      if (who === undefined || !who.scopes.has('audit:read')) return cancel();
      // The rows of another filter are no answer to this one.
      if (shown !== key) {
        rows.value = undefined;
        problem.value = undefined;
        reading.value = 'first';
      }
      shown = key;
      void start(isLive);
    });
  });
}

async function start(isLive: boolean): Promise<void> {
  try {
    // Not an act on record, and asked once: which names there are.
    if (actions.peek().length === 0) await readActions();
  } catch (error) {
    problem.value = error as Error;
    return;
  }
  if (isLive) await goLive(view.peek().filter);
  else await look();
}
