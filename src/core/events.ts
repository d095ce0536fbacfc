import { type Action, type DetailsOf, isAction } from './actions.ts';
import { CodedError } from './errors.ts';
import type { AuditEvent } from './schemas.ts';
import { byteLength, isName, isStorable } from './text.ts';
import { formatMilliseconds } from './timestamps.ts';

const KIB = 1024;
const MAX_MESSAGE_BYTES = 1024 * KIB;
const MAX_DETAILS_BYTES = 32 * KIB;
const MAX_DETAILS_DEPTH = 8;
// What a row costs beside its texts; used only to bound batches and the queue.
const ROW_BYTES = 200;

type Fields = {
  user_id?: string | null;
  message?: string | null;
  room?: string | null;
  session_id?: string | null;
  target_user_id?: string | null;
  ip?: string | null;
};
type DetailsField<A extends Action> =
  Record<never, never> extends DetailsOf<A> ? { details?: DetailsOf<A> } : { details: DetailsOf<A> };

/** What a caller of `record` hands in. Absent fields are null in the log. */
export type Draft = { [A in Action]: { action: A } & Fields & DetailsField<A> }[Action];

/** An event on its way into the log: all of it but its number and its time, which the commit gives. */
export type PendingEvent = {
  /** `seq` is -1 and `timestamp` empty until `placeEvent`. */
  event: AuditEvent;
  /** The details as JSON for the database; null for none. */
  detailsJson: string | null;
  /** An upper guess of what the event weighs in a batch. */
  bytes: number;
};

const refuse = (what: string): never => {
  throw new CodedError('invalid_text', `The audit event cannot be kept as it is: ${what}.`);
};

/** Walks `details`: jsonb refuses NUL and lone surrogates (SQLSTATE 22P05, 22P02) and overflows on depth (54001). */
function checkJson(value: unknown, depth = 0): void {
  if (depth > MAX_DETAILS_DEPTH) refuse('its details nest too deeply');
  if (typeof value === 'string') {
    if (!isStorable(value)) refuse('its details hold NUL or a lone surrogate');
  } else if (typeof value === 'number') {
    if (!Number.isFinite(value)) refuse('its details hold a number that JSON has not');
  } else if (Array.isArray(value)) {
    for (const item of value) checkJson(item, depth + 1);
  } else if (value !== null && typeof value === 'object') {
    for (const [key, item] of Object.entries(value)) {
      checkJson(key, depth + 1);
      checkJson(item, depth + 1);
    }
  } else if (value !== null && typeof value !== 'boolean') {
    refuse('its details are not JSON');
  }
}

function checkDetails(details: Record<string, unknown>): string | null {
  let any = false;
  for (const _ in details) {
    any = true;
    break;
  }
  if (!any) return null;
  checkJson(details);
  return JSON.stringify(details);
}

/**
 * Checks a draft before it is queued, so that one poisonous event cannot fail the batch of its neighbours,
 * and fills in what the instance knows.
 *
 * @param now the instance's clock, in milliseconds since 1970
 * @throws CodedError `invalid_text` or `too_large`
 */
export function prepareEvent(draft: Draft, instance: string, now: number): PendingEvent {
  const { action, user_id = null, message = null, room = null, session_id = null } = draft;
  const { target_user_id = null, ip = null, details = {} } = draft;
  if (!isAction(action)) refuse('its action is not in the registry');
  if (user_id !== null && !isName(user_id)) refuse('its user_id is not a name');
  if (target_user_id !== null && !isName(target_user_id)) refuse('its target_user_id is not a name');
  if (room !== null && !isName(room)) refuse('its room is not a name');
  if (message !== null && !isStorable(message)) refuse('its message holds NUL or a lone surrogate');
  const messageBytes = message === null ? 0 : byteLength(message);
  if (messageBytes > MAX_MESSAGE_BYTES) {
    throw new CodedError('too_large', `The message is longer than ${MAX_MESSAGE_BYTES} bytes.`);
  }
  const detailsJson = checkDetails(details as Record<string, unknown>);
  const detailsBytes = detailsJson === null ? 0 : byteLength(detailsJson);
  if (detailsBytes > MAX_DETAILS_BYTES) {
    throw new CodedError('too_large', `The event’s details are longer than ${MAX_DETAILS_BYTES} bytes.`);
  }
  const event: AuditEvent = {
    seq: -1,
    timestamp: '',
    occurred_at: formatMilliseconds(now),
    action,
    user_id,
    message,
    room,
    session_id,
    target_user_id,
    instance,
    ip,
    erased_by: null,
    details: details as AuditEvent['details'],
  };
  return { event, detailsJson, bytes: ROW_BYTES + messageBytes + detailsBytes };
}

/** Gives a pending event its number and the log's time. */
export function placeEvent(pending: PendingEvent, seq: number, timestamp: string): AuditEvent {
  pending.event.seq = seq;
  pending.event.timestamp = timestamp;
  return pending.event;
}
