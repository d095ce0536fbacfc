import { useEffect, useMemo, useRef, useState } from 'preact/hooks';
import { Icon } from '../../common/icons.tsx';
import { Menu } from '../../common/menu.tsx';
import { Text } from '../../common/text.tsx';
import { Clock, relativeWords, timeZoneOf, type Zone } from '../../common/time.ts';
import { identity, signOut } from '../../common/token.ts';
import './expiry.css';

/** How long before the end it is said unasked. */
const WARN_MS = 5 * 60_000;
/** How often the minutes that are left are counted anew. */
const TICK_MS = 15_000;
/** The longest that a timer can wait. */
const MAX_WAIT_MS = 2 ** 31 - 1;

export type ExpiryProps = {
  zone: Zone;
  /** The token is over: what is asked now is refused. */
  onExpired: () => void;
};

/** Now, as often as the words about an end change: seldom at first, then every few seconds. */
function useNow(end: number): number {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    const left = end - Date.now();
    if (left <= 0) return;
    const wait = left > WARN_MS ? left - WARN_MS : Math.min(left, TICK_MS);
    const timer = setTimeout(() => setNow(Date.now()), Math.min(wait + 1, MAX_WAIT_MS));
    return () => clearTimeout(timer);
  }, [end, now]);
  return now;
}

/** Who is signed in, with which rights, and until when. */
export function Expiry({ zone, onExpired }: ExpiryProps) {
  const who = identity.value;
  const end = who?.expiresAt ?? 0;
  const now = useNow(end);
  const clock = useMemo(() => new Clock(timeZoneOf(zone)), [zone]);
  const menu = useRef<HTMLDetailsElement>(null);
  const isOver = who !== undefined && end <= now;
  useEffect(() => {
    if (isOver) onExpired();
  }, [isOver]);

  if (who === undefined) return null;
  const until = new Date(end).toISOString().replace('Z', '000Z');
  const isSoon = end - now <= WARN_MS;
  return (
    <Menu
      menu={menu}
      class="expiry"
      title={`Signed in as ${who.userId}`}
      summaryClass={isSoon ? 'warn' : undefined}
      summary={
        <>
          <Icon name={isSoon ? 'warn' : 'user'} />
          <Text of={who.userId} />
          <span role="status">{isSoon && (isOver ? 'expired' : `expires ${relativeWords(until, now)}`)}</span>
        </>
      }
    >
      <dl>
        <dt>Signed in as</dt>
        <dd>
          <Text of={who.userId} />
        </dd>
        <dt>Rights</dt>
        <dd class="mono">{[...who.scopes].join(' ') || 'none'}</dd>
        <dt>Until</dt>
        <dd>{clock.minute(until)}</dd>
      </dl>
      <button type="button" onClick={signOut}>
        Sign out
      </button>
    </Menu>
  );
}
