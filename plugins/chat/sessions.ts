import type { ServerFrame } from '../../src/core/frame-schemas.ts';
import { frameBytes } from '../../src/core/frames.ts';
import { Rooms } from '../../src/core/rooms.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import type { Session } from './session.ts';

/** In larger rooms, comings and goings are not told; n members make n × n such frames. */
const MAX_PRESENCE_MEMBERS = 200;

const presence = (type: 'joined' | 'left', room: string, { user_id, seq, timestamp }: AuditEvent): Buffer =>
  frameBytes({ type, room, user_id: user_id ?? '', seq, timestamp } satisfies ServerFrame);

/** The sessions of this instance, and what the log tells them: events that come out of the tail become frames. */
export class Sessions {
  /** Those whose end is not on record yet. */
  readonly #byId = new Map<string, Session>();
  readonly #rooms = new Rooms<Session>();
  /** What this instance is called in the log now. */
  readonly #instance: () => string;

  constructor(instance: () => string) {
    this.#instance = instance;
  }

  [Symbol.iterator](): Iterator<Session> {
    return this.#byId.values();
  }

  add(session: Session): void {
    this.#byId.set(session.id, session);
  }

  /** Of one whose end will not come out of the tail. */
  forget(session: Session): void {
    this.#byId.delete(session.id);
  }

  /** Cuts all of them; their ends are, or will be, recorded by another instance. */
  cutAll(): void {
    for (const session of this) {
      for (const room of session.membership.rooms) this.#rooms.remove(room, session);
      session.cut();
    }
    this.#byId.clear();
  }

  /** Takes the next event of the log. */
  deliver(event: AuditEvent): void {
    const { action, room, session_id } = event;
    const session = session_id === null ? undefined : this.#byId.get(session_id);
    if (action === 'DISCONNECTED') this.#deliverEnd(event, session);
    if (action === 'USER_KICKED') session?.expel();
    if (action === 'USER_BANNED') this.#expelUser(event.target_user_id);
    if (room === null) return;
    if (action === 'MESSAGE_SENT') this.#deliverMessage(event, room, session);
    if (action === 'JOINED') {
      this.#tellPresence(room, presence('joined', room, event), session);
      if (session === undefined) return;
      this.#rooms.add(room, session);
      void session.membership.onJoined(event, room);
    }
    if (action === 'LEFT') {
      if (session !== undefined) this.#rooms.remove(room, session);
      const bytes = presence('left', room, event);
      this.#tellPresence(room, bytes, session);
      session?.membership.onLeft(event, room, bytes);
    }
  }

  /** Tells the members of a room of somebody’s coming or going. */
  #tellPresence(room: string, bytes: Buffer, except: Session | undefined): void {
    const members = this.#rooms.members(room);
    if (members.size > MAX_PRESENCE_MEMBERS) return;
    for (const member of members) if (member !== except) member.sendInRoom(room, bytes);
  }

  #deliverMessage(event: AuditEvent, room: string, session: Session | undefined): void {
    const { seq, timestamp, user_id, message } = event;
    const said = { room, user_id: user_id ?? '', text: message ?? '', seq, timestamp };
    const frame = { type: 'message' as const, ...said };
    // Serialised once, however many members get it.
    let bytes: Buffer | undefined;
    for (const member of this.#rooms.members(room)) {
      if (member === session) continue;
      bytes ??= frameBytes(frame);
      member.sendInRoom(room, bytes);
    }
    session?.membership.onOwnMessage(event, frame, bytes);
  }

  /** The end of a session on any instance: it left every room it was in. */
  #deliverEnd(event: AuditEvent, session: Session | undefined): void {
    const named = (event.details as { rooms?: string[] }).rooms ?? [];
    // Of a session of our own we know all rooms, of another's those that the event names.
    const left = session === undefined ? named : session.membership.rooms;
    if (session !== undefined) {
      for (const room of left) this.#rooms.remove(room, session);
      this.#byId.delete(session.id);
      // Whoever else has ended it had given this instance up.
      if (event.instance !== this.#instance()) session.cut();
    }
    for (const room of left) this.#tellPresence(room, presence('left', room, event), session);
  }

  /** The ban of a user, who may have any number of sessions here. */
  #expelUser(userId: string | null): void {
    for (const session of this) if (session.userId === userId) session.expel();
  }
}
