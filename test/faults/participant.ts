import { once } from 'node:events';
import { WebSocket } from 'ws';
import type { ServerFrame, Since } from '../../src/core/frame-schemas.ts';
import type { History } from './history.ts';

/** Messages of one session without an answer; beyond, it waits with the next. */
const MAX_PENDING = 16;
const RECONNECT_MS = 150;
const RETRY_MS = 250;

export type ParticipantOptions = {
  user: string;
  token: string;
  rooms: readonly string[];
  history: History;
  /** Where to connect: the n-th attempt may go elsewhere than the one before. */
  target: (attempt: number) => string | undefined;
};

/**
 * A chat client as docs/websocket.md asks for: it comes back after a loss, asks for what it missed with
 * `since`, and records all that it does and sees.
 */
export class Participant {
  readonly user: string;
  readonly #options: ParticipantOptions;
  #socket: WebSocket | undefined;
  /** Undefined until the welcome. */
  #session: string | undefined;
  #epoch = '';
  /** The rooms that this session is in, as far as it was told. */
  readonly #in = new Set<string>();
  /** Per room the last seq that was seen, for `since`. */
  readonly #seen = new Map<string, number>();
  /** Texts sent in this session that have no final answer. */
  readonly #pending = new Map<string, { sentAt: number; told: boolean }>();
  /** Frames that say that this user joined, by their seq. */
  readonly #arrivals = new Map<number, ServerFrame & { type: 'joined' }>();
  #attempts = 0;
  #said = 0;
  #stopped = false;
  /** A replay was cut short, so this session's live messages do not count as seen. */
  #spoiled = false;
  /** The longest that a session which lived on waited for its first answer, in milliseconds. */
  slowest = 0;

  constructor(options: ParticipantOptions) {
    this.user = options.user;
    this.#options = options;
    this.#connect();
  }

  /** Whether it is connected and in all its rooms. */
  get isSettled(): boolean {
    return this.#session !== undefined && this.#in.size === this.#options.rooms.length;
  }

  /** Messages without a final answer. */
  get pending(): number {
    return this.#pending.size;
  }

  /** The highest seq seen in a room. */
  seen(room: string): number {
    return this.#seen.get(room) ?? -1;
  }

  get rooms(): ReadonlySet<string> {
    return this.#in;
  }

