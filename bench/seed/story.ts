import type { Draft } from '../../src/core/events.ts';
import { addresses, needles, players, rooms, users } from './cast.ts';
import { Crowd, type OpenSession } from './crowd.ts';
import type { Random } from './random.ts';
import { Texts } from './texts.ts';

/** Fewer hold no crowd. */
export const MIN_EVENTS = 1_000;
/** No turn of the story makes more than this many events, or owes more afterwards. */
const MARGIN = 16;
/** A ban is lifted when so many came after it. */
const BANS = 3;
const MAX_ROOMS = 4;

const third = players.indexOf(users.third);
const silent = players.indexOf(users.silent);
const target = players.indexOf(users.target);
const rare = players.indexOf(users.rare);

const agents = [
  'Mozilla/5.0 (X11; Linux x86_64; rv:145.0) Gecko/20100101 Firefox/145.0',
  'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36',
  'newsbot/2.1',
  null,
];
const filters: Record<string, string>[] = [
  {},
  { user_id: users.target },
  { action: 'MESSAGE_SENT', room: 'lobby' },
];

/** What happens once, or seldom, and long ago, when so large a share of the log is there. */
type Moment = { share: number; act: () => void };

/**
 * Makes up what happens in a chat, event after event, so that a log of it could have been: who says something is in
 * the room then, every session ends, every ban is lifted. It ends on its last event.
 *
 * A third of all events are of one user (`users.third`), a twentieth of one who never speaks (`users.silent`); what
 * is rare is rare however long the log is.
 */
export class Story {
  readonly #events: number;
  readonly #random: Random;
  readonly #crowd: Crowd;
  readonly #texts: Texts;
  readonly #moments: Moment[];
  /** What has happened and was not handed out yet, in order. */
  #due: Draft[] = [];
  #next = 0;
  /** Handed out. */
  #told = 0;
  #ofThird = 0;
  #ofSilent = 0;
  /** Those who may not connect, oldest first. */
  readonly #banned: number[] = [];
  /** Milliseconds since 1970. */
  #now = 0;

  constructor(events: number, random: Random) {
    this.#events = events;
    this.#random = random;
    this.#crowd = new Crowd(events, random);
    this.#texts = new Texts(random);
    this.#moments = [
      { share: 0.02, act: () => this.#visit(rare, rooms.single) },
      ...Array.from({ length: 20 }, (_, n) => ({
        share: 0.02 + n / 2_000,
        act: () => this.#say(rare, rooms.rare, this.#texts.sayWith(rare, needles.rare)),
      })),
      { share: 0.04, act: () => this.#end(this.#crowd.sessionOf(rare), 1000, 'bye') },
      { share: 0.05, act: () => this.#denyOnce() },
      { share: 0.07, act: () => this.#say(third, rooms.third, this.#texts.sayWith(third, needles.single)) },
    ];
    this.#due.push({
      action: 'SERVER_STARTED',
      details: { version: '0.1.0', node: process.version, postgres: '18.4' },
    });
  }

  /** What happens next. @param now milliseconds since 1970; never less than before */
  next(now: number): Draft {
    this.#now = now;
    while (this.#next === this.#due.length) {
      this.#due = [];
      this.#next = 0;
      this.#turn();
    }
    const draft = this.#due[this.#next] as Draft;
    this.#next += 1;
    this.#told += 1;
    if (draft.user_id === users.third) this.#ofThird += 1;
    if (draft.user_id === users.silent) this.#ofSilent += 1;
    return draft;
  }

  #turn(): void {
    const left = this.#events - this.#told;
    const owed = this.#crowd.open.length + this.#banned.length + 1;
    const [moment] = this.#moments;
    if (left <= owed + MARGIN) this.#close(left - owed);
    else if (moment !== undefined && moment.share * this.#events <= this.#told) {
      this.#moments.shift();
      moment.act();
    } else this.#act();
  }

  /** Something that happens every day. */
  #act(): void {
    const random = this.#random;
    const chance = random.next();
    if (this.#ofThird * 3 < this.#told && random.chance(0.6)) this.#say(third, rooms.third);
    else if (this.#ofSilent * 20 < this.#told && random.chance(0.2)) this.#roam(silent);
    else if (chance < 0.01) this.#read();
    else if (chance < 0.02) this.#refuse();
    else if (chance < 0.0215) this.#moderate();
    else if (chance < 0.06) this.#roam(this.#crowd.drawUser());
    else this.#say(this.#crowd.drawUser());
  }

  /** The end: `spare` events that owe nothing, then what is owed. */
  #close(spare: number): void {
    const [session] = this.#crowd.open;
    if (spare > 0) this.#read();
    else if (session !== undefined) this.#end(session, 1001, 'shutting down');
    else if (this.#banned.length > 0) this.#unban();
    else this.#due.push({ action: 'SERVER_STOPPED', details: { uptime_ms: 90 * 86_400_000 } });
  }

  /** The user's session, opened when there is none; undefined: they are banned. */
  #connected(user: number, room = this.#crowd.drawRoom()): OpenSession | undefined {
    const crowd = this.#crowd;
    const open = crowd.sessionOf(user);
    if (open !== undefined || this.#banned.includes(user)) return open;
    if (crowd.open.length >= crowd.capacity) {
      const leaving = this.#random.pick(crowd.open);
      // Whoever makes a third of the log has sessions that are long.
      if (leaving.user !== third || this.#random.chance(0.02)) this.#end(leaving, 1001, 'going away');
    }
    const session = crowd.connect(user, this.#now);
    this.#due.push({
      ...this.#by(session),
      action: 'CONNECTED',
      details: { user_agent: agents[user % agents.length] ?? null },
    });
    this.#enter(session, room);
    return session;
  }

  #by({ user, id, ip }: OpenSession) {
    return { user_id: this.#crowd.nameOf(user), session_id: id, ip };
  }

  #enter(session: OpenSession, room: string): void {
    if (session.rooms.includes(room)) return;
    session.rooms.push(room);
    this.#due.push({ ...this.#by(session), action: 'JOINED', room });
  }

