import type { Usage, Watched } from '../cpu.ts';
import type { Latency } from '../stats.ts';

/** The server to load. */
export type Target = {
  /** Its processes; the connections are dealt out to them in turn. */
  ports: readonly number[];
  /** The key that its tokens are signed with; null: it wants none. */
  secret: string | null;
  /** Whether it speaks Minutebook's protocol: a session is then open when its first room is joined. */
  chat: boolean;
};

export type Window = {
  /** Milliseconds of the same load before the measurement begins. */
  warmMs: number;
  /** Milliseconds of measurement. */
  ms: number;
  watched: Watched;
};

/** In microseconds of the machine's monotonic clock, which V8's profiles use as well. */
export type TimeWindow = { fromUs: number; toUs: number };

/** One measurement. */
export type Slice = {
  window: TimeWindow;
  /** How long the measurement took in fact. */
  seconds: number;
  /** Messages answered, or delivered, within it. */
  messages: number;
  latency: Latency;
  used: Usage;
};

export type ClosedSlice = Slice & {
  /** Messages that came to others than their sender. */
  deliveries: number;
};

export type OpenSlice = Slice & {
  /** Messages per second that were to be sent. */
  offered: number;
  /** Messages not answered when the waiting for them ended; they count with the time they had waited. */
  unanswered: number;
  /** Messages that the server refused. */
  refused: number;
  /** How late the generator itself was to send; part of the latencies. */
  late: Latency;
};

/** How idle connections are. */
export type CrowdState = {
  open: number;
  /** Pings that the one with the fewest has answered. */
  minPings: number;
  /** How many ended with each close code. */
  closed: Record<string, number>;
};

/**
 * How somebody reads what they may, within the limits of one user: as many pages as they may in a minute, evenly; the
 * same one right after the other, until the minute's are used up; as many counts or searches, two at a time; two exports
 * at a time; a stream that reads from history; a stream held live; as many of those as a user may have.
 */
export const allowedKinds = [
  'pages',
  'burst',
  'stats',
  'search',
  'exports',
  'history',
  'live',
  'streams',
] as const;
export type AllowedKind = (typeof allowedKinds)[number];

/**
 * Or what they may not: beyond their limit (429); without a right to it (401); the same on a connection for each, whose
 * answer is not waited for.
 */
export const refusedKinds = ['limited', 'denied', 'hasty'] as const;
export type RefusedKind = (typeof refusedKinds)[number];

export const readKinds = [...allowedKinds, ...refusedKinds] as const;
export type ReadKind = (typeof readKinds)[number];

export type Reading = {
  target: Target;
  user: string;
  kind: ReadKind;
  /** Reads per second, of those that are refused. */
  rate: number;
  /** What the server allows a user in a minute. */
  quota: number;
};

/**
 * Answers by their HTTP status; `cut` those that did not come to their end, `bytes` what came in all, `asked` how many were
 * asked for by who is refused.
 */
export type Answers = Record<string, number>;

/** Reads in the background, until it is told to stop. */
export type Reader = { stop: () => Promise<Answers> };

/** Follows the log by a live stream. */
export type Following = {
  target: Target;
  user: string;
  /** How long what comes does not count. */
  warmMs: number;
};

/** What the generator can be told to do, and what it answers. */
export type Orders = {
  /**
   * Each connection sends its next message when it has got its last. `messages` counts those that came back to
   * their senders. Neighbours share a room when there are fewer `rooms` than connections; without that, each
   * has one of its own.
   */
  closed: [{ target: Target; connections: number; rooms?: number } & Window, ClosedSlice];
  /** Messages at fixed times; afterwards it waits for the answers up to `graceMs`. */
  open: [{ target: Target; connections: number; rate: number; graceMs: number } & Window, OpenSlice];
  /** One message at a time to a room; the next when every member has it. `messages` counts deliveries. */
  fanout: [{ target: Target; members: number } & Window, Slice];
  /** Opens connections in no room and holds them. */
  hold: [{ target: Target; connections: number }, { seconds: number }];
  /** How the held ones are. */
  held: [null, CrowdState];
  /** Some of the held ones join a room and say a message, all at once. */
  speak: [{ speakers: number }, { join: Latency; message: Latency }];
  /** Closes what is held. */
  release: [null, null];
  /** Begins to read over HTTP, and goes on until told to stop. */
  read: [Reading, null];
  stopReading: [null, Answers];
  /** Begins to follow the log, and goes on until told to stop; then it tells how old messages were when they came. */
  follow: [Following, null];
  stopFollowing: [null, Latency];
};

export type Kind = keyof Orders;
/** Over the channel between the processes. */
export type Request = { [K in Kind]: { kind: K; order: Orders[K][0] } }[Kind];
export type Reply = { result: Orders[Kind][1] } | { error: string };
