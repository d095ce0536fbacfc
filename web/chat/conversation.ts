import type { ErrorCode } from '../../src/core/errors.ts';
import type { ClientFrame, ServerFrame } from '../../src/core/frame-schemas.ts';
import type { Welcome } from './connection.ts';
import { type Outgoing, Room } from './room.ts';
import { mayPass, type Trouble } from './trouble.ts';

/** What a conversation needs of the world. */
export type Surroundings = {
  /** Sends a frame, or a text as it is, over a connection that is open. */
  send: (frame: ClientFrame | string) => void;
  /** The server does not answer any more. */
  giveUp: (what: string) => void;
  after: (ms: number, callback: () => void) => () => void;
  onChange: () => void;
};

/** What a command that was sent is about, until it is answered. */
type Command = { type: 'join' | 'leave' | 'message' | 'trial'; room: string };

/** The server answers every command within 5 s, and be it that it does not know. */
const ANSWER_MS = 12_000;
const RETRY_MS = 5_000;
const MAX_RETRY_MS = 60_000;

/**
 * The rooms of one user, over any number of connections: what is said in them, and what becomes of one's own
 * messages. A message goes out once. When its answer is lost it is looked for among what the room replays, and what
 * is not found there is left to its author: nothing is ever sent again by itself.
 */
export class Conversation {
  readonly userId: string;
  readonly rooms = new Map<string, Room>();
  /** The room that is looked at. */
  current: string | undefined;
  /** Whether anybody is looking at all. */
  isSeen = true;
  /** How the latest trial was answered; undefined before that. */
  trial: string | undefined;
  readonly #world: Surroundings;
  /** By label; empty without a connection. */
  #commands = new Map<string, Command>();
  #session: Welcome | undefined;
  #lastRef = 0;
  /** Rooms to be asked for again, with what calls it off. */
  #retries = new Map<Room, () => void>();
  /** How often in a row a room was asked for in vain. */
  #failures = new Map<Room, number>();
  /** Whether a frame came since the watch began. */
  #heard = false;
  #endWatch: (() => void) | undefined;

  constructor(userId: string, world: Surroundings) {
    this.userId = userId;
    this.#world = world;
  }

  // ---- what the user does

  /** Joins a room and looks at it. @param since what a page before this one has seen of it */
  join(name: string, since?: { epoch: string; seq: number }): void {
    let room = this.rooms.get(name);
    if (room === undefined) {
      room = new Room(name, since);
      this.rooms.set(name, room);
    }
    if (room.standing === 'out') this.#ask(room);
    this.view(name);
  }

  leave(name: string): void {
    const room = this.rooms.get(name);
    if (room === undefined) return;
    if (room.standing === 'in') {
      room.standing = 'leaving';
      this.#command({ type: 'leave', room: name });
    } else this.#forget(room);
    this.#world.onChange();
  }

  view(name: string): void {
    this.current = name;
    this.#markRead();
  }

  /** Whether the page is seen: what comes while it is not is unread. */
  setSeen(isSeen: boolean): void {
    this.isSeen = isSeen;
    this.#markRead();
  }

