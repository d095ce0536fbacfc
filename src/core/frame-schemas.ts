import Type, { type Static } from 'typebox';
import type { ErrorCode } from './errors.ts';

/** The longest `ref`, in characters. */
export const MAX_REF_LENGTH = 64;
const Ref = Type.Optional(
  Type.String({ maxLength: MAX_REF_LENGTH, description: 'The client’s own label, echoed back.' }),
);
const strict = { additionalProperties: false };

/** A place in the log that the client has seen. */
export const Since = Type.Object(
  {
    epoch: Type.String({ maxLength: 36 }),
    seq: Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER }),
  },
  strict,
);
export type Since = Static<typeof Since>;

export const JoinFrame = Type.Object(
  { type: Type.Literal('join'), room: Type.String(), ref: Ref, since: Type.Optional(Since) },
  strict,
);
export const LeaveFrame = Type.Object({ type: Type.Literal('leave'), room: Type.String(), ref: Ref }, strict);
export const MessageFrame = Type.Object(
  { type: Type.Literal('message'), room: Type.Optional(Type.String()), text: Type.String(), ref: Ref },
  strict,
);

export type JoinFrame = Static<typeof JoinFrame>;
export type LeaveFrame = Static<typeof LeaveFrame>;
export type MessageFrame = Static<typeof MessageFrame>;
/** What a client may send. */
export type ClientFrame = JoinFrame | LeaveFrame | MessageFrame;

/** What the server sends. */
export type ServerFrame =
  | {
      type: 'welcome';
      session_id: string;
      user_id: string;
      epoch: string;
      seq: number;
      timestamp: string;
      rooms: string[];
    }
  | {
      type: 'joined';
      room: string;
      user_id: string;
      seq: number;
      timestamp: string;
      /** To the joiner after `since` only: how many messages were replayed, and whether more would have been. */
      replayed?: number;
      truncated?: boolean;
    }
  | { type: 'left'; room: string; user_id: string; seq: number; timestamp: string }
  | { type: 'reset'; room: string; epoch: string; first_seq: number; seq: number }
  | {
      type: 'message';
      room: string;
      user_id: string;
      text: string;
      seq: number;
      timestamp: string;
      ref?: string;
    }
  /** `seq` and `timestamp` are null when there was nothing to record: leaving a room that one is not in. */
  | { type: 'ack'; ref: string; seq: number | null; timestamp: string | null }
  | { type: 'error'; code: ErrorCode; message: string; ref?: string };
