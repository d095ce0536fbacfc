import Type, { type Static, type TSchema } from 'typebox';
import { actionNames, exportFormats } from './actions.ts';
import { errorCodes } from './errors.ts';

/** A value that may be absent; absent values are null on the wire. */
export const Nullable = <T extends TSchema>(schema: T, description: string) =>
  Type.Union([schema, Type.Null()], { description });

export const Timestamp = Type.String({
  description: 'RFC 3339, UTC, six decimals.',
  examples: ['2026-11-22T09:30:00.123456Z'],
});

export const Action = Type.Enum(actionNames, { type: 'string', description: 'From the closed registry.' });

/** One event of the log, as every API returns it. */
export const AuditEvent = Type.Object(
  {
    seq: Type.Integer({ minimum: 0, description: 'Position in the log, from 0, gap-free; the event’s id.' }),
    timestamp: Timestamp,
    occurred_at: Type.String({ description: 'The same form: when the instance saw it, by its own clock.' }),
    action: Action,
    user_id: Nullable(Type.String(), 'Who did it; null: the server itself.'),
    message: Nullable(Type.String(), 'The chat text, exactly as delivered.'),
    room: Nullable(Type.String(), 'Where.'),
    session_id: Nullable(Type.String({ format: 'uuid' }), 'Which connection.'),
    target_user_id: Nullable(Type.String(), 'To whom it was done.'),
    instance: Type.String({ description: 'Which process recorded it.' }),
    ip: Nullable(Type.String(), 'The client’s address.'),
    erased_by: Nullable(Type.Integer(), 'The seq of the CONTENT_ERASED that emptied fields of this event.'),
    details: Type.Record(Type.String(), Type.Unknown(), {
      description: 'What this action carries; its schema stands in GET /audit/actions.',
    }),
  },
  {
    $id: 'AuditEvent',
    title: 'AuditEvent',
    additionalProperties: false,
    examples: [
      {
        seq: 1042,
        timestamp: '2026-11-22T09:30:00.123456Z',
        occurred_at: '2026-11-22T09:30:00.121000Z',
        action: 'MESSAGE_SENT',
        user_id: 'alice',
        message: 'hello',
        room: 'lobby',
        session_id: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
        target_user_id: null,
        instance: 'host-1f0c9a2b',
        ip: '127.0.0.1',
        erased_by: null,
        details: {},
      },
    ],
  },
);
export type AuditEvent = Static<typeof AuditEvent>;

/** A problem (RFC 9457) with a code from the closed list. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'A URN made of the code.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'What is wrong, in plain words.' }),
    code: Type.Enum(Object.keys(errorCodes), {
      type: 'string',
      description: 'From the closed list of codes.',
    }),
    parameter: Type.Optional(Type.String({ description: 'The offending parameter, where there is one.' })),
  },
  {
    $id: 'Problem',
    title: 'Problem',
    examples: [
      {
        type: 'urn:minutebook:problem:invalid_parameter',
        title: 'A parameter is not valid',
        status: 400,
        detail: 'There is no parameter “acton”; did you mean “action”?',
        code: 'invalid_parameter',
        parameter: 'acton',
      },
    ],
  },
);
export type Problem = Static<typeof Problem>;

/** RFC 9562 4; the format `uuid` would also let `urn:uuid:` pass. */
export const UUID = '^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$';

/** The query string of routes that take no parameters. */
export const NoQuery = Type.Object({}, { additionalProperties: false });

const Many = (item: TSchema, description: string, example: unknown) =>
  Type.Optional(Type.Array(item, { minItems: 1, maxItems: 50, description, examples: [[example]] }));

const One = (description: string, example: string) =>
  Type.Optional(Type.String({ minLength: 1, maxLength: 512, description, examples: [example] }));

const INSTANT =
  'RFC 3339 with an offset and at most six decimals (encode + as %2B), or a span back from the database’s ' +
  'now such as -15m (s, m, h, d, w).';

