import { useEffect, useState } from 'preact/hooks';
import { Icon } from '../../common/icons.tsx';
import { look } from '../log.ts';
import { troubleOf } from './words.ts';

/** Why there is no answer, and what can be done; where the server says when, it is done by itself. */
export function TroubleNotice({ error }: { error: Error }) {
  const { title, detail, canRetry, retryAfter } = troubleOf(error);
  const left = useCountdown(error, retryAfter);
  useEffect(() => {
    const again = () => void look();
    addEventListener('online', again);
    return () => removeEventListener('online', again);
  }, []);
  return (
    <div class={`notice ${retryAfter === undefined ? 'bad' : 'warn'} trouble`} role="alert">
      <strong>{title}</strong>
      <p>{detail}</p>
      {canRetry && (
        <p class="row">
          <button type="button" onClick={() => void look()}>
            <Icon name="refresh" /> Try again
          </button>
          {left !== undefined && (
            <span class="faint" aria-hidden="true">
              by itself in {left} s
            </span>
          )}
        </p>
      )}
    </div>
  );
}

/** Counts the seconds down, and looks again at the end. */
function useCountdown(error: Error, seconds: number | undefined): number | undefined {
  const [left, setLeft] = useState(seconds);
  useEffect(() => {
    setLeft(seconds);
    if (seconds === undefined) return;
    const end = Date.now() + seconds * 1_000;
    const timer = setInterval(() => {
      const rest = Math.ceil((end - Date.now()) / 1_000);
      setLeft(Math.max(rest, 0));
      if (rest > 0) return;
      clearInterval(timer);
      void look();
    }, 1_000);
    return () => clearInterval(timer);
  }, [error]);
  return left;
}
