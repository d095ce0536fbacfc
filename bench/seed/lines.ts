import type { AuditEvent } from '../../src/core/schemas.ts';
import type { SeedBatch } from './log.ts';

const ESCAPED = /[\\\n\r\t]/;
const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A value of COPY's text format. */
export function copyValue(value: string | null): string {
  if (value === null) return '\\N';
  if (!ESCAPED.test(value)) return value;
  return value.replace(/[\\\n\r\t]/g, (character) => escapes[character] ?? character);
}

export const BATCH_COLUMNS = 'first_seq, count, timestamp, writer, number';

export const batchLine = (writer: string, { firstSeq, count, timestamp, number }: SeedBatch): string =>
  `${firstSeq}\t${count}\t${timestamp}\t${writer}\t${number}\n`;

export const EVENT_COLUMNS =
  'seq, timestamp, occurred_at, action, user_id, message, room, session_id, target_user_id, instance, ip, details';

/** Empty details are null in the table, as the server writes them. */
const detailsOf = ({ details }: AuditEvent): string => {
  const json = JSON.stringify(details);
  return json === '{}' ? '\\N' : copyValue(json);
};

export function eventLine(event: AuditEvent): string {
  const { seq, timestamp, occurred_at, action, user_id, message, room, session_id, target_user_id, ip } =
    event;
  return (
    `${seq}\t${timestamp}\t${occurred_at}\t${action}\t${copyValue(user_id)}\t${copyValue(message)}\t` +
    `${copyValue(room)}\t${copyValue(session_id)}\t${copyValue(target_user_id)}\t${event.instance}\t${copyValue(ip)}\t` +
    `${detailsOf(event)}\n`
  );
}