/** The filters, the same on every route that reads events. Names repeat for OR; different names AND. */
export const filterProperties = {
  action: Many(Action, 'One or more actions; repeat for OR.', 'MESSAGE_SENT'),
  user_id: Many(Type.String({ minLength: 1 }), 'Who did it; repeat for OR.', 'alice'),
  target_user_id: One('To whom it was done.', 'bob'),
  involves: One('Who did it or had it done to them.', 'alice'),
  room: One('Where.', 'lobby'),
  session_id: Type.Optional(
    Type.String({
      pattern: UUID,
      description: 'Which connection: a UUID.',
      examples: ['0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11'],
    }),
  ),
  ip: One('The client’s address, IPv4 or IPv6.', '127.0.0.1'),
  q: One(
    'A part of the message, in any language, upper and lower case alike; no character is special.',
    'hello',
  ),
  from: One(`The start of the interval, inclusive. ${INSTANT}`, '-24h'),
  to: One(`The end of the interval, exclusive. ${INSTANT}`, '2026-11-23T00:00:00Z'),
};

/** How many at most; Ajv fills in the default. */
export const Limit = (what: string) =>
  Type.Optional(
    Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 50,
      description: `The most ${what} on a page.`,
      examples: [100],
    }),
  );

export const AuditQuery = Type.Object(
  {
    ...filterProperties,
    limit: Limit('events'),
    order: Type.Optional(
      Type.Enum(['desc', 'asc'], {
        type: 'string',
        default: 'desc',
        description: 'Newest or oldest first.',
        examples: ['asc'],
      }),
    ),
    cursor: Type.Optional(
      Type.String({
        description:
          'From `next_cursor`; the other parameters must be as they were (`limit` and `total` may change).',
      }),
    ),
    total: Type.Optional(
      Type.Enum(['none', 'exact'], {
        type: 'string',
        default: 'none',
        description: 'Whether to count all that match; counting stops at 10,000.',
      }),
    ),
  },
  { additionalProperties: false },
);
export type AuditQuery = Static<typeof AuditQuery>;

/** Of one's own events: whose they are is not a question. */
export const OwnAuditQuery = Type.Omit(AuditQuery, ['user_id'], { additionalProperties: false });
export type OwnAuditQuery = Static<typeof OwnAuditQuery>;

export const ExportQuery = Type.Object(
  {
    ...filterProperties,
    format: Type.Optional(
      Type.Enum(exportFormats, {
        type: 'string',
        default: 'ndjson',
        description: 'A JSON object a line, or comma-separated values.',
        examples: ['csv'],
      }),
    ),
  },
  { additionalProperties: false },
);
export type ExportQuery = Static<typeof ExportQuery>;

/** The filters, and where to go on. */
export const StreamQuery = Type.Object(
  {
    ...filterProperties,
    after: Type.Optional(
      Type.String({
        description:
          'The last `id` that was received: goes on after it. For clients that cannot send `Last-Event-ID`, which ' +
          'wins. A `from` that is a span back is then left out of account: the id says where to go on.',
        examples: ['3f0e2c9a-6a0b-4d5b-9a57-0a2f4f3c7a11:1042'],
      }),
    ),
  },
  { additionalProperties: false },
);
export type StreamQuery = Static<typeof StreamQuery>;

export const AuditPage = Type.Object(
  {
    data: Type.Array(Type.Unsafe<AuditEvent>(Type.Ref('AuditEvent'))),
    has_more: Type.Boolean({ description: 'Whether more events match now.' }),
    next_cursor: Nullable(
      Type.String(),
      'For the next page. With order=asc it is always given: asking again later gives what came since.',
    ),
    first_seq: Type.Integer({ minimum: 0, description: 'The first event still kept.' }),
    from: Type.Optional(Type.String({ description: 'The start of the interval as resolved, when asked.' })),
    to: Type.Optional(Type.String({ description: 'The end of the interval as resolved, when asked.' })),
    total: Type.Optional(
      Type.Object({
        value: Type.Integer({ minimum: 0, maximum: 10_000 }),
        exact: Type.Boolean({ description: 'False: there are more than 10,000.' }),
      }),
    ),
  },
  { $id: 'AuditPage', title: 'AuditPage' },
);
export type AuditPage = Static<typeof AuditPage>;

