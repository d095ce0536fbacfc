import type { Action, DetailsOf } from '../../../src/core/actions.ts';
import type { AuditEvent } from '../../../src/core/schemas.ts';
import type { Clock } from '../../common/time.ts';

/** A sentence; what users chose is told apart, for its direction of writing is its own. */
export type Words = readonly (string | { name: string })[];

type Teller<A extends Action> = (event: AuditEvent, details: DetailsOf<A>, clock: Clock) => Words;

const who = ({ user_id }: AuditEvent): Words[number] => (user_id === null ? 'Somebody' : { name: user_id });
const whom = ({ target_user_id }: AuditEvent): Words[number] =>
  target_user_id === null ? 'somebody' : { name: target_user_id };
const room = (event: AuditEvent): Words[number] => ({ name: event.room ?? '' });

/** Some words, when there is something to say. */
const because = (reason: string | null): Words => (reason === null ? [] : [': ', { name: reason }]);
const counted = (count: number, thing: string): string =>
  `${count.toLocaleString('en')} ${thing}${count === 1 ? '' : 's'}`;
const times = (count: number): string => (count === 1 ? '' : `, ${count.toLocaleString('en')} times`);

/** How long, in at most two units: `2 h 5 min`. */
export function durationWords(ms: number): string {
  if (ms < 1_000) return `${ms} ms`;
  const units = [
    ['d', 86_400],
    ['h', 3_600],
    ['min', 60],
    ['s', 1],
  ] as const;
  const seconds = Math.floor(ms / 1_000);
  const first = units.findIndex(([, size]) => seconds >= size);
  let rest = seconds;
  const words: string[] = [];
  for (const [unit, size] of units.slice(first, first + 2)) {
    const count = Math.floor(rest / size);
    rest -= count * size;
    if (count > 0) words.push(`${count} ${unit}`);
  }
  return words.join(' ');
}

const tellers: { [A in Action]?: Teller<A> } = {
  CONNECTED: (event) => [who(event), ' connected.'],
  DISCONNECTED: (event, { duration_ms, reason, code }) => [
    who(event),
    ` was disconnected after ${durationWords(duration_ms)} (${code}${reason === '' ? '' : ', '}`,
    { name: reason },
    ').',
  ],
  JOINED: (event) => [who(event), ' entered ', room(event), '.'],
  LEFT: (event) => [who(event), ' left ', room(event), '.'],
  MESSAGE_SENT: (event) => [who(event), ' said in ', room(event), ':'],
  CONNECTION_REFUSED: (event, { code, count }) => [who(event), ` could not connect: ${code}${times(count)}.`],
  MESSAGE_REFUSED: (event, { code, count }) => [
    'What ',
    who(event),
    ` sent was refused: ${code}${times(count)}.`,
  ],
  ACCESS_DENIED: (event, { code, count, method, route }) => [
    who(event),
    ` was denied ${method} `,
    { name: route },
    `: ${code}${times(count)}.`,
  ],
  REQUEST_REFUSED: (event, { code, count, method, route }) => [
    who(event),
    ` asked for ${method} `,
    { name: route },
    ` and was refused: ${code}${times(count)}.`,
  ],
  AUDIT_READ: (event, { path, rows }) => [who(event), ` read ${counted(rows, 'row')} of ${path}.`],
  AUDIT_STREAMED: (event, { phase, rows = 0 }) => [
    who(event),
    phase === 'opened' ? ' began to follow the log.' : ` followed the log for ${counted(rows, 'event')}.`,
  ],
  AUDIT_EXPORTED: (event, { phase, format, rows = 0, outcome }) => [
    who(event),
    phase === 'started'
      ? ` began to export the log as ${format}.`
      : ` exported ${counted(rows, 'event')} as ${format} (${outcome}).`,
  ],
  USER_KICKED: (event, { reason }) => [
    who(event),
    ' ended a session of ',
    whom(event),
    ...because(reason),
    '.',
  ],
  USER_BANNED: (event, { reason, until }, clock) => [
    who(event),
    ' banned ',
    whom(event),
    until === null ? ' until it is lifted' : ` until ${clock.minute(until)}`,
    ...because(reason),
    '.',
  ],
  USER_UNBANNED: (event, { reason }) => [
    who(event),
    ' lifted the ban of ',
    whom(event),
    ...because(reason),
    '.',
  ],
  SERVER_STARTED: ({ instance }, { version }) => [`${instance} began to record (version ${version}).`],
  SERVER_STOPPED: ({ instance }, { uptime_ms }) => [`${instance} stopped after ${durationWords(uptime_ms)}.`],
  INSTANCE_LOST: (_event, { instance, sessions }) => [
    `${instance} disappeared, with ${counted(sessions, 'open session')}.`,
  ],
  EPOCH_STARTED: (_event, { epoch, reason }) => [
    reason === undefined ? `The log began: ${epoch}.` : `The log began anew (${reason}): ${epoch}.`,
  ],
};

/** What happened, as a sentence; undefined: the action says it all. */
export function wordsOf(event: AuditEvent, clock: Clock): Words | undefined {
  // Which teller it is and what the details are goes by the same action.
  const tell = tellers[event.action as Action] as Teller<Action> | undefined;
  return tell?.(event, event.details as DetailsOf<Action>, clock);
}
