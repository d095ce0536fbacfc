import Type, { type Static, type TObject } from 'typebox';

const Empty = Type.Object({});
const Code = Type.String({
  description:
    'The error code that the client got; `*` where it stands for several, of a source with too many kinds of refusal.',
});
const Count = Type.Integer({
  minimum: 1,
  description: 'How many refusals of this source and code this event stands for.',
});
const Since = Type.String({
  description: 'When the instance saw the first of them: RFC 3339, UTC, microseconds.',
});

const Sources = Type.Optional(
  Type.Integer({
    minimum: 1,
    description:
      'Where sources were too many to tell apart: how many this event stands for, counted up to 1,000. Then it ' +
      'names none of them.',
  }),
);

const Refusal = Type.Object({ code: Code, count: Count, since: Since, sources: Sources });
const HttpRefusal = Type.Object({
  code: Code,
  count: Count,
  since: Since,
  sources: Sources,
  method: Type.String({ description: '`*` where it could not be read, or several are counted together.' }),
  route: Type.String({
    description: 'The route as registered; `*` where none matched, or several are counted together.',
  }),
});

export const exportFormats = ['ndjson', 'csv'] as const;
export type ExportFormat = (typeof exportFormats)[number];

/** How an export may end; see the action AUDIT_EXPORTED. */
export const exportOutcomes = ['complete', 'client_gone', 'stalled', 'denied', 'failed', 'shutdown'] as const;
export type ExportOutcome = (typeof exportOutcomes)[number];

/** Why a live stream ended. */
export const streamEndReasons = [
  'to',
  'client_gone',
  'too_slow',
  'token_expired',
  'token_withdrawn',
  'banned',
  'shutting_down',
  'failed',
] as const;
export type StreamEndReason = (typeof streamEndReasons)[number];

const Reason = Type.Object({
  reason: Type.Union([Type.String(), Type.Null()], { description: 'As given; null: none was.' }),
});

const Filters = Type.Record(Type.String(), Type.Union([Type.String(), Type.Array(Type.String())]), {
  description: 'The filters as given.',
});

/** What an action means and what its `details` carry. */
export type ActionSpec = { description: string; details: TObject };

/**
 * The audit vocabulary: the only actions there are. What did not happen has a name of its own, so that a
 * filter on `MESSAGE_SENT` never shows a message that nobody got.
 */