  /** Says something unique in one of its rooms; false when it cannot now. */
  say(filler = ''): boolean {
    const session = this.#session;
    const rooms = [...this.#in];
    const room = rooms[this.#said % Math.max(1, rooms.length)];
    if (session === undefined || room === undefined || this.#pending.size >= MAX_PENDING) return false;
    this.#said += 1;
    const text = `${this.user}:${this.#said}${filler}`;
    this.#options.history.add({ kind: 'invoke', user: this.user, session, room, text });
    this.#pending.set(text, { sentAt: performance.now(), told: false });
    this.#send({ type: 'message', room, text, ref: text.slice(0, 64) });
    return true;
  }

  /** Leaves a room and joins it again, as somebody new to it. */
  wander(room: string): void {
    if (!this.#in.has(room)) return;
    this.#in.delete(room);
    this.#seen.delete(room);
    this.#send({ type: 'leave', room, ref: `leave ${room}` });
  }

  /** Loses the connection on purpose; it comes back. */
  drop(): void {
    this.#socket?.terminate();
  }

  /** Closes for good; resolves when the socket is closed. */
  async stop(): Promise<void> {
    this.#stopped = true;
    const socket = this.#socket;
    if (socket === undefined || socket.readyState === WebSocket.CLOSED) return;
    const late = setTimeout(() => socket.terminate(), 2_000);
    socket.close(1000);
    await once(socket, 'close');
    clearTimeout(late);
  }

  #send(frame: unknown): void {
    if (this.#socket?.readyState === WebSocket.OPEN) this.#socket.send(JSON.stringify(frame));
  }

  #connect(): void {
    if (this.#stopped) return;
    const url = this.#options.target(this.#attempts++);
    if (url === undefined) {
      setTimeout(() => this.#connect(), RECONNECT_MS);
      return;
    }
    const socket = new WebSocket(`${url.replace('http', 'ws')}/ws?room=`, {
      headers: { authorization: `Bearer ${this.#options.token}` },
      handshakeTimeout: 5_000,
    });
    this.#socket = socket;
    socket.on('message', (data: Buffer) => this.#receive(JSON.parse(data.toString()) as ServerFrame));
    // A refused handshake and a lost connection both end in `close`.
    socket.on('error', () => {});
    socket.on('close', (code) => {
      this.#lost(code);
      // Not all at the same moment.
      setTimeout(() => this.#connect(), RECONNECT_MS * (0.5 + Math.random()));
    });
  }

  #lost(code: number): void {
    const { history } = this.#options;
    const session = this.#session;
    if (session !== undefined) {
      for (const text of this.#pending.keys()) history.add({ kind: 'unknown', session, text, why: 'lost' });
      history.add({ kind: 'ended', session, code });
    }
    this.#pending.clear();
    this.#in.clear();
    this.#arrivals.clear();
    this.#session = undefined;
    this.#spoiled = false;
  }

  #join(room: string): void {
    const session = this.#session;
    if (session === undefined || this.#stopped || this.#in.has(room)) return;
    const seq = this.#seen.get(room);
    const since: Since | undefined = seq === undefined ? undefined : { epoch: this.#epoch, seq };
    this.#options.history.add({ kind: 'join', user: this.user, session, room, since });
    this.#send({ type: 'join', room, ref: `join ${room}`, ...(since === undefined ? {} : { since }) });
  }

  #receive(frame: ServerFrame): void {
    const { history, rooms } = this.#options;
    if (frame.type === 'welcome') {
      const { session_id: session, epoch, seq } = frame;
      this.#session = session;
      this.#attempts = 0;
      history.add({ kind: 'welcome', user: this.user, session, epoch, seq });
      // Another history: what was seen says nothing about it. But the server is to say so itself.
      if (this.#epoch === '') this.#epoch = epoch;
      for (const room of rooms) this.#join(room);
    }
    const session = this.#session;
    if (session === undefined) return;
    if (frame.type === 'message') {
      const { room, seq, text, user_id: from, timestamp } = frame;
      history.add({ kind: 'delivery', session, room, seq, text, from, timestamp });
      if (!this.#spoiled) this.#seen.set(room, Math.max(seq, this.seen(room)));
    }
    if (frame.type === 'reset') {
      history.add({ kind: 'reset', session, room: frame.room, epoch: frame.epoch });
      this.#epoch = frame.epoch;
      this.#seen.delete(frame.room);
    }
    // Perhaps of another session of ours that is still ending: the acknowledgement tells.
    if (frame.type === 'joined' && frame.user_id === this.user) this.#arrivals.set(frame.seq, frame);
    if (frame.type === 'ack') this.#acknowledged(session, frame);
    if (frame.type === 'error') this.#refused(session, frame);
  }

  #joined(session: string, room: string, seq: number): void {
    const { history } = this.#options;
    const { replayed, truncated } = this.#arrivals.get(seq) ?? {};
    this.#arrivals.clear();
    const whole = replayed !== undefined && truncated === false;
    history.add({ kind: 'joined', user: this.user, session, room, seq, replayed: whole });
    this.#in.add(room);
    if (truncated === true) {
      // Some of it is missing: back to what is seen for certain, in a session of its own.
      this.#spoiled = true;
      setTimeout(() => this.drop(), RETRY_MS);
    } else if (!this.#seen.has(room)) this.#seen.set(room, seq);
  }

  #left(session: string, room: string, seq: number): void {
    this.#options.history.add({ kind: 'left', session, room, seq });
    this.#in.delete(room);
    this.#seen.delete(room);
    this.#join(room);
  }

  /** The text that an answer is for; notes how long its first answer took. */
  #answered(ref: string | undefined): string | undefined {
    // A ref is the beginning of its text, up to 64 characters.
    const text = [...this.#pending.keys()].find((other) => other.slice(0, 64) === ref);
    const pending = this.#pending.get(text ?? '');
    if (pending === undefined || pending.told) return text;
    pending.told = true;
    this.slowest = Math.max(this.slowest, performance.now() - pending.sentAt);
    return text;
  }

  #acknowledged(session: string, { ref, seq }: ServerFrame & { type: 'ack' }): void {
    const [verb, room] = ref.split(' ');
    if (seq === null) return;
    if (verb === 'join' && room !== undefined) this.#joined(session, room, seq);
    if (verb === 'leave' && room !== undefined) this.#left(session, room, seq);
    const text = this.#answered(ref);
    if (text === undefined) return;
    this.#pending.delete(text);
    this.#options.history.add({ kind: 'ok', session, text, seq });
  }

  #refused(session: string, { ref, code }: ServerFrame & { type: 'error' }): void {
    const { history } = this.#options;
    const [verb, room] = ref?.split(' ') ?? [];
    if (verb === 'join' && room !== undefined && code !== 'outcome_unknown') {
      setTimeout(() => this.#join(room), RETRY_MS);
    }
    if (verb === 'leave' && room !== undefined && code !== 'outcome_unknown') this.#in.add(room);
    const text = this.#answered(ref);
    if (text === undefined) return;
    if (code === 'outcome_unknown') {
      history.add({ kind: 'unknown', session, text, why: 'told' });
      return;
    }
    this.#pending.delete(text);
    history.add({ kind: 'fail', session, text, code });
  }
}
