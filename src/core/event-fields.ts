import type { AuditEvent } from './schemas.ts';

/** The fields of an event, in the order in which JSON has them; apart from their schema, which pages need not load. */
export const eventFields = [
  'seq',
  'timestamp',
  'occurred_at',
  'action',
  'user_id',
  'message',
  'room',
  'session_id',
  'target_user_id',
  'instance',
  'ip',
  'erased_by',
  'details',
] as const satisfies readonly (keyof AuditEvent)[];
