import type { ErrorCode } from '../../src/core/errors.ts';

/** Why there is no connection, and what can be done about it. */
export type Trouble = {
  /** What happened, in words. */
  what: string;
  /** `wait`: it is tried again by itself; `ask`: when somebody says so; `sign-in`: with another token only. */
  cure: 'wait' | 'ask' | 'sign-in';
  /** The close code of a session that was open. */
  closeCode?: number;
  /** Seconds before which there is no use in trying again. */
  retryAfter?: number;
};

/** By close code; docs/websocket.md lists them. What is not here is a connection that broke. */
const closings: Record<number, Omit<Trouble, 'closeCode'>> = {
  1001: { what: 'The server is shutting down.', cure: 'wait' },
  1002: { what: 'The server saw a breach of the WebSocket protocol.', cure: 'ask' },
  1003: { what: 'The server was sent a binary frame, which it does not take.', cure: 'ask' },
  1007: { what: 'The server was sent text that is not UTF-8.', cure: 'ask' },
  1008: { what: 'Nothing was said for too long, or in too many pieces.', cure: 'ask' },
  1009: { what: 'What was sent last is longer than this server takes.', cure: 'wait' },
  1011: { what: 'Something went wrong in the server.', cure: 'wait' },
  1013: {
    what: 'The server had too much waiting for this page, or its log cannot be written.',
    cure: 'wait',
  },
  4401: { what: 'Your token has expired.', cure: 'sign-in' },
  4403: { what: 'An administrator has ended your session.', cure: 'ask' },
};

/** What the end of a session means. @param told what the server said just before, where it did */
export function troubleOfClose(closeCode: number, told?: string): Trouble {
  const known = closings[closeCode] ?? { what: 'The connection was lost.', cure: 'wait' };
  return { ...known, ...(told === undefined ? {} : { what: told }), closeCode };
}

/** A refusal as the API words it. */
export type Refusal = { status: number; code: ErrorCode; detail: string; retryAfter: number | undefined };

const advice: Partial<Record<ErrorCode, string>> = {
  forbidden: 'A token whose scope holds “chat” is needed.',
  origin_not_allowed: 'Open this page at the address that the server names at its start.',
  host_not_allowed: 'Open this page at the address that the server names at its start.',
  audit_unavailable: 'Nobody can say anything until it can: nothing is said that is not on record.',
};

/** What a refused ticket means. */
export function troubleOfRefusal({ status, code, detail, retryAfter }: Refusal): Trouble {
  const what = advice[code] === undefined ? detail : `${detail} ${advice[code]}`;
  if (status === 401 || code === 'forbidden') return { what, cure: 'sign-in' };
  if (status === 429 || status >= 500) {
    return { what, cure: 'wait', ...(retryAfter === undefined ? {} : { retryAfter }) };
  }
  return { what, cure: 'ask' };
}

/** Codes of refused messages that may go better when they are sent again as they are. */
const passing: ReadonlySet<ErrorCode> = new Set<ErrorCode>([
  'rate_limited',
  'overloaded',
  'audit_unavailable',
  'not_in_room',
  'internal',
]);

/** Whether it makes sense to send a refused frame again. */
export const mayPass = (code: ErrorCode): boolean => passing.has(code);
