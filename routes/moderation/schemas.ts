import Type, { type Static } from 'typebox';
import { Timestamp, UUID } from '../../src/core/schemas.ts';

const MAX_REASON = 500;

const Reason = Type.String({
  minLength: 1,
  maxLength: MAX_REASON,
  description: 'Why; it is recorded.',
  examples: ['spam'],
});
/** Of what may be done without one. */
export const OptionalReason = Type.Object({ reason: Type.Optional(Reason) }, { additionalProperties: false });
export type OptionalReason = Static<typeof OptionalReason>;

export const BanBody = Type.Object(
  {
    reason: Reason,
    until: Type.Optional(
      Type.String({
        description:
          'When the ban ends by itself: RFC 3339 with an offset, in the future. Left out: when it is lifted.',
        examples: ['2099-12-31T23:59:59Z'],
      }),
    ),
  },
  { additionalProperties: false },
);
export type BanBody = Static<typeof BanBody>;

export const SessionParams = Type.Object({
  session_id: Type.String({
    pattern: UUID,
    description: 'As `welcome` and `GET /sessions` name it.',
    examples: ['0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11'],
  }),
});
export const UserParams = Type.Object({
  user_id: Type.String({ description: 'As tokens name the user in `sub`.', examples: ['mallory'] }),
});
export type UserParams = Static<typeof UserParams>;

/** The answer to an act: where it stands in the log. */
export const Recorded = (description: string) =>
  Type.Object(
    { seq: Type.Integer({ minimum: 0, description: 'The event’s place in the log.' }), timestamp: Timestamp },
    { description, examples: [{ seq: 1042, timestamp: '2026-11-22T09:30:00.123456Z' }] },
  );
