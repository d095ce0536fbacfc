import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import { Condition } from '../../src/core/condition.ts';
import {
  CodedError,
  type ErrorCode,
  ExpelledError,
  OutcomeUnknownError,
  type Receipt,
} from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/events.ts';
import type { ClientFrame } from '../../src/core/frame-schemas.ts';
import { frameBytes } from '../../src/core/frames.ts';
import type { Audit } from '../audit/index.ts';
import type { Principal } from '../auth/index.ts';
import type { Traffic } from '../websocket.ts';
import { Connection } from './connection.ts';
import { Inbox } from './inbox.ts';
import { Membership, type MembershipContext } from './membership.ts';
import type { Outbox } from './outbox.ts';
import { Records, type RecordsContext } from './records.ts';

/** What all sessions of a server share. */
export type SessionContext = MembershipContext &
  RecordsContext & {
    audit: Pick<Audit, 'epoch'>;
    limits: { framesPerSecond: number };
    traffic: Traffic;
    outbox: Outbox;
    /** Whether a user may send one more frame, by all sessions together. */
    takeFrame: (userId: string, now: number) => boolean;
    /** It has ended; with true when its DISCONNECTED is on record, and the tail will bring it. Called once. */
    onEnded: (session: Session, recorded: boolean) => void;
    /** An error that is nobody's but ours. */
    onFault: (error: unknown, session: Session) => void;
  };

/** Who speaks, over what. */
export type SessionOptions = {
  socket: WebSocket;
  /** The TCP or TLS connection under the socket. */
  stream: Duplex;
  principal: Principal;
  ip: string | null;
};

/**
 * One WebSocket connection.
 *
 *     opening -- CONNECTED on record, first room joined --> open
 *     opening -- the log cannot be written ---------------> closing
 *     open ---- the socket closes ------------------------> closing
 *     closing - all commands settled, DISCONNECTED on record -> ended
 *
 * Frames are handled one after the other. A join or leave is finished before the next frame is looked at;
 * messages follow each other into the log without waiting. What a command did is told when its event comes
 * out of the tail, and only then.
 */
export class Session {
  readonly id = randomUUID();
  readonly userId: string;
  /** The client's address. */
  readonly ip: string | null;
  /** The issuer's key that the bearer's token was signed with, if it was. */
  readonly keyThumbprint: string | undefined;
  /** What it does in rooms. The events of this session go there as they come out of the tail. */
  readonly membership: Membership;
  readonly #context: SessionContext;
  readonly #connection: Connection;
  readonly #records: Records;
  /** Frames not yet looked at. */
  readonly #inbox: Inbox;
  #state: 'opening' | 'open' | 'closing' | 'ended' = 'opening';
  /** When the frame came that is handled now, or was last; undefined before the first. */
  #arrivedAt: number | undefined;
  /** Set once CONNECTED is on record. */
  #connected: Receipt | undefined;
  #welcomed = false;
  /** Told when the state changes, a command is finished with, or the inbox is done. */
  readonly #changes = new Condition();

  constructor(context: SessionContext, { socket, stream, principal, ip }: SessionOptions) {
    this.#context = context;
    this.userId = principal.userId;
    this.ip = ip;
    this.keyThumbprint = principal.keyThumbprint;
    this.#records = new Records(context, this);
    this.#connection = new Connection(this, { socket, stream, expiresAt: principal.expiresAt, ...context });
    this.membership = new Membership(context, this, {
      connection: this.#connection,
      changes: this.#changes,
      allowedRooms: principal.rooms,
    });
    this.#inbox = new Inbox(this, this.#connection, context.limits.framesPerSecond);
  }

