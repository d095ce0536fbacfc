import type { SeedBatch, SeedEvent } from './log.ts';

const ESCAPED = /[\\\n\r\t]/;
const escapes: Record<string, string> = { '\\': '\\\\', '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/** A value of COPY's text format. */
export function copyValue(value: string | null | undefined): string {
  if (value === null || value === undefined) return '\\N';
  if (!ESCAPED.test(value)) return value;
  return value.replace(/[\\\n\r\t]/g, (character) => escapes[character] ?? character);
}

export const BATCH_COLUMNS = 'first_seq, count, timestamp, writer, number';

export const batchLine = (writer: string, { firstSeq, count, timestamp, number }: SeedBatch): string =>
  `${firstSeq}\t${count}\t${timestamp}\t${writer}\t${number}\n`;

export const EVENT_COLUMNS =
  'seq, timestamp, occurred_at, action, user_id, message, room, session_id, target_user_id, instance, ip, details';

export function eventLine(writer: string, { seq, timestamp, occurredAt, draft }: SeedEvent): string {
  const { action, user_id, message, room, session_id, target_user_id, ip, details } = draft;
  return (
    `${seq}\t${timestamp}\t${occurredAt}\t${action}\t${copyValue(user_id)}\t${copyValue(message)}\t` +
    `${copyValue(room)}\t${session_id ?? '\\N'}\t${copyValue(target_user_id)}\t${writer}\t${ip ?? '\\N'}\t` +
    `${details === undefined ? '\\N' : copyValue(JSON.stringify(details))}\n`
  );
}