  say(name: string, text: string): void {
    const room = this.rooms.get(name);
    if (room === undefined) return;
    room.say({ ref: this.#ref(), text, state: 'queued' });
    this.#flush(room);
    this.#world.onChange();
  }

  /** Says a message again that was refused, or of which nobody knows. */
  sayAgain(name: string, ref: string): void {
    const text = this.rooms.get(name)?.take(ref)?.text;
    if (text !== undefined) this.say(name, text);
  }

  /** Says it no more. */
  discard(name: string, ref: string): void {
    this.rooms.get(name)?.take(ref);
    this.#world.onChange();
  }

  /** Sends a text as it is, whatever it may be; it should hold the label that it is given. */
  try(text: (ref: string) => string): void {
    if (this.#session === undefined) return;
    const ref = this.#ref();
    this.trial = undefined;
    this.#commands.set(ref, { type: 'trial', room: '' });
    this.#world.send(text(ref));
    this.#watch();
  }

  /** Makes sure that the connection still holds: to join where one is leaves no trace. */
  probe(): void {
    for (const room of this.rooms.values()) {
      if (room.standing !== 'in') continue;
      this.#command({ type: 'join', room: room.name });
      return;
    }
  }

  // ---- what the connection does

  opened(session: Welcome): void {
    this.#session = session;
    for (const room of this.rooms.values()) this.#ask(room);
    this.#world.onChange();
  }

  lost({ closeCode }: Trouble): void {
    this.#session = undefined;
    this.#commands.clear();
    this.#endWatch?.();
    this.#endWatch = undefined;
    for (const room of [...this.rooms.values()]) {
      this.#callOff(room);
      if (room.standing === 'leaving') this.#forget(room);
      // docs/websocket.md: after 4403, what had no answer was not said.
      room.lost(closeCode === 4403);
    }
    this.#world.onChange();
  }

  frame(frame: ServerFrame): void {
    this.#heard = true;
    const room = 'room' in frame ? this.rooms.get(frame.room) : undefined;
    if (frame.type === 'ack') this.#answered(frame);
    else if (frame.type === 'error') this.#refused(frame);
    else if (room === undefined) return;
    else if (frame.type === 'reset') room.reset(frame);
    else if (frame.type === 'message') {
      const isNews = room.message(frame, this.userId);
      if (isNews && (room.name !== this.current || !this.isSeen)) room.unread += 1;
    } else if (frame.type !== 'welcome') {
      room.presence(frame);
      if (frame.type === 'joined' && frame.user_id === this.userId) this.#entered(room, frame);
    }
    this.#world.onChange();
  }

  // ---- answers

  #answered({ ref, seq, timestamp }: Extract<ServerFrame, { type: 'ack' }>): void {
    const command = this.#commands.get(ref);
    this.#commands.delete(ref);
    const room = command === undefined ? undefined : this.rooms.get(command.room);
    if (command === undefined || room === undefined) return;
    if (command.type === 'leave') this.#forget(room);
    // Mostly its `message` has come before, and there is nothing left to do.
    const one = command.type === 'message' ? room.outgoing.find((other) => other.ref === ref) : undefined;
    if (one !== undefined && seq !== null && timestamp !== null) {
      const { text } = one;
      const { name } = room;
      room.message(
        { type: 'message', room: name, user_id: this.userId, text, seq, timestamp, ref },
        this.userId,
      );
    }
  }

  #refused({ ref, code, message }: Extract<ServerFrame, { type: 'error' }>): void {
    const command = ref === undefined ? undefined : this.#commands.get(ref);
    if (ref === undefined || command === undefined) return;
    // Its outcome will be told under the same label.
    if (code !== 'outcome_unknown') this.#commands.delete(ref);
    const room = this.rooms.get(command.room);
    if (command.type === 'trial') this.trial = `${code}: ${message}`;
    else if (command.type === 'message') {
      room?.update(
        ref,
        code === 'outcome_unknown'
          ? { state: 'doubtful' }
          : { state: 'refused', why: { code, words: message } },
      );
    } else if (room !== undefined) this.#moveRefused(room, command, code, message);
  }

  #moveRefused(room: Room, { type }: Command, code: ErrorCode, words: string): void {
    room.trouble = words;
    if (code === 'outcome_unknown') return;
    if (type === 'leave') {
      room.standing = 'in';
      return;
    }
    // A replay alone may be refused while the join holds; `joined` follows then.
    if (room.standing === 'joining') room.standing = 'out';
    if (mayPass(code)) this.#askLater(room);
  }

  #entered(room: Room, frame: Extract<ServerFrame, { type: 'joined' }>): void {
    if (this.#session === undefined) return;
    if (room.standing === 'out' && frame.replayed !== undefined) room.standing = 'joining';
    const { more, progress } = room.entered(frame, this.#session.epoch);
    if (!more) {
      this.#failures.delete(room);
      this.#callOff(room);
    } else if (frame.replayed !== undefined) {
      if (progress) this.#ask(room);
      else this.#askLater(room);
    }
    this.#flush(room);
  }

  // ---- commands

  /** Joins; with what was seen, so that the rest is replayed. */
  #ask(room: Room): void {
    this.#callOff(room);
    if (this.#session === undefined) return;
    if (room.standing === 'out') room.standing = 'joining';
    const { since, name } = room;
    this.#command({ type: 'join', room: name, ...(since === undefined ? {} : { since }) });
  }

  #askLater(room: Room): void {
    if (this.#retries.has(room)) return;
    const failures = this.#failures.get(room) ?? 0;
    this.#failures.set(room, failures + 1);
    const ms = Math.min(MAX_RETRY_MS, RETRY_MS * 2 ** failures);
    this.#retries.set(
      room,
      this.#world.after(ms, () => this.#ask(room)),
    );
  }

  #callOff(room: Room): void {
    this.#retries.get(room)?.();
    this.#retries.delete(room);
  }

  #forget(room: Room): void {
    this.#callOff(room);
    this.#failures.delete(room);
    this.rooms.delete(room.name);
    if (this.current === room.name) this.current = this.rooms.keys().next().value;
    this.#markRead();
  }

  /** Says what has waited for the room. */
  #flush(room: Room): void {
    if (room.standing !== 'in') return;
    for (const { ref, text, state } of room.outgoing) {
      if (state !== 'queued') continue;
      room.update(ref, { state: 'sent' } satisfies Partial<Outgoing>);
      this.#command({ type: 'message', room: room.name, text, ref });
    }
  }

  #command(frame: ClientFrame): void {
    const ref = frame.ref ?? this.#ref();
    this.#commands.set(ref, { type: frame.type, room: frame.room ?? '' });
    this.#world.send({ ...frame, ref });
    this.#watch();
  }

  #ref(): string {
    this.#lastRef += 1;
    return `page-${this.#lastRef}`;
  }

  /** Sees to it that a server that has fallen silent is noticed. */
  #watch(): void {
    if (this.#endWatch !== undefined) return;
    this.#heard = false;
    this.#endWatch = this.#world.after(ANSWER_MS, () => {
      this.#endWatch = undefined;
      if (this.#commands.size === 0) return;
      if (this.#heard) this.#watch();
      else this.#world.giveUp('The server does not answer any more.');
    });
  }

  #markRead(): void {
    const room = this.current === undefined ? undefined : this.rooms.get(this.current);
    if (room !== undefined && this.isSeen) room.unread = 0;
    this.#world.onChange();
  }
}
