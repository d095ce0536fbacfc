import { useEffect, useRef, useState } from 'preact/hooks';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import { Text } from '../../common/text.tsx';
import { type Clock, relativeWords } from '../../common/time.ts';
import { useLoad } from '../../common/use-load.ts';
import { type Around, loadAround, whoseAround } from './around.ts';
import { Details, Fields, type OnFilter, Times } from './fields.tsx';
import { Message } from './message.tsx';
import { Said } from './said.tsx';
import { wordsOf } from './words.ts';

export type EventBodyProps = {
  event: AuditEvent;
  clock: Clock;
  onFilter: OnFilter;
  onOpen: (seq: number) => void;
};

/** All of an event: first in words, then field by field, then as it is. */
export function EventBody({ event, clock, onFilter, onOpen }: EventBodyProps) {
  const words = wordsOf(event, clock);
  return (
    <article class="event">
      <section>
        {words !== undefined && (
          <p class="lead">
            <Said words={words} />
          </p>
        )}
        {event.message !== null && <Message text={event.message} />}
        {event.erased_by !== null && (
          <p class="notice warn">
            Content of this event was erased by <Seq seq={event.erased_by} onOpen={onOpen} />.
          </p>
        )}
        <p class="faint">{relativeWords(event.timestamp, Date.now())}</p>
      </section>
      <section>
        <Fields event={event} onFilter={onFilter} />
      </section>
      <section>
        <h3>Time</h3>
        <Times event={event} clock={clock} />
      </section>
      {Object.keys(event.details).length > 0 && (
        <section>
          <h3>Details</h3>
          <Details details={event.details} clock={clock} />
        </section>
      )}
      <AroundIt event={event} clock={clock} onOpen={onOpen} />
      <Raw event={event} />
    </article>
  );
}

const Seq = ({ seq, onOpen }: { seq: number; onOpen: (seq: number) => void }) => (
  <button type="button" class="quiet by mono" onClick={() => onOpen(seq)}>
    #{seq}
  </button>
);

/** What the same user did before and after; asked for by a button, for it reads the log. */
function AroundIt({ event, clock, onOpen }: Omit<EventBodyProps, 'onFilter'>) {
  const userId = whoseAround(event);
  const [isWanted, setWanted] = useState(false);
  const { data, error, isLoading, again } = useLoad(
    isWanted && userId !== undefined ? `${event.seq}` : undefined,
    (signal) => loadAround(event, userId ?? '', signal),
  );
  if (userId === undefined) return null;
  return (
    <section>
      <h3>Around it</h3>
      {data !== undefined ? (
        <AroundList {...data} event={event} clock={clock} onOpen={onOpen} />
      ) : (
        <button type="button" disabled={isLoading} onClick={() => (isWanted ? again() : setWanted(true))}>
          {isLoading ? 'Reading …' : 'What '}
          {!isLoading && <Text of={userId} />}
          {!isLoading && ' did before and after'}
        </button>
      )}
      {error !== undefined && (
        <p class="notice bad" role="alert">
          {(error as Error).message}
        </p>
      )}
    </section>
  );
}

type AroundListProps = Around & Omit<EventBodyProps, 'onFilter'>;

function AroundList({ before, after, event, clock, onOpen }: AroundListProps) {
  // The button that asked for it is gone; the keyboard goes on here.
  const current = useRef<HTMLButtonElement>(null);
  useEffect(() => current.current?.focus({ preventScroll: true }), []);
  return (
    <ol class="around">
      {before.length === 0 && <li class="faint">Nothing before it.</li>}
      {[...before, event, ...after].map((one) => (
        <li key={one.seq}>
          <button
            type="button"
            class="quiet"
            ref={one.seq === event.seq ? current : null}
            aria-current={one.seq === event.seq ? 'true' : undefined}
            onClick={() => onOpen(one.seq)}
          >
            <time class="mono faint" dateTime={one.timestamp} title={clock.full(one.timestamp)}>
              {clock.read(one.timestamp).time}
            </time>
            <span class="mono">{one.action}</span>
            <Text class="said" of={(one.message ?? one.room ?? '').slice(0, 120)} />
          </button>
        </li>
      ))}
      {after.length === 0 && <li class="faint">Nothing after it so far.</li>}
    </ol>
  );
}

/** The event as the API returns it; written out only when it is wanted. */
function Raw({ event }: { event: AuditEvent }) {
  const [isOpen, setOpen] = useState(false);
  return (
    <details class="raw" onToggle={({ currentTarget }) => setOpen(currentTarget.open)}>
      <summary>JSON</summary>
      {isOpen && (
        <pre class="mono">
          <Text of={JSON.stringify(event, null, 2)} />
        </pre>
      )}
    </details>
  );
}
