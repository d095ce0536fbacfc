import Type, { type Static } from 'typebox';
import { CodedError } from './errors.ts';
import type { AuditEvent } from './schemas.ts';

/** The blocks of a live stream, as text/event-stream (WHATWG HTML 9.2), and where in the log it starts. */

/** What a client waits before it asks again, in milliseconds. */
const RETRY_MS = 2_000;

const Epoch = Type.String({ description: 'The name of this history of the log.' });
const FirstSeq = Type.Integer({ minimum: 0, description: 'The first event still kept.' });
const NextSeq = Type.Integer({ minimum: 0, description: 'The number from which on the stream goes.' });

/** `event: open`, the first block of all. */
export const StreamOpened = Type.Object(
  { epoch: Epoch, first_seq: FirstSeq, next_seq: NextSeq },
  { $id: 'StreamOpened', title: 'StreamOpened', additionalProperties: false },
);

/** Why a stream cannot go on where its reader left off. */
export const resetReasons = ['wrong_epoch', 'beyond_head', 'expired'] as const;
export type ResetReason = (typeof resetReasons)[number];

/** `event: reset`, after `open`. */
export const StreamReset = Type.Object(
  {
    reason: Type.Enum([...resetReasons], {
      type: 'string',
      description:
        '`wrong_epoch`: what was read belongs to another history; `beyond_head`: the log does not go that far; ' +
        '`expired`: what came next is no longer kept.',
    }),
    epoch: Epoch,
    first_seq: FirstSeq,
    next_seq: NextSeq,
  },
  { $id: 'StreamReset', title: 'StreamReset', additionalProperties: false },
);

/** `event: end`, the last block of an interval that is over. */
export const StreamEnded = Type.Object(
  { to: Type.String({ description: 'The end of the interval as resolved; nothing before it will follow.' }) },
  { $id: 'StreamEnded', title: 'StreamEnded', additionalProperties: false },
);

/** What a reader has seen: everything up to this number of this history. */
export type Position = { epoch: string; seq: number };

// -1: of a log that is kept from its first event on, nothing was seen yet.
const POSITION = /^([a-z0-9-]{1,36}):(-1|0|[1-9]\d{0,15})$/;

/** @throws CodedError `invalid_parameter`, naming the parameter */
export function parsePosition(text: string, parameter: string): Position {
  const [, epoch = '', digits] = POSITION.exec(text) ?? [];
  const seq = Number(digits);
  if (epoch === '' || !Number.isSafeInteger(seq)) {
    throw new CodedError('invalid_parameter', `“${parameter}” must be an id of the stream: <epoch>:<seq>.`, {
      parameter,
    });
  }
  return { epoch, seq };
}

/** Where the log stands, as far as a start depends on it. */
type LogState = { epoch: string; firstSeq: number; nextSeq: number; fromSeq: number | undefined };

export type Start = {
  /** The first number that is looked at. */
  next: number;
  /** Set when it is not where the reader left off. */
  reset?: ResetReason;
};

/**
 * Where a stream starts: where the reader left off, if that can be had; else at the beginning of the interval, if one
 * was asked; else with what comes next.
 */
export function startOf({ epoch, firstSeq, nextSeq, fromSeq }: LogState, after: Position | undefined): Start {
  const anew = (otherwise: number): number => Math.max(firstSeq, fromSeq ?? otherwise);
  if (after === undefined) return { next: anew(nextSeq) };
  if (after.epoch !== epoch) return { next: anew(nextSeq), reset: 'wrong_epoch' };
  if (after.seq >= nextSeq) return { next: anew(nextSeq), reset: 'beyond_head' };
  if (after.seq + 1 < firstSeq) return { next: anew(firstSeq), reset: 'expired' };
  return { next: after.seq + 1 };
}

// Whatever some parser takes for the end of a line, and JSON does not escape by itself. CR and LF it does.
const LINE_ENDS = /[\u0085\u2028\u2029]/g;

/** JSON on one line, whoever reads the lines. */
const line = (data: unknown): string =>
  JSON.stringify(data).replace(LINE_ENDS, (end) => `\\u${end.charCodeAt(0).toString(16).padStart(4, '0')}`);

const block = (type: string, { epoch, seq }: Position, data: unknown, more = ''): Buffer =>
  Buffer.from(`event: ${type}\nid: ${epoch}:${seq}\n${more}data: ${line(data)}\n\n`);

export const openBlock = (at: Position, data: Static<typeof StreamOpened>): Buffer =>
  block('open', at, data, `retry: ${RETRY_MS}\n`);

export const resetBlock = (at: Position, data: Static<typeof StreamReset>): Buffer =>
  block('reset', at, data);

export const endBlock = (at: Position, data: Static<typeof StreamEnded>): Buffer => block('end', at, data);

export const auditBlock = (epoch: string, event: AuditEvent): Buffer =>
  block('audit', { epoch, seq: event.seq }, event);

/** Nothing is told, but that everything up to here was looked at: a block without data only sets the last id. */
export const heartbeatBlock = ({ epoch, seq }: Position): Buffer =>
  Buffer.from(`: heartbeat\nid: ${epoch}:${seq}\n\n`);
