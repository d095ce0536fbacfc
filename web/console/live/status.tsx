import { useEffect, useState } from 'preact/hooks';
import { connection, isPaused } from '../log.ts';
import { change, view } from '../view.ts';

/** Turns live mode on and off, and says how it goes. */
export function LiveSwitch() {
  const { live, filter } = view.value;
  const state = connection.value;
  const left = useSecondsUntil(state.is === 'waiting' ? state.until : undefined);
  const words = !live
    ? 'Live'
    : state.is === 'waiting'
      ? `Reconnecting in ${left} s`
      : state.is === 'connecting'
        ? 'Connecting …'
        : state.is === 'off'
          ? 'Not connected'
          : isPaused.value
            ? 'Paused'
            : 'Live';
  return (
    <button
      type="button"
      class={`live ${live ? (isPaused.value ? 'paused' : state.is) : ''}`}
      aria-pressed={live}
      title={live ? 'Stop following (L)' : 'Follow what comes (L)'}
      onClick={toggleLive}
    >
      <span class="dot" aria-hidden="true" /> {words}
      {live && filter.to !== undefined && <span class="unseen">, beyond the end of the interval</span>}
    </button>
  );
}

/** Follows the log, or stops. What has an end cannot be followed: the end goes. */
export function toggleLive(): void {
  const { live, filter } = view.value;
  const { to: _, ...endless } = filter;
  change(live ? { live: false } : { live: true, filter: endless });
}

function useSecondsUntil(until: number | undefined): number {
  const secondsLeft = () => Math.max(0, Math.ceil(((until ?? 0) - Date.now()) / 1_000));
  const [left, setLeft] = useState(secondsLeft);
  useEffect(() => {
    if (until === undefined) return;
    setLeft(secondsLeft());
    const timer = setInterval(() => setLeft(secondsLeft()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return left;
}
