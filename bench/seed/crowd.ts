import { addresses, players, rooms, users } from './cast.ts';
import type { Random } from './random.ts';
import { Skew } from './skew.ts';

/** A session that is open in the made-up chat. */
export type OpenSession = {
  id: string;
  user: number;
  ip: string;
  rooms: string[];
  /** Milliseconds since 1970. */
  connectedAt: number;
  /** Where it stands in the list of those that are open. */
  place: number;
};

const bounded = (value: number, least: number, most: number): number =>
  Math.min(most, Math.max(least, Math.round(value)));

const topics = [
  'trading',
  'support',
  'ops',
  'lunch',
  'random',
  'sales',
  'legal',
  'เชียงใหม่',
  '上海',
  'москва',
];
/** More of them than ever said one word in this chat. */
const EVENTS_PER_USER = 200;
const EVENTS_PER_ROOM = 2_000;

function uuid(random: Random): string {
  let hex = '';
  for (let word = 0; word < 4; word += 1)
    hex += random
      .below(2 ** 32)
      .toString(16)
      .padStart(8, '0');
  const variant = '89ab'[random.below(4)];
  // RFC 9562 5.4: version 4.
  return (
    `${hex.slice(0, 8)}-${hex.slice(8, 12)}-4${hex.slice(13, 16)}-` +
    `${variant}${hex.slice(17, 20)}-${hex.slice(20)}`
  );
}

/** Who is there, by number and by name, and which of them have a session open: one each at most. */
export class Crowd {
  readonly open: OpenSession[] = [];
  /** So many have a session open at a time, and no more. */
  readonly capacity: number;
  readonly #random: Random;
  readonly #sessions = new Map<number, OpenSession>();
  readonly #users: Skew;
  readonly #rooms: Skew;

  /** @param events how many the log will hold: a longer one has more users and rooms */
  constructor(events: number, random: Random) {
    this.#random = random;
    const count = bounded(events / EVENTS_PER_USER, 30, 50_000);
    this.capacity = bounded(count / 4, 10, 5_000);
    this.#users = new Skew(count, 1);
    this.#rooms = new Skew(bounded(events / EVENTS_PER_ROOM, 8, 2_000), 1.1);
  }

  nameOf(user: number): string {
    return players[user] ?? `user-${user}`;
  }

  /** An ordinary user, some much more often than others. */
  drawUser(): number {
    return players.length + this.#users.draw(this.#random);
  }

  /** A room that anybody may go to. */
  drawRoom(): string {
    const place = this.#rooms.draw(this.#random);
    if (place === 0) return rooms.common;
    if (place === 1) return rooms.third;
    const topic = topics[place % topics.length] ?? '';
    return place < topics.length ? topic : `${topic}-${place}`;
  }

  ipOf(user: number): string {
    if (this.nameOf(user) === users.rare) return addresses.rare;
    if (user % 5 === 4) return addresses.common;
    if (user % 5 === 3) return `2001:db8:${(user >> 8).toString(16)}::${(user & 0xff).toString(16)}`;
    return `10.${(user >> 16) & 0xff}.${(user >> 8) & 0xff}.${user & 0xff}`;
  }

  sessionOf(user: number): OpenSession | undefined {
    return this.#sessions.get(user);
  }

  connect(user: number, now: number): OpenSession {
    const session = {
      id: uuid(this.#random),
      user,
      ip: this.ipOf(user),
      rooms: [],
      connectedAt: now,
      place: this.open.length,
    };
    this.open.push(session);
    this.#sessions.set(user, session);
    return session;
  }

  disconnect(session: OpenSession): void {
    this.#sessions.delete(session.user);
    const last = this.open.pop();
    if (last === undefined || last === session) return;
    last.place = session.place;
    this.open[session.place] = last;
  }
}
