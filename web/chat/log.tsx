import { Fragment } from 'preact';
import { useEffect, useLayoutEffect, useRef, useState } from 'preact/hooks';
import { LineItem, OutgoingItem } from './line.tsx';
import type { Line, Room } from './room.ts';
import { changes, mayRead } from './session.ts';
import { dayOf } from './times.ts';

/** So near to the end, in pixels, one is at it. */
const NEAR = 32;
/** What the same person says within this time stands under one name, in milliseconds. */
const TOGETHER_MS = 5 * 60_000;

const isTogether = (line: Line, before: Line | undefined): boolean =>
  line.kind === 'message' &&
  before?.kind === 'message' &&
  before.userId === line.userId &&
  Date.parse(line.timestamp) - Date.parse(before.timestamp) < TOGETHER_MS;

/** How many messages stand below a line. */
function messagesBelow(lines: readonly Line[], key: string | undefined): number {
  let count = 0;
  for (let index = lines.length - 1; index >= 0; index -= 1) {
    const line = lines[index] as Line;
    if (line.key === key) break;
    if (line.kind === 'message') count += 1;
  }
  return count;
}

/** What was said in a room. It stays at the end while one is there, and where it is when one has scrolled up. */
export function Log({ room }: { room: Room }) {
  changes.value;
  const { lines, outgoing } = room;
  const box = useRef<HTMLDivElement>(null);
  const list = useRef<HTMLOListElement>(null);
  const isAtEnd = useRef(true);
  /** The last line that was seen when one left the end; undefined: one is there. */
  const [leftAt, setLeftAt] = useState<string>();

  const toEnd = (): void => {
    const { current } = box;
    if (current !== null) current.scrollTop = current.scrollHeight;
  };
  const keepEnd = (): void => {
    if (isAtEnd.current) toEnd();
  };
  const onScroll = (): void => {
    const { current } = box;
    if (current === null) return;
    isAtEnd.current = current.scrollHeight - current.scrollTop - current.clientHeight < NEAR;
    setLeftAt((before) => (isAtEnd.current ? undefined : (before ?? lines.at(-1)?.key ?? '')));
  };
  useLayoutEffect(keepEnd);
  useEffect(() => {
    const observer = new ResizeObserver(keepEnd);
    for (const { current } of [box, list]) if (current !== null) observer.observe(current);
    return () => observer.disconnect();
  }, []);

  const below = leftAt === undefined ? 0 : messagesBelow(lines, leftAt);
  let day = '';
  let before: Line | undefined;
  return (
    <div class="log-place">
      <div
        class="log"
        role="log"
        aria-label={`Messages in ${room.name}`}
        // biome-ignore lint/a11y/noNoninteractiveTabindex: what scrolls must be reachable by keyboard
        tabIndex={0}
        ref={box}
        onScroll={onScroll}
      >
        <ol ref={list}>
          <li class="between faint">
            {room.trimmed ? 'What is older' : 'What was said before you came'}{' '}
            {mayRead.value ? (
              <a
                href={`./console#${new URLSearchParams({ room: room.name })}`}
                target="_blank"
                rel="noopener opener"
              >
                is in the audit log
              </a>
            ) : (
              'is in the audit log'
            )}
            .
          </li>
          {lines.map((line) => {
            const lineDay = line.kind === 'gap' ? day : dayOf(line.timestamp);
            const isNewDay = lineDay !== day;
            const together = !isNewDay && isTogether(line, before);
            day = lineDay;
            before = line;
            return (
              <Fragment key={line.key}>
                {isNewDay && <li class="day">{lineDay}</li>}
                <LineItem line={line} isTogether={together} mayRead={mayRead.value} />
              </Fragment>
            );
          })}
          {outgoing.map((one) => (
            <OutgoingItem key={one.ref} room={room} one={one} />
          ))}
        </ol>
        {lines.length === 0 && outgoing.length === 0 && (
          <p class="empty faint">{room.standing === 'in' ? 'Nobody has said anything here yet.' : ' '}</p>
        )}
      </div>
      {leftAt !== undefined && (
        <button type="button" class="below" onClick={toEnd}>
          {below > 0 ? `${below} new below` : 'To the end'}
          <span aria-hidden="true"> ↓</span>
        </button>
      )}
    </div>
  );
}
