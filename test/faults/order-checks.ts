import { entriesOf, type Facts, type Judge, pushTo } from './facts.ts';
import type { Entry } from './history.ts';

/** A stay of a user in a room as the client saw it: of the room's messages it must have got those from `from` to `to`. */
type Stay = {
  user: string;
  session: string;
  room: string;
  /** Exclusive: the `since` that was asked for, or else its JOINED. */
  from: number;
  /** Inclusive. */
  to: number;
  got: Set<number>;
};

/**
 * Reads the stays from a history. One that a lost connection ended goes up to the last message that the client
 * got, or said that it had seen when it came back.
 */
class Stays {
  readonly all: Stay[] = [];
  /** By session and room. */
  readonly #open = new Map<string, Stay>();
  /** The latest by user and room. */
  readonly #latest = new Map<string, Stay>();

  read(entry: Entry): void {
    if (entry.kind === 'quiet')
      for (const stay of [...this.#open.values()]) this.#end(stay, Number.POSITIVE_INFINITY);
    if (entry.kind === 'ended') {
      for (const stay of [...this.#open.values()]) if (stay.session === entry.session) this.#end(stay);
    }
    if (entry.kind === 'delivery') this.#find(entry)?.got.add(entry.seq);
    if (entry.kind === 'left') this.#end(this.#find(entry), entry.seq);
    if (entry.kind === 'join' && entry.since !== undefined) {
      const latest = this.#latest.get(`${entry.user} ${entry.room}`);
      if (latest !== undefined) latest.to = Math.max(latest.to, entry.since.seq);
      this.#begin(entry, entry.since.seq);
    }
    if (entry.kind === 'joined' && !entry.replayed) {
      this.#end(this.#find(entry));
      this.#begin(entry, entry.seq);
    }
  }

  #find({ session, room }: { session: string; room: string }): Stay | undefined {
    return this.#open.get(`${session} ${room}`);
  }

  #begin({ user, session, room }: { user: string; session: string; room: string }, from: number): void {
    const stay = { user, session, room, from, to: from, got: new Set<number>() };
    this.#open.set(`${session} ${room}`, stay);
    this.#latest.set(`${user} ${room}`, stay);
    this.all.push(stay);
  }

  #end(stay: Stay | undefined, to?: number): void {
    if (stay === undefined) return;
    stay.to = to ?? Math.max(stay.to, ...stay.got);
    this.#open.delete(`${stay.session} ${stay.room}`);
  }
}

/** I5. Everybody has the log's order, so all have the same. */
export function complete({ entries, log }: Facts, judge: Judge): void {
  const highest = new Map<string, number>();
  for (const { session, room, seq } of entriesOf(entries, 'delivery')) {
    const key = `${session} ${room}`;
    const before = highest.get(key) ?? -1;
    judge.that(seq >= before, () => `${session} got ${seq} of ${room} after ${before}`);
    highest.set(key, Math.max(seq, before));
  }
  const inRoom = new Map<string, number[]>();
  for (const { seq, action, room } of log.events) {
    if (action === 'MESSAGE_SENT' && room !== null) pushTo(inRoom, room, seq);
  }
  const stays = new Stays();
  for (const entry of entries) stays.read(entry);
  for (const { user, session, room, from, to, got } of stays.all) {
    for (const seq of inRoom.get(room) ?? []) {
      if (seq <= from || seq > to) continue;
      judge.that(
        got.has(seq),
        () => `${user} (${session}) never got ${seq} of ${room}, between ${from} and ${to}`,
      );
    }
  }
}

/** I6. */
export function fifo({ entries, said }: Facts, judge: Judge): void {
  const latest = new Map<string, number>();
  for (const { session, text } of entriesOf(entries, 'invoke')) {
    const seq = said.get(text)?.[0]?.seq;
    if (seq === undefined) continue;
    const before = latest.get(session) ?? -1;
    judge.that(seq > before, () => `${text} of ${session} is ${seq}, but one sent before it is ${before}`);
    latest.set(session, seq);
  }
}

/** I12. */
export function members({ entries, log, memberships }: Facts, judge: Judge): void {
  const isMember = (session: string, room: string, seq: number): boolean =>
    (memberships.get(session) ?? []).some((stay) => stay.room === room && stay.from < seq && seq < stay.to);
  for (const { seq, action, session_id, room } of log.events) {
    if (action !== 'MESSAGE_SENT') continue;
    const allowed = session_id !== null && room !== null && isMember(session_id, room, seq);
    judge.that(allowed, () => `${seq} was said in ${room} by ${session_id}, which is not in it then`);
  }
  /** From where on a session may hear what was said before it came. */
  const asked = new Map<string, number>();
  for (const { session, room, since } of entriesOf(entries, 'join')) {
    const key = `${session} ${room}`;
    if (since !== undefined) asked.set(key, Math.min(since.seq, asked.get(key) ?? Number.POSITIVE_INFINITY));
  }
  for (const { session, room, seq } of entriesOf(entries, 'delivery')) {
    const joinsLater = (memberships.get(session) ?? []).some((stay) => stay.room === room && stay.from > seq);
    const replayed = joinsLater && seq > (asked.get(`${session} ${room}`) ?? Number.POSITIVE_INFINITY);
    judge.that(
      replayed || isMember(session, room, seq),
      () => `${session} heard ${seq} of ${room} while not in it`,
    );
  }
}
