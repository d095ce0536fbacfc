import type { ErrorCode, Receipt } from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/events.ts';
import type { Audit } from '../audit/index.ts';

/** Rooms that DISCONNECTED names; the details of an event have a bound. */
const MAX_ROOMS_NAMED = 100;

/** What the records of all sessions share. */
export type RecordsContext = {
  audit: Pick<Audit, 'record' | 'recordSurely'>;
  /** Puts on record that a session never began. */
  refuseConnection: (code: ErrorCode, source: { user_id: string; ip: string | null }) => void;
  /** Puts a refused frame on record. */
  refuseFrame: (code: ErrorCode, source: { user_id: string; ip: string | null; session_id: string }) => void;
};

/** Whose records they are. */
export type Recorded = {
  id: string;
  userId: string;
  /** The client's address. */
  ip: string | null;
};

/** What one session puts on record. */
export class Records {
  readonly #context: RecordsContext;
  readonly #recorded: Recorded;
  readonly #openedAt = performance.now();

  constructor(context: RecordsContext, recorded: Recorded) {
    this.#context = context;
    this.#recorded = recorded;
  }

  /**
   * Puts something that the session does on its way into the log.
   *
   * @param arrivedAt when it was asked for, in milliseconds of the monotonic clock; undefined: now
   */
  add(draft: Draft, arrivedAt?: number): Promise<Receipt> {
    return this.#context.audit.record(this.#own(draft), arrivedAt);
  }

  /** A frame was refused. */
  refuseFrame(code: ErrorCode): void {
    const { id: session_id, userId: user_id, ip } = this.#recorded;
    this.#context.refuseFrame(code, { user_id, ip, session_id });
  }

  /** It never began. */
  refuseConnection(code: ErrorCode): void {
    const { userId: user_id, ip } = this.#recorded;
    this.#context.refuseConnection(code, { user_id, ip });
  }

  /** It has ended; resolves with whether that is on record. */
  async end(code: number, reason: string, rooms: readonly string[]): Promise<boolean> {
    const details = {
      code,
      reason,
      duration_ms: Math.round(performance.now() - this.#openedAt),
      rooms: rooms.slice(0, MAX_ROOMS_NAMED),
      room_count: rooms.length,
    };
    return this.#context.audit.recordSurely(this.#own({ action: 'DISCONNECTED', details })).then(
      () => true,
      // The process ends before the log could be written; who takes over its sessions records their ends.
      () => false,
    );
  }

  #own(draft: Draft): Draft {
    const { id: session_id, userId: user_id, ip } = this.#recorded;
    return { ...draft, user_id, session_id, ip };
  }
}