  /** Records the connection and joins the first room, if any; then frames are handled. */
  async open(room: string | undefined, userAgent: string | null): Promise<void> {
    try {
      this.#connected = await this.record({ action: 'CONNECTED', details: { user_agent: userAgent } });
    } catch (error) {
      this.#abandon(error);
      return;
    }
    if (this.#isOver()) return;
    if (room === undefined) this.welcome();
    else {
      const joined = await this.membership.enter(room);
      if (this.#isOver()) return;
      if (!joined) this.close(1013, 'the audit log cannot be written');
    }
    this.#state = 'open';
    this.#changes.changed();
    this.#inbox.start();
  }

  /** Sends a frame of a room, after the replay if one is under way. */
  sendInRoom(room: string, bytes: Buffer): void {
    this.#connection.sendInRoom(room, bytes);
  }

  /** Closes the connection; its end is recorded when it is closed. */
  close(code: number, reason: string): void {
    this.#connection.close(code, reason);
  }

  /** An administrator has ended it: the log takes nothing more that it says. */
  expel(): void {
    this.close(4403, 'ended by an administrator');
  }

  /**
   * Cuts the connection. Its end is on record already, or will be put there by another instance: nothing that
   * happens to this session from here on is told to anybody.
   */
  cut(): void {
    if (this.#state === 'ended') return;
    this.#inbox.clear();
    this.#connection.cut();
    this.#finishEnd(false);
  }

  /** Closes the connection if its token has expired. @param now milliseconds since 1970 */
  checkExpiry(now: number): void {
    this.#connection.checkExpiry(now);
  }

  /** Closes the connection if nothing was said since a time of the monotonic clock, and no answer is awaited. */
  checkIdle(since: number): void {
    if (this.#state === 'open' && this.#isAtRest()) this.#connection.checkIdle(since);
  }

  /** Pings the peer; cuts the connection when the last ping was not answered. */
  ping(): void {
    this.#connection.ping();
  }

  /** Takes no more frames; resolves when those taken are answered, or after the time given. */
  async drain(timeoutMs: number): Promise<void> {
    this.#inbox.drain();
    await Promise.race([this.#idle(), delay(timeoutMs, undefined, { ref: false })]);
  }

  // ---- what its connection, its inbox and its membership tell it, and ask for

  /** A text frame came. */
  onText(text: string): void {
    this.#inbox.add(text);
  }

  /** Whether its user may send one more frame. */
  takeFrame(now: number): boolean {
    return this.#context.takeFrame(this.userId, now);
  }

  /** A frame was refused before it could be read. */
  onRefused(code: ErrorCode): void {
    if (!this.#isOver()) this.#records.refuseFrame(code);
  }

  /** The server closes; what was received and not handled yet comes too late. */
  onClosing(): void {
    this.#inbox.clear();
  }

  /** The connection is over: the close code and the reason, the peer's if it gave any, else the server's own. */
  onClosed(code: number, reason: string): void {
    void this.#end(code, reason);
  }

  /** Puts something that it does on its way into the log. */
  record(draft: Draft): Promise<Receipt> {
    return this.#records.add(draft, this.#arrivedAt);
  }

  /** Tells the client why something is not, or not known to be, on record. */
  tellError(error: unknown, ref: string | undefined): void {
    const code = this.#sendError(error, ref);
    // Unknown is not refused: it may well be on record.
    if (code !== 'outcome_unknown') this.onRefused(code);
    // The log knows of its end before this instance has heard of it.
    if (error instanceof ExpelledError) this.expel();
  }

  #sendError(error: unknown, ref: string | undefined): ErrorCode {
    if (!(error instanceof CodedError)) this.onFault(error);
    const { code, message } =
      error instanceof CodedError ? error : new CodedError('internal', 'Something went wrong on the server.');
    this.#connection.send(
      frameBytes({ type: 'error', code, message, ...(ref === undefined ? {} : { ref }) }),
    );
    if (code === 'outcome_unknown' || code === 'audit_unavailable') this.#inbox.refuseWaiting();
    return code;
  }

  /** The next frame, in order; a promise when the one after it must wait. */
  onFrame(frame: ClientFrame, at: number): Promise<unknown> | undefined {
    this.#arrivedAt = at;
    return this.membership.handle(frame);
  }

  /** An error that is nobody's but ours. */
  onFault(error: unknown): void {
    this.#context.onFault(error, this);
  }

  /** Every frame that came is handled. */
  onInboxDone(): void {
    this.#changes.changed();
  }

  /** Tells its client, once, that it is there. */
  welcome(): void {
    if (this.#welcomed || this.#connected === undefined) return;
    this.#welcomed = true;
    const { epoch } = this.#context.audit;
    const who = { session_id: this.id, user_id: this.userId, epoch };
    const { rooms } = this.membership;
    this.#connection.send(frameBytes({ type: 'welcome', ...who, ...this.#connected, rooms }));
  }

  // ---- the end

  /** The log did not take CONNECTED, so there is no session; if it did after all, it is ended at once. */
  #abandon(error: unknown): void {
    if (this.#isOver()) return;
    this.#state = 'closing';
    this.#changes.changed();
    // Nothing but a ban expels a session that has not begun.
    const isBanned = error instanceof ExpelledError;
    const why = isBanned ? new CodedError('banned', 'You are banned.', { cause: error }) : error;
    const code = this.#sendError(why, undefined);
    // Unknown is not refused: it may well be on record.
    if (code !== 'outcome_unknown') this.#records.refuseConnection(code);
    if (isBanned) this.expel();
    else this.close(1013, 'the audit log cannot be written');
    if (error instanceof OutcomeUnknownError) {
      error.settled.then(
        () => this.#recordEnd(1013, 'the audit log cannot be written'),
        () => this.#finishEnd(false),
      );
    } else this.#finishEnd(false);
  }

  /** The socket is closed. What was received before is handled still; then the end goes on record. */
  async #end(code: number, reason: string): Promise<void> {
    if (this.#state === 'closing' || this.#state === 'ended') return;
    await this.#changes.until(() => this.#state !== 'opening');
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#inbox.work();
    await this.#idle();
    await this.#recordEnd(code, reason);
  }

  async #recordEnd(code: number, reason: string): Promise<void> {
    this.#finishEnd(await this.#records.end(code, reason, this.membership.rooms));
  }

  // As a function, for the compiler does not know that a state changes while something is awaited.
  #isOver(): boolean {
    return this.#state === 'ended';
  }

  #finishEnd(recorded: boolean): void {
    if (this.#isOver()) return;
    this.#state = 'ended';
    this.#changes.changed();
    this.#context.onEnded(this, recorded);
  }

  /** Resolves when everything that was received is answered. */
  #idle(): Promise<void> {
    return this.#changes.until(() => this.#isAtRest());
  }

  #isAtRest(): boolean {
    return this.#inbox.isDone && this.membership.isIdle;
  }
}
