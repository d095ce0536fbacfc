import { randomUUID } from 'node:crypto';
import type { Duplex } from 'node:stream';
import { setTimeout as delay } from 'node:timers/promises';
import type { WebSocket } from 'ws';
import {
  CodedError,
  type ErrorCode,
  ExpelledError,
  OutcomeUnknownError,
  type Receipt,
} from '../../src/core/errors.ts';
import type { Draft } from '../../src/core/events.ts';
import {
  type ClientFrame,
  FrameError,
  frameBytes,
  type JoinFrame,
  type LeaveFrame,
  type MessageFrame,
  type ServerFrame,
} from '../../src/core/frames.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import type { Audit } from '../audit/index.ts';
import type { Principal } from '../auth/index.ts';
import type { Traffic } from '../websocket.ts';
import { type Command, Commands } from './commands.ts';
import { Connection } from './connection.ts';
import { Inbox } from './inbox.ts';
import type { Outbox } from './outbox.ts';
import type { Replay } from './replay.ts';

/** Messages of one session that may be on their way into the log. */
const MAX_IN_FLIGHT = 64;
/** Rooms that DISCONNECTED names; the details of an event have a bound. */
const MAX_ROOMS_NAMED = 100;
/** The rooms of a session that has joined none yet: an idle connection should cost little. Never written to. */
const NO_ROOMS = new Map<string, Receipt>();