  #leave(session: OpenSession): void {
    const room = session.rooms.shift();
    if (room !== undefined) this.#due.push({ ...this.#by(session), action: 'LEFT', room });
  }

  #visit(user: number, room: string): OpenSession | undefined {
    const session = this.#connected(user, room);
    if (session !== undefined) this.#enter(session, room);
    return session;
  }

  #say(user: number, room?: string, message = this.#texts.say(user)): void {
    const session = room === undefined ? this.#connected(user) : this.#visit(user, room);
    if (session === undefined) return;
    const where = room ?? this.#random.pick(session.rooms);
    this.#due.push({ ...this.#by(session), action: 'MESSAGE_SENT', room: where, message });
  }

  /** Goes into a room, or out of one, but never out of the last. */
  #roam(user: number): void {
    const session = this.#connected(user);
    if (session === undefined) return;
    if (session.rooms.length >= MAX_ROOMS || (session.rooms.length > 1 && this.#random.chance(0.5))) {
      this.#leave(session);
    } else this.#enter(session, this.#crowd.drawRoom());
  }

  #end(session: OpenSession | undefined, code: number, reason: string): void {
    if (session === undefined) return;
    this.#crowd.disconnect(session);
    this.#due.push({
      ...this.#by(session),
      action: 'DISCONNECTED',
      details: {
        code,
        reason,
        duration_ms: Math.max(0, Math.round(this.#now - session.connectedAt)),
        rooms: session.rooms,
        room_count: session.rooms.length,
      },
    });
  }

  #read(): void {
    const random = this.#random;
    const filter = random.pick(filters);
    this.#due.push({
      action: 'AUDIT_READ',
      user_id: users.auditor,
      ip: '10.200.0.1',
      details: { path: '/audit', filters: filter, rows: random.below(51) },
    });
  }

  /** Counts of one, for what was refused once. */
  #refusal(code: string) {
    return { code, count: 1, since: new Date(this.#now).toISOString().replace('Z', '000Z') };
  }

  #refuse(): void {
    const random = this.#random;
    const user = this.#crowd.drawUser();
    const session = this.#crowd.sessionOf(user);
    const from = { user_id: this.#crowd.nameOf(user), ip: this.#crowd.ipOf(user) };
    const chance = random.next();
    if (chance < 0.5 && session !== undefined) {
      const details = this.#refusal('rate_limited');
      this.#due.push({
        ...this.#by(session),
        action: 'MESSAGE_REFUSED',
        room: session.rooms[0] ?? null,
        details,
      });
    } else if (chance < 0.8) {
      const details = this.#refusal('unauthenticated');
      this.#due.push({ action: 'CONNECTION_REFUSED', ip: from.ip, details });
    } else {
      const request = { method: 'GET', route: '/audit' };
      if (chance < 0.9) {
        const details = { ...this.#refusal('invalid_parameter'), ...request };
        this.#due.push({ ...from, action: 'REQUEST_REFUSED', details });
      } else {
        const details = { ...this.#refusal('forbidden'), ...request };
        this.#due.push({ ...from, action: 'ACCESS_DENIED', details });
      }
    }
  }

  #denyOnce(): void {
    const details = { ...this.#refusal('forbidden'), method: 'GET', route: '/audit' };
    this.#due.push({ action: 'ACCESS_DENIED', user_id: users.single, ip: addresses.single, details });
  }

  /** A kick, or sometimes a ban; every fifth hits the same user. */
  #moderate(): void {
    const random = this.#random;
    const known = this.#crowd.open.filter(({ user }) => user >= players.length);
    const user = random.chance(0.2) || known.length === 0 ? target : random.pick(known).user;
    const session = this.#connected(user);
    if (session === undefined) return;
    const by = { user_id: users.admin, ip: '10.200.0.2', target_user_id: this.#crowd.nameOf(user) };
    if (random.chance(0.2)) {
      this.#due.push({ ...by, action: 'USER_BANNED', details: { reason: 'spam', until: null } });
      this.#banned.push(user);
    } else {
      this.#due.push({ ...by, action: 'USER_KICKED', session_id: session.id, details: { reason: 'spam' } });
    }
    this.#end(session, 4403, 'kicked or banned');
    if (this.#banned.length > BANS) this.#unban();
  }

  #unban(): void {
    const user = this.#banned.shift();
    if (user === undefined) return;
    const by = { user_id: users.admin, ip: '10.200.0.2', target_user_id: this.#crowd.nameOf(user) };
    this.#due.push({ ...by, action: 'USER_UNBANNED', details: { reason: null } });
  }
}
