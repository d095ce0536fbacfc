import { useMemo } from 'preact/hooks';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import { addressOf, callJson, ProblemError } from '../../common/api.ts';
import { Copy } from '../../common/copy.tsx';
import { curlOf } from '../../common/curl.ts';
import { Dialog } from '../../common/dialog.tsx';
import { Icon } from '../../common/icons.tsx';
import { Clock, timeZoneOf, type Zone } from '../../common/time.ts';
import { useLoad } from '../../common/use-load.ts';
import './drawer.css';
import { EventBody } from './body.tsx';
import type { OnFilter } from './fields.tsx';

export type EventDrawerProps = {
  seq: number;
  /** The event, where the list has it; else it is asked for. */
  event?: AuditEvent | undefined;
  zone: Zone;
  onClose: () => void;
  /** Wants only events of this value. */
  onFilter: OnFilter;
  /** Wants another event. */
  onOpen: (seq: number) => void;
  /** Wants the one above (-1) or below (1) in the list. */
  onStep: (by: -1 | 1) => void;
  /** Whether there is one. */
  hasAbove: boolean;
  hasBelow: boolean;
  /** The address that shows this event to somebody else. */
  linkTo: (seq: number) => string;
};

/** One event, with all that is known of it, beside the list. */
export function EventDrawer(props: EventDrawerProps) {
  const { seq, event: given, zone, onClose, onStep, hasAbove, hasBelow, linkTo } = props;
  const clock = useMemo(() => new Clock(timeZoneOf(zone)), [zone]);
  const path = `/audit/${seq}`;
  const asked = useLoad(given?.seq === seq ? undefined : path, (signal) =>
    callJson<AuditEvent>(path, { signal }),
  );
  const event = given?.seq === seq ? given : asked.data;

  const tools = (
    <>
      <button
        type="button"
        class="quiet square"
        aria-label="The event above"
        disabled={!hasAbove}
        onClick={() => onStep(-1)}
      >
        <Icon name="up" />
      </button>
      <button
        type="button"
        class="quiet square"
        aria-label="The event below"
        disabled={!hasBelow}
        onClick={() => onStep(1)}
      >
        <Icon name="down" />
      </button>
    </>
  );
  const footer = (
    <>
      <span class="faint">Copy</span>
      <Copy label="Copy link" short="link" icon="link" text={() => linkTo(seq)} />
      <Copy label="Copy as curl" short="curl" text={() => curlOf(addressOf(path))} />
      {event !== undefined && (
        <Copy label="Copy JSON" short="JSON" text={() => JSON.stringify(event, null, 2)} />
      )}
    </>
  );
  return (
    <Dialog
      kind="drawer"
      title={<span class="mono">#{seq}</span>}
      onClose={onClose}
      tools={tools}
      footer={footer}
    >
      {event !== undefined ? (
        <EventBody key={seq} {...props} event={event} clock={clock} />
      ) : asked.error !== undefined ? (
        <Missing seq={seq} error={asked.error} onAgain={asked.again} />
      ) : (
        <p class="faint" role="status">
          Reading #{seq} …
        </p>
      )}
    </Dialog>
  );
}

/** Why an event cannot be shown. */
function Missing({ seq, error, onAgain }: { seq: number; error: unknown; onAgain: () => void }) {
  const code = error instanceof ProblemError ? error.code : undefined;
  const words =
    code === 'expired'
      ? `The log no longer keeps #${seq}: the time for which events are kept is over.`
      : code === 'not_found'
        ? `There is no #${seq} in this log: it does not go that far.`
        : (error as Error).message;
  return (
    <div class={`notice missing ${code === 'expired' ? 'warn' : 'bad'}`} role="alert">
      <p>{words}</p>
      {code !== 'expired' && (
        <button type="button" onClick={onAgain}>
          <Icon name="refresh" /> Look again
        </button>
      )}
    </div>
  );
}