/** What all sessions of a server share. */
export type SessionContext = {
  audit: Pick<Audit, 'epoch' | 'record' | 'recordSurely'>;
  limits: { framesPerSecond: number; roomsPerSession: number };
  traffic: Traffic;
  outbox: Outbox;
  /** Whether a user may send one more frame, by all sessions together. */
  takeFrame: (userId: string, now: number) => boolean;
  /** Puts on record that this session never began. */
  refuseConnection: (code: ErrorCode, source: { user_id: string; ip: string | null }) => void;
  /** Puts a refused frame on record. */
  refuseFrame: (code: ErrorCode, source: { user_id: string; ip: string | null; session_id: string }) => void;
  replay: Replay;
  /** The number that the log's next event will get, as far as this instance has delivered. */
  delivered: () => number;
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
  readonly #context: SessionContext;
  /** The rooms that the token limits its bearer to; undefined: all. */
  readonly #allowedRooms: ReadonlySet<string> | undefined;
  readonly #connection: Connection;
  readonly #openedAt = performance.now();
  /** Rooms that the log says this session is in, in the order of joining, with the JOINED of each. */
  #rooms: Map<string, Receipt> = NO_ROOMS;
  /** Frames not yet looked at. */
  readonly #inbox: Inbox;
  readonly #commands: Commands;
  #state: 'opening' | 'open' | 'closing' | 'ended' = 'opening';
  /** When the frame came that is handled now, or was last; undefined before the first. */
  #arrivedAt: number | undefined;
  /** Set once CONNECTED is on record. */
  #connected: Receipt | undefined;
  #welcomed = false;
  /** Called when a command is done with or the inbox is done with. */
  #waiters: (() => void)[] = [];

  constructor(context: SessionContext, { socket, stream, principal, ip }: SessionOptions) {
    this.#context = context;
    this.userId = principal.userId;
    this.ip = ip;
    this.keyThumbprint = principal.keyThumbprint;
    this.#allowedRooms = principal.rooms;
    this.#commands = new Commands(this);
    this.#connection = new Connection(this, { socket, stream, expiresAt: principal.expiresAt, ...context });
    this.#inbox = new Inbox(this, this.#connection, context.limits.framesPerSecond);
  }

  /** The rooms that this session is in. */
  get rooms(): Iterable<string> {
    return this.#rooms.keys();
  }

  /** Records the connection and joins the first room, if any; then frames are handled. */
  async open(room: string | undefined, userAgent: string | null): Promise<void> {
    const details = { user_agent: userAgent };
    try {
      this.#connected = await this.record(this.#draft({ action: 'CONNECTED', details }));
    } catch (error) {
      this.#abandon(error);
      return;
    }
    if (this.#isOver()) return;
    if (room === undefined) this.#welcome();
    else {
      const joined = await this.#commands.move(this.#draft({ action: 'JOINED', room }));
      if (this.#isOver()) return;
      if (!joined) this.close(1013, 'the audit log cannot be written');
    }
    this.#state = 'open';
    this.#wake();
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

  /** Pings the peer; cuts the connection when the last ping was not answered. */
  ping(): void {
    this.#connection.ping();
  }

  /** Takes no more frames; resolves when those taken are answered, or after the time given. */
  async drain(timeoutMs: number): Promise<void> {
    this.#inbox.drain();
    await Promise.race([this.#idle(), delay(timeoutMs, undefined, { ref: false })]);
  }

  // ---- events of this session, as they come out of the tail

  /** This session’s JOINED: it is in the room from here on. Resolves when the joiner was told. */
  onJoined(event: AuditEvent, room: string): Promise<void> {
    const { seq, timestamp } = event;
    const command = this.#commands.next();
    if (this.#rooms === NO_ROOMS) this.#rooms = new Map();
    this.#rooms.set(room, { seq, timestamp });
    this.#welcome();
    return this.#tellJoined(room, command, seq).finally(() => this.#commands.finish(command));
  }

  /** This session’s LEFT. */
  onLeft(event: AuditEvent, room: string, bytes: Buffer): void {
    const command = this.#commands.next();
    this.#rooms.delete(room);
    this.#connection.send(bytes);
    this.#ack(command?.ref, event);
    this.#commands.finish(command);
  }

  /** This session’s own message: the sender gets it with its `ref`, and then the acknowledgement. */
  onOwnMessage(event: AuditEvent, frame: ServerFrame & { type: 'message' }, bytes: Buffer | undefined): void {
    const command = this.#commands.next();
    const ref = command?.ref;
    const { room } = frame;
    const own = ref === undefined ? (bytes ?? frameBytes(frame)) : frameBytes({ ...frame, ref });
    this.sendInRoom(room, own);
    // By the same way, so that it comes after the message.
    if (ref !== undefined) this.sendInRoom(room, this.#ackFrame(ref, event));
    this.#commands.finish(command);
  }

  // ---- what its connection and its commands tell it

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
    if (this.#isOver()) return;
    this.#context.refuseFrame(code, { user_id: this.userId, ip: this.ip, session_id: this.id });
  }

  /** The server closes; what was received and not handled yet comes too late. */
  onClosing(): void {
    this.#inbox.clear();
  }

  /** The connection is over: the close code and the reason, the peer's if it gave any, else the server's own. */
  onClosed(code: number, reason: string): void {
    void this.#end(code, reason);
  }

  /** Puts an event on its way into the log. */
  record(draft: Draft): Promise<Receipt> {
    return this.#context.audit.record(draft, this.#arrivedAt);
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

  /** A command is finished with. */
  onCommandDone(): void {
    this.#wake();
  }

  // ---- frames

  /** The next frame, in order; a promise when the one after it must wait. */
  onFrame(frame: ClientFrame, at: number): Promise<unknown> | undefined {
    this.#arrivedAt = at;
    if (this.#commands.movesInDoubt) {
      throw new FrameError(
        'audit_unavailable',
        'Whether you have joined or left is not known yet; nothing was done.',
        frame.ref,
      );
    }
    if (frame.type === 'message') return this.#say(frame);
    return frame.type === 'join' ? this.#join(frame) : this.#leave(frame);
  }

  /** An error that is nobody's but ours. */
  onFault(error: unknown): void {
    this.#context.onFault(error, this);
  }

  /** Every frame that came is handled. */
  onInboxDone(): void {
    this.#wake();
  }

  #say(frame: MessageFrame): Promise<void> | undefined {
    const room = frame.room ?? [...this.#rooms.keys()].at(-1);
    if (room === undefined || !this.#rooms.has(room)) {
      const which = room === undefined ? 'any room' : `the room “${room}”`;
      throw new FrameError('not_in_room', `You are not in ${which}; join first.`, frame.ref);
    }
    const draft = this.#draft({ action: 'MESSAGE_SENT', room, message: frame.text });
    this.#commands.send(draft, frame.ref);
    return this.#commands.size < MAX_IN_FLIGHT
      ? undefined
      : this.#until(() => this.#commands.size < MAX_IN_FLIGHT);
  }

  #join({ room, ref, since }: JoinFrame): Promise<unknown> {
    const { limits } = this.#context;
    if (this.#allowedRooms !== undefined && !this.#allowedRooms.has(room)) {
      throw new FrameError('forbidden', `Your token does not allow the room “${room}”.`, ref);
    }
    const joined = this.#rooms.get(room);
    if (joined !== undefined) {
      // No new event; but who asks for what it missed gets it.
      if (since === undefined) this.#ack(ref, joined);
      else return this.#tellJoined(room, { ref, since }, this.#context.delivered());
      return Promise.resolve();
    }
    if (limits.roomsPerSession > 0 && this.#rooms.size >= limits.roomsPerSession) {
      throw new FrameError('forbidden', `A session can be in ${limits.roomsPerSession} rooms at most.`, ref);
    }
    return this.#commands.move(this.#draft({ action: 'JOINED', room }), { ref, since });
  }

  #leave({ room, ref }: LeaveFrame): Promise<unknown> {
    if (this.#rooms.has(room)) return this.#commands.move(this.#draft({ action: 'LEFT', room }), { ref });
    this.#ack(ref, { seq: null, timestamp: null });
    return Promise.resolve();
  }

  // ---- commands

  #draft(draft: Draft): Draft {
    return { ...draft, user_id: this.userId, session_id: this.id, ip: this.ip };
  }

  /** Tells the joiner that it is in, after the messages it missed if it asked for them. */
  async #tellJoined(
    room: string,
    command: Pick<Command, 'ref' | 'since'> | undefined,
    until: number,
  ): Promise<void> {
    const receipt = this.#rooms.get(room);
    if (receipt === undefined) return;
    const joined = { type: 'joined' as const, room, user_id: this.userId, ...receipt };
    const { ref, since } = command ?? {};
    if (since === undefined) {
      this.#connection.send(frameBytes(joined));
      this.#ack(ref, receipt);
      return;
    }
    this.#connection.hold(room);
    const replayed = await this.#context.replay(this, this.#connection, { room, since, until, ref });
    this.#connection.send(frameBytes({ ...joined, ...replayed }));
    this.#ack(ref, receipt);
    this.#connection.release(room);
  }

  #welcome(): void {
    if (this.#welcomed || this.#connected === undefined) return;
    this.#welcomed = true;
    const { epoch } = this.#context.audit;
    const rooms = [...this.#rooms.keys()];
    this.#connection.send(
      frameBytes({
        type: 'welcome',
        session_id: this.id,
        user_id: this.userId,
        epoch,
        ...this.#connected,
        rooms,
      }),
    );
  }

  #ack(ref: string | undefined, { seq, timestamp }: { seq: number | null; timestamp: string | null }): void {
    if (ref !== undefined) this.#connection.send(this.#ackFrame(ref, { seq, timestamp }));
  }

  #ackFrame(ref: string, { seq, timestamp }: { seq: number | null; timestamp: string | null }): Buffer {
    return frameBytes({ type: 'ack', ref, seq, timestamp });
  }

  // ---- the end

  /** The log did not take CONNECTED, so there is no session; if it did after all, it is ended at once. */
  #abandon(error: unknown): void {
    if (this.#isOver()) return;
    this.#state = 'closing';
    this.#wake();
    // Nothing but a ban expels a session that has not begun.
    const isBanned = error instanceof ExpelledError;
    const why = isBanned ? new CodedError('banned', 'You are banned.', { cause: error }) : error;
    const code = this.#sendError(why, undefined);
    // Unknown is not refused: it may well be on record.
    if (code !== 'outcome_unknown') {
      this.#context.refuseConnection(code, { user_id: this.userId, ip: this.ip });
    }
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
    await this.#until(() => this.#state !== 'opening');
    if (this.#state !== 'open') return;
    this.#state = 'closing';
    this.#inbox.work();
    await this.#idle();
    await this.#recordEnd(code, reason);
  }

  async #recordEnd(code: number, reason: string): Promise<void> {
    const duration_ms = Math.round(performance.now() - this.#openedAt);
    const rooms = [...this.#rooms.keys()];
    const details = {
      code,
      reason,
      duration_ms,
      rooms: rooms.slice(0, MAX_ROOMS_NAMED),
      room_count: rooms.length,
    };
    const recorded = await this.#context.audit
      .recordSurely(this.#draft({ action: 'DISCONNECTED', details }))
      .then(
        () => true,
        // The process ends before the log could be written; who takes over its sessions records their ends.
        () => false,
      );
    this.#finishEnd(recorded);
  }

  // As a function, for the compiler does not know that a state changes while something is awaited.
  #isOver(): boolean {
    return this.#state === 'ended';
  }

  #finishEnd(recorded: boolean): void {
    if (this.#isOver()) return;
    this.#state = 'ended';
    this.#wake();
    this.#context.onEnded(this, recorded);
  }

  /** Resolves when everything that was received is answered. */
  #idle(): Promise<void> {
    return this.#until(() => this.#inbox.isDone && this.#commands.size === 0);
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#waiters.push(resolve));
  }

  #wake(): void {
    const waiters = this.#waiters;
    this.#waiters = [];
    for (const wake of waiters) wake();
  }
}
