import type { Condition } from '../../src/core/condition.ts';
import type { Receipt } from '../../src/core/errors.ts';
import type {
  ClientFrame,
  JoinFrame,
  LeaveFrame,
  MessageFrame,
  ServerFrame,
} from '../../src/core/frame-schemas.ts';
import { FrameError, frameBytes } from '../../src/core/frames.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { type Command, type Commander, Commands } from './commands.ts';
import type { Connection } from './connection.ts';
import type { Member, Replay } from './replay.ts';

/** Messages of one session that may be on their way into the log. */
const MAX_IN_FLIGHT = 64;
/** The rooms of a session that has joined none yet: an idle connection should cost little. Never written to. */
const NO_ROOMS = new Map<string, Receipt>();

/** What the memberships of all sessions share. */
export type MembershipContext = {
  limits: { roomsPerSession: number };
  replay: Replay;
  /** The number that the log's next event will get, as far as this instance has delivered. */
  delivered: () => number;
};

/** Whose membership it is. */
export type MembershipOwner = Member &
  Commander & {
    /** Tells the client that the session is there, unless it was told; called before anything is told of a room. */
    welcome: () => void;
  };

export type MembershipOptions = {
  connection: Connection;
  /** Told whenever a command is finished with. */
  changes: Condition;
  /** The rooms that the token limits its bearer to; undefined: all. */
  allowedRooms: ReadonlySet<string> | undefined;
};

/**
 * What one session does in rooms: it joins them, speaks there and leaves them. A frame becomes a command, and what the
 * command did is told when its event comes out of the tail, and only then.
 */
export class Membership {
  readonly #context: MembershipContext;
  readonly #owner: MembershipOwner;
  readonly #connection: Connection;
  readonly #allowedRooms: ReadonlySet<string> | undefined;
  readonly #changes: Condition;
  readonly #commands: Commands;
  /** Rooms that the log says this session is in, in the order of joining, with the JOINED of each. */
  #rooms: Map<string, Receipt> = NO_ROOMS;

  constructor(
    context: MembershipContext,
    owner: MembershipOwner,
    { connection, changes, allowedRooms }: MembershipOptions,
  ) {
    this.#context = context;
    this.#owner = owner;
    this.#connection = connection;
    this.#allowedRooms = allowedRooms;
    this.#changes = changes;
    this.#commands = new Commands(owner, changes);
  }

  /** The rooms that this session is in. */
  get rooms(): string[] {
    return [...this.#rooms.keys()];
  }

  /** Whether no command is under way. */
  get isIdle(): boolean {
    return this.#commands.size === 0;
  }

  /** Joins the first room, unasked. Resolves with whether that is on record. */
  enter(room: string): Promise<boolean> {
    return this.#commands.move({ action: 'JOINED', room });
  }

  /** Does what a frame asks for; a promise when the next frame must wait. @throws FrameError */
  handle(frame: ClientFrame): Promise<unknown> | undefined {
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

  // ---- events of this session, as they come out of the tail

  /** This session’s JOINED: it is in the room from here on. Resolves when the joiner was told. */
  onJoined(event: AuditEvent, room: string): Promise<void> {
    const { seq, timestamp } = event;
    const command = this.#commands.next();
    if (this.#rooms === NO_ROOMS) this.#rooms = new Map();
    this.#rooms.set(room, { seq, timestamp });
    this.#owner.welcome();
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
    this.#connection.sendInRoom(room, own);
    // By the same way, so that it comes after the message.
    if (ref !== undefined) this.#connection.sendInRoom(room, ackFrame(ref, event));
    this.#commands.finish(command);
  }

  // ---- frames

  #say(frame: MessageFrame): Promise<void> | undefined {
    const room = frame.room ?? this.rooms.at(-1);
    if (room === undefined || !this.#rooms.has(room)) {
      const which = room === undefined ? 'any room' : `the room “${room}”`;
      throw new FrameError('not_in_room', `You are not in ${which}; join first.`, frame.ref);
    }
    this.#commands.send({ action: 'MESSAGE_SENT', room, message: frame.text }, frame.ref);
    const hasRoom = (): boolean => this.#commands.size < MAX_IN_FLIGHT;
    return hasRoom() ? undefined : this.#changes.until(hasRoom);
  }

  #join({ room, ref, since }: JoinFrame): Promise<unknown> {
    const { roomsPerSession } = this.#context.limits;
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
    if (roomsPerSession > 0 && this.#rooms.size >= roomsPerSession) {
      throw new FrameError('forbidden', `A session can be in ${roomsPerSession} rooms at most.`, ref);
    }
    return this.#commands.move({ action: 'JOINED', room }, { ref, since });
  }

  #leave({ room, ref }: LeaveFrame): Promise<unknown> {
    if (this.#rooms.has(room)) return this.#commands.move({ action: 'LEFT', room }, { ref });
    this.#ack(ref, { seq: null, timestamp: null });
    return Promise.resolve();
  }

  // ---- answers

  /** Tells the joiner that it is in, after the messages it missed if it asked for them. */
  async #tellJoined(
    room: string,
    command: Pick<Command, 'ref' | 'since'> | undefined,
    until: number,
  ): Promise<void> {
    const receipt = this.#rooms.get(room);
    if (receipt === undefined) return;
    const joined = { type: 'joined' as const, room, user_id: this.#owner.userId, ...receipt };
    const { ref, since } = command ?? {};
    if (since === undefined) {
      this.#connection.send(frameBytes(joined));
      this.#ack(ref, receipt);
      return;
    }
    this.#connection.hold(room);
    const replayed = await this.#context.replay(this.#owner, this.#connection, { room, since, until, ref });
    this.#connection.send(frameBytes({ ...joined, ...replayed }));
    this.#ack(ref, receipt);
    this.#connection.release(room);
  }

  #ack(ref: string | undefined, place: Place): void {
    if (ref !== undefined) this.#connection.send(ackFrame(ref, place));
  }
}

/** Where in the log it is that a command did something; null where it had nothing to do. */
type Place = { seq: number | null; timestamp: string | null };

const ackFrame = (ref: string, { seq, timestamp }: Place): Buffer =>
  frameBytes({ type: 'ack', ref, seq, timestamp });
