/**
 * The closed list of error codes. `status` is the HTTP status of the problem (RFC 9457) that carries the
 * code; the same codes stand in WebSocket error frames.
 */
export const errorCodes = {
  bad_request: { status: 400, title: 'The request is malformed' },
  invalid_parameter: { status: 400, title: 'A parameter is not valid' },
  invalid_cursor: { status: 400, title: 'The cursor does not belong to this query' },
  unauthenticated: { status: 401, title: 'A valid token is needed' },
  forbidden: { status: 403, title: 'Not allowed' },
  banned: { status: 403, title: 'This user is banned' },
  origin_not_allowed: { status: 403, title: 'This origin may not connect' },
  host_not_allowed: { status: 403, title: 'This host name is not served' },
  not_found: { status: 404, title: 'There is nothing here' },
  expired: { status: 410, title: 'The log no longer keeps this' },
  too_large: { status: 413, title: 'Too large' },
  timeout: { status: 408, title: 'The request took too long to arrive' },
  unsupported_media_type: { status: 415, title: 'This media type is not understood' },
  upgrade_required: { status: 426, title: 'This address speaks WebSocket' },
  rate_limited: { status: 429, title: 'Too many requests' },
  headers_too_large: { status: 431, title: 'The headers of the request are too large' },
  internal: { status: 500, title: 'Something went wrong on the server' },
  keys_unavailable: { status: 503, title: 'The token’s key cannot be looked up' },
  audit_unavailable: { status: 503, title: 'The audit log cannot be written' },
  outcome_unknown: { status: 503, title: 'The database has not answered' },
  overloaded: { status: 503, title: 'The server has too much to do' },
  too_slow: { status: 503, title: 'The query would take too long' },
  not_ready: { status: 503, title: 'The server is not ready' },
  // Only in WebSocket frames; the status is what the same fault would be over HTTP.
  bad_frame: { status: 400, title: 'The frame is malformed' },
  invalid_text: { status: 400, title: 'The text cannot be kept as it is' },
  not_in_room: { status: 403, title: 'Not in this room' },
} as const satisfies Record<string, { status: number; title: string }>;

export type ErrorCode = keyof typeof errorCodes;

/**
 * Seconds until it is worth trying again, where the code alone says so. Not after `outcome_unknown`, which may have
 * worked, nor `too_slow`, which would be again.
 */
const retryLater: Partial<Record<ErrorCode, number>> = { overloaded: 1, audit_unavailable: 5 };

export type CodedErrorOptions = { parameter?: string; retryAfter?: number; cause?: unknown };

/** An error that somebody outside is told about: a code from the closed list and a sentence in plain words. */
export class CodedError extends Error {
  readonly code: ErrorCode;
  /** The name of the offending query or path parameter, when there is one. */
  readonly parameter: string | undefined;
  /** Seconds after which it may go better; undefined: waiting does not help, or nobody knows. */
  readonly retryAfter: number | undefined;

  constructor(code: ErrorCode, message: string, { parameter, retryAfter, cause }: CodedErrorOptions = {}) {
    super(message, cause === undefined ? undefined : { cause });
    this.name = 'CodedError';
    this.code = code;
    this.parameter = parameter;
    this.retryAfter = retryAfter ?? retryLater[code];
  }

  /** The HTTP status that goes with the code. */
  get status(): number {
    return errorCodes[this.code].status;
  }
}

/** The log takes nothing more of a session: an administrator has ended it, or its user is banned. */
export class ExpelledError extends CodedError {
  constructor(cause: unknown) {
    super('forbidden', 'An administrator has ended this session; nothing was done.', { cause });
    this.name = 'ExpelledError';
  }
}

/** What a recorded event got: its place in the log and the log's time. */
export type Receipt = { seq: number; timestamp: string };

/**
 * The database gave no answer in time, so nobody knows yet whether the event is on record. `settled` tells
 * the truth as soon as it is known: it resolves with the receipt, or rejects with `audit_unavailable`.
 */
export class OutcomeUnknownError extends CodedError {
  readonly settled: Promise<Receipt>;

  constructor(settled: Promise<Receipt>, cause: unknown) {
    super('outcome_unknown', 'The database has not answered; whether this is on record is not known yet.', {
      cause,
    });
    this.name = 'OutcomeUnknownError';
    this.settled = settled;
    // Whoever does not care for the late truth must not crash the process by ignoring it.
    settled.catch(() => {});
  }
}
