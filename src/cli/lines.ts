import { styleText } from 'node:util';
import type { AuditEvent } from '../core/schemas.ts';
import { UNSEEN } from '../core/unseen.ts';

type Colour = 'dim' | 'cyan' | 'red' | 'yellow' | 'green' | 'magenta' | 'bold';

/** How an event is shown. */
export type Look = { json: boolean; colours: boolean };

const SHORT: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

const escaped = (character: string): string =>
  `\\u${(character.codePointAt(0) ?? 0).toString(16).padStart(4, '0')}`;

/** A text of anybody’s, on one line, so that it cannot speak to the terminal. */
export const visible = (text: string): string =>
  text.replace(UNSEEN, (character) => SHORT[character] ?? escaped(character));

const paint = (text: string, colour: Colour, colours: boolean): string =>
  colours ? styleText(colour, text, { validateStream: false }) : text;

function colourOf(action: string): Colour {
  if (/REFUSED|DENIED|LOST|DAMAGED/.test(action)) return 'red';
  if (/^(USER|HOLD|RETENTION|CONTENT)_/.test(action)) return 'yellow';
  if (/^(SERVER|EPOCH)_/.test(action)) return 'magenta';
  if (/^AUDIT_/.test(action)) return 'dim';
  return action === 'MESSAGE_SENT' ? 'green' : 'cyan';
}

/** An event as one line: for people, or as JSON. */
export function eventLine(event: AuditEvent, { json, colours }: Look): string {
  // JSON leaves some of them as they are; written as escapes they are the same JSON.
  if (json) return JSON.stringify(event).replace(UNSEEN, escaped);
  const { seq, timestamp, action, user_id, room, target_user_id, message, details } = event;
  const time = timestamp.replace('T', ' ').replace(/\d{3}Z$/, '');
  const parts = [
    paint(String(seq).padStart(7), 'dim', colours),
    paint(time, 'dim', colours),
    paint(action.padEnd(18), colourOf(action), colours),
    paint(visible(user_id ?? '-'), 'bold', colours),
  ];
  if (target_user_id !== null) parts.push(`-> ${visible(target_user_id)}`);
  if (room !== null) parts.push(paint(`#${visible(room)}`, 'cyan', colours));
  if (message !== null) parts.push(visible(message));
  else if (Object.keys(details).length > 0)
    parts.push(paint(visible(JSON.stringify(details)), 'dim', colours));
  return parts.join('  ');
}