export const StatsQuery = Type.Object(
  {
    ...filterProperties,
    group_by: Type.Enum(['time', 'action', 'user_id', 'room'], {
      type: 'string',
      description: 'What is counted: events over time, or by value.',
      examples: ['time'],
    }),
    buckets: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 1000,
        description: 'With `group_by=time`: into how many equal parts the interval is cut; 60 unless given.',
        examples: [24],
      }),
    ),
    limit: Type.Optional(
      Type.Integer({
        minimum: 1,
        maximum: 100,
        description: 'Otherwise: the most values in the answer; 10 unless given.',
        examples: [10],
      }),
    ),
  },
  { additionalProperties: false },
);
export type StatsQuery = Static<typeof StatsQuery>;

const EventCount = Type.Integer({ minimum: 0, description: 'How many events.' });

export const Stats = Type.Object(
  {
    data: Type.Union([
      Type.Array(Type.Object({ start: Timestamp, count: EventCount }), {
        description:
          'With `group_by=time`: every part of the interval, oldest first, also where nothing was.',
      }),
      Type.Array(Type.Object({ value: Type.String(), count: EventCount }), {
        description: 'Otherwise: the most frequent values. Events without one are not counted.',
      }),
    ]),
    complete: Type.Boolean({
      description:
        'False: counting took too long and stopped; the counts are then of the newest events only.',
    }),
    from: Type.Optional(Type.String({ description: 'The start of the interval as resolved.' })),
    to: Type.Optional(Type.String({ description: 'Its end as resolved.' })),
  },
  {
    $id: 'Stats',
    title: 'Stats',
    examples: [
      {
        data: [
          { start: '2026-11-22T09:00:00.000000Z', count: 42 },
          { start: '2026-11-22T09:30:00.000000Z', count: 0 },
        ],
        complete: true,
        from: '2026-11-22T09:00:00.000000Z',
        to: '2026-11-22T10:00:00.000000Z',
      },
    ],
  },
);
export type Stats = Static<typeof Stats>;

export const SessionsQuery = Type.Object(
  {
    user_id: One('Whose.', 'alice'),
    room: One('Who is in this room.', 'lobby'),
    instance: One('On which instance.', 'host-1f0c9a2b'),
    limit: Limit('sessions'),
    cursor: Type.Optional(
      Type.String({
        description: 'From `next_cursor`; the filters must be as they were (`limit` may change).',
      }),
    ),
  },
  { additionalProperties: false },
);
export type SessionsQuery = Static<typeof SessionsQuery>;

/** A connection that is open now. */
export const ChatSession = Type.Object(
  {
    session_id: Type.String({ format: 'uuid' }),
    user_id: Type.String(),
    instance: Type.String({ description: 'The process that it is connected to.' }),
    connected_seq: Type.Integer({ minimum: 0, description: 'The seq of its CONNECTED.' }),
    connected_at: Timestamp,
    ip: Nullable(Type.String(), 'The client’s address.'),
    rooms: Type.Array(Type.String(), { description: 'In the order of joining.' }),
  },
  {
    additionalProperties: false,
    examples: [
      {
        session_id: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
        user_id: 'alice',
        instance: 'host-1f0c9a2b',
        connected_seq: 17,
        connected_at: '2026-11-22T09:30:00.123456Z',
        ip: '127.0.0.1',
        rooms: ['lobby'],
      },
    ],
  },
);
export type ChatSession = Static<typeof ChatSession>;