export const actions = {
  CONNECTED: {
    description: 'A WebSocket session was opened.',
    details: Type.Object({
      user_agent: Type.Union([Type.String(), Type.Null()], { description: 'As the client named itself.' }),
    }),
  },
  DISCONNECTED: {
    description: 'A session ended, and with it its stay in every room; no LEFT is recorded for them.',
    details: Type.Object({
      code: Type.Integer({ description: 'WebSocket close code (RFC 6455 7.4); 1006: no close frame came.' }),
      reason: Type.String({ description: 'The close reason, or the server’s own word for it.' }),
      duration_ms: Type.Integer({ minimum: 0 }),
      rooms: Type.Array(Type.String(), { description: 'The rooms that the session was in, the first 100.' }),
      room_count: Type.Integer({ minimum: 0, description: 'How many they were.' }),
    }),
  },
  JOINED: { description: 'A user entered a room.', details: Empty },
  LEFT: { description: 'A user left a room.', details: Empty },
  MESSAGE_SENT: { description: 'A user said something in a room.', details: Empty },
  CONNECTION_REFUSED: {
    description: 'A WebSocket handshake was refused, or a session before its CONNECTED was on record.',
    details: Refusal,
  },
  MESSAGE_REFUSED: { description: 'A WebSocket frame was refused.', details: Refusal },
  ACCESS_DENIED: { description: 'A request lacked a valid token or the right.', details: HttpRefusal },
  REQUEST_REFUSED: { description: 'A request was refused for any other reason.', details: HttpRefusal },
  AUDIT_READ: {
    description: 'Somebody read the log.',
    details: Type.Object({
      path: Type.String({
        description: 'What was read: the path, or `/ws` for a replay to a room’s member.',
      }),
      filters: Filters,
      rows: Type.Integer({ minimum: 0, description: 'How many events the answer holds.' }),
    }),
  },
  AUDIT_STREAMED: {
    description: 'Somebody followed the log live: once when it began, once when it was over.',
    details: Type.Object({
      phase: Type.Enum(['opened', 'ended'], {
        type: 'string',
        description: '`opened`: before the first byte. One that its process took along has no `ended`.',
      }),
      filters: Filters,
      from_seq: Type.Integer({ minimum: 0, description: 'The first number that was looked at.' }),
      opened_seq: Type.Optional(
        Type.Integer({ minimum: 0, description: 'Only `ended`: the seq of its `opened`.' }),
      ),
      rows: Type.Optional(
        Type.Integer({ minimum: 0, description: 'Only `ended`: how many events were sent.' }),
      ),
      reason: Type.Optional(
        Type.Enum([...streamEndReasons], { type: 'string', description: 'Only `ended`: why.' }),
      ),
    }),
  },
  AUDIT_EXPORTED: {
    description: 'Somebody exported from the log: once when it began, once when it was over.',
    details: Type.Object({
      phase: Type.Enum(['started', 'ended'], {
        type: 'string',
        description: '`started`: before the first byte. One that its process took along has no `ended`.',
      }),
      format: Type.Enum(exportFormats, { type: 'string' }),
      filters: Filters,
      from_seq: Type.Integer({ minimum: 0, description: 'Where the export starts, inclusive.' }),
      to_seq: Type.Integer({
        minimum: 0,
        description: 'Where it ends, exclusive: at most the head at its start.',
      }),
      started_seq: Type.Optional(
        Type.Integer({ minimum: 0, description: 'Only `ended`: the seq of its `started`.' }),
      ),
      rows: Type.Optional(
        Type.Integer({
          minimum: 0,
          description: 'Only `ended`: how many events were sent. Of a cut export, at most these arrived.',
        }),
      ),
      outcome: Type.Optional(
        Type.Enum(exportOutcomes, {
          type: 'string',
          description:
            'Only `ended`: `complete`; `client_gone`; `stalled`: the client took too little for too long; `denied`: its ' +
            'token expired or was withdrawn, or its user was banned; `failed`: the log could not be read on; `shutdown`.',
        }),
      ),
    }),
  },
  USER_KICKED: { description: 'An administrator ended a session.', details: Reason },
  USER_BANNED: {
    description: 'An administrator banned a user, or banned them anew.',
    details: Type.Object({
      reason: Type.String(),
      until: Type.Union([Type.String(), Type.Null()], {
        description: 'When it ends: RFC 3339, UTC, microseconds; null: when it is lifted.',
      }),
    }),
  },
  USER_UNBANNED: { description: 'An administrator lifted a ban.', details: Reason },
  CONTENT_ERASED: { description: 'Content was erased from earlier events.', details: Empty },
  RETENTION_APPLIED: { description: 'Expired events were dropped.', details: Empty },
  HOLD_PLACED: { description: 'A legal hold was placed.', details: Empty },
  HOLD_RELEASED: { description: 'A legal hold was released.', details: Empty },
  SERVER_STARTED: {
    description: 'An instance began to record.',
    details: Type.Object({ version: Type.String(), node: Type.String(), postgres: Type.String() }),
  },
  SERVER_STOPPED: {
    description: 'An instance stopped in good order.',
    details: Type.Object({ uptime_ms: Type.Integer({ minimum: 0 }) }),
  },
  INSTANCE_LOST: {
    description: 'An instance disappeared without a word; another one records the ends of its sessions.',
    details: Type.Object({
      instance: Type.String({ description: 'The one that is lost.' }),
      sessions: Type.Integer({ minimum: 0, description: 'How many sessions it had open.' }),
      lease_until: Type.String({ description: 'When its lease lapsed: RFC 3339, UTC, microseconds.' }),
    }),
  },
  EPOCH_STARTED: {
    description: 'This log began, or began anew from an older state.',
    details: Type.Object({
      epoch: Type.String(),
      previous_epoch: Type.Optional(Type.String({ description: 'The epoch that ended here.' })),
      reason: Type.Optional(
        Type.String({
          description:
            '`rewound`: an instance had seen later events than the database still holds; `moved`: the log ' +
            'was brought to another database; `timeline`: the database was restored or failed over.',
        }),
      ),
    }),
  },
  LOG_DAMAGED: { description: 'A check found the log damaged.', details: Empty },
} as const satisfies Record<string, ActionSpec>;

export type Action = keyof typeof actions;

/** The details that an action carries. */
export type DetailsOf<A extends Action> = Static<(typeof actions)[A]['details']>;

export const actionNames = Object.keys(actions) as Action[];

export const isAction = (text: string): text is Action => Object.hasOwn(actions, text);
