import type { Draft, PendingEvent } from '../../src/core/events.ts';
import { prepareEvent } from '../../src/core/events.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';

export const TIMESTAMP = '2026-11-22T09:30:00.123456Z';

/** A message on its way into the log. */
export const pendingMessage = (message: string): PendingEvent =>
  prepareEvent({ action: 'MESSAGE_SENT', user_id: 'alice', room: 'lobby', message }, 'test', 0);

/** An event of the log; its message is its number unless another is given. */
export function eventAt(seq: number, message = String(seq)): AuditEvent {
  const { event } = pendingMessage(message);
  return { ...event, seq, timestamp: TIMESTAMP };
}

/** The events from one seq up to, but without, another. */
export const eventsBetween = (from: number, to: number): AuditEvent[] =>
  Array.from({ length: to - from }, (_, index) => eventAt(from + index));

/** A draft that types would not let pass, as data from outside might make one. */
export const untypedDraft = (draft: Record<string, unknown>): Draft => draft as Draft;

/** What a call throws; the test fails where it throws nothing. */
export function thrownBy(act: () => unknown): unknown {
  try {
    act();
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

/** What a promise rejects with; the test fails where it resolves. */
export const rejectionOf = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => {
      throw new Error('it was resolved');
    },
    (error: unknown) => error,
  );
