import Type, { type Static } from 'typebox';
import type { DetailsOf } from './actions.ts';
import { CodedError } from './errors.ts';
import { type AuditEvent, Limit, Nullable, Timestamp } from './schemas.ts';

/** A ban that is in force. */
export const Ban = Type.Object(
  {
    user_id: Type.String({ description: 'Who is banned.' }),
    reason: Type.String({ description: 'Shown to the user as well.' }),
    until: Nullable(Timestamp, 'When it ends, by the database’s clock; null: when it is lifted.'),
    banned_by: Nullable(Type.String(), 'The administrator.'),
    banned_at: Timestamp,
    seq: Type.Integer({ minimum: 0, description: 'The seq of its USER_BANNED.' }),
  },
  {
    additionalProperties: false,
    examples: [
      {
        user_id: 'mallory',
        reason: 'spam',
        until: '2026-12-01T00:00:00.000000Z',
        banned_by: 'admin',
        banned_at: '2026-11-22T09:30:00.123456Z',
        seq: 1042,
      },
    ],
  },
);
export type Ban = Static<typeof Ban>;

export const BansQuery = Type.Object(
  {
    limit: Limit('bans'),
    cursor: Type.Optional(
      Type.String({ description: 'From `next_cursor` of the page before (`limit` may change).' }),
    ),
  },
  { additionalProperties: false },
);
export type BansQuery = Static<typeof BansQuery>;

/** What is known of a ban where it is looked at for every request. */
export type BanInForce = Pick<Ban, 'reason' | 'until' | 'seq'> & {
  /** How long it will last yet by the database’s clock, in milliseconds; null: until it is lifted. */
  remainingMs: number | null;
};

/**
 * How long a ban is known after its end, in milliseconds. Until then the database is asked whether it has ended by its
 * own clock; should that have gone back by more than this, it still refuses the sessions of such a user by itself.
 */
const LAPSED_KEPT_MS = 60_000;

type Entry = Omit<BanInForce, 'remainingMs'> & {
  /** When it ends as far as is known, in milliseconds of the monotonic clock. */
  endsAt: number;
};

/** What a banned user is told. */
export const bannedError = ({ until, reason }: Pick<Ban, 'until' | 'reason'>): CodedError =>
  new CodedError('banned', `You are banned${until === null ? '' : ` until ${until}`}: ${reason}`);

/** The bans of a log as its events tell them, by user. As in the database, what has lapsed goes with the next ban. */
export class Bans {
  readonly #byUser = new Map<string, Entry>();

  /**
   * Takes over what the database says of a user.
   *
   * @param now milliseconds of the monotonic clock when the database was asked
   */
  set(userId: string, { reason, until, seq, remainingMs }: BanInForce, now: number): void {
    this.#byUser.set(userId, { reason, until, seq, endsAt: now + (remainingMs ?? Number.POSITIVE_INFINITY) });
  }

  /** Forgets a ban that the database no longer knows, unless another has come in its place. */
  forget(userId: string, seq: number): void {
    if (this.#byUser.get(userId)?.seq === seq) this.#byUser.delete(userId);
  }

  /** How many are known. */
  get size(): number {
    return this.#byUser.size;
  }

  clear(): void {
    this.#byUser.clear();
  }

  /** The ban of a user, also one whose end may be past; undefined when there is none. */
  get(userId: string): Readonly<Entry> | undefined {
    return this.#byUser.get(userId);
  }

  /**
   * Takes the next event of the log.
   *
   * @param now milliseconds of the monotonic clock
   * @returns who was banned by it
   */
  apply({ action, target_user_id, details, timestamp, seq }: AuditEvent, now: number): string | undefined {
    if (target_user_id === null) return undefined;
    if (action === 'USER_UNBANNED') this.#byUser.delete(target_user_id);
    if (action !== 'USER_BANNED') return undefined;
    const { reason, until } = details as DetailsOf<'USER_BANNED'>;
    for (const [userId, { endsAt }] of this.#byUser) {
      if (endsAt + LAPSED_KEPT_MS < now) this.#byUser.delete(userId);
    }
    const remainingMs = until === null ? null : Date.parse(until) - Date.parse(timestamp);
    this.set(target_user_id, { reason, until, seq, remainingMs }, now);
    return target_user_id;
  }
}
