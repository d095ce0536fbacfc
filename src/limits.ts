import Type, { type TOptional, type TString } from 'typebox';

const KIB = 1024;
/** A number from 0 on. */
export const WHOLE = '^(0|[1-9][0-9]{0,8})$';
/** A number that is a time and no limit when it is 0. */
const SECONDS = '^[1-9][0-9]{0,2}$';

const number =
  (pattern: string) =>
  (description: string, preset: number): TOptional<TString> =>
    Type.Optional(Type.String({ pattern, description, default: String(preset) }));
const Whole = number(WHOLE);
const Seconds = number(SECONDS);

/** The variables that bound what one client may take. */
export const limitVariables = {
  LIMIT_FRAME_BYTES: Whole('The longest WebSocket frame, in bytes; 0: no limit.', 64 * KIB),
  LIMIT_FRAGMENTS: Whole('The fragments that a WebSocket message may come in; 0: no limit.', 64),
  LIMIT_FRAMES_PER_SECOND: Whole(
    'Frames per second and session, with bursts of twice as many; 0: no limit.',
    50,
  ),
  LIMIT_FRAMES_PER_SECOND_USER: Whole(
    'Frames per second of one user on one instance, with bursts of twice as many; 0: no limit.',
    200,
  ),
  LIMIT_SESSIONS_PER_USER: Whole('Open sessions of one user on one instance; 0: no limit.', 20),
  LIMIT_CONNECTIONS_PER_IP: Whole('Open connections of one address on one instance; 0: no limit.', 1_000),
  LIMIT_HANDSHAKES_PER_MINUTE_IP: Whole(
    'WebSocket handshakes of one address in a minute; 0: no limit.',
    2_000,
  ),
  LIMIT_REFUSALS_PER_SECOND_IP: Whole(
    'Refused requests of one address that are answered in a second, with bursts of twice as many; what is beyond waits. ' +
      '0: no limit.',
    50,
  ),
  LIMIT_ROOMS_PER_SESSION: Whole('Rooms that one session may be in; 0: no limit.', 100),
  LIMIT_QUERIES_PER_MINUTE: Whole(
    'Requests of one user to the HTTP API, and replays, in a minute; 0: no limit.',
    300,
  ),
  LIMIT_STREAMS_PER_USER: Whole('Live streams of one user on one instance; 0: no limit.', 20),
  LIMIT_STREAM_BYTES_PER_SECOND_USER: Whole(
    'Bytes that one instance writes in a second for all live streams of one user; 0: no limit.',
    12_582_912,
  ),
  LIMIT_HANDSHAKE_SECONDS: Seconds(
    'Seconds for the headers of a request, for the agreement on a key of TLS, and from the request to the open WebSocket; 1 ' +
      'to 999.',
    10,
  ),
  LIMIT_IDLE_SECONDS: Whole(
    'Seconds after which a session that says nothing, and waits for no answer, is ended; 0: no limit.',
    0,
  ),
  LIMIT_READ_SECONDS: Seconds('Seconds that a read of the log may take in the database; 1 to 999.', 5),
};

/** Bounds on what one client may take; 0 switches one off, but for deadlines. */
export type Limits = {
  frameBytes: number;
  fragments: number;
  framesPerSecond: number;
  framesPerSecondUser: number;
  sessionsPerUser: number;
  connectionsPerIp: number;
  handshakesPerMinuteIp: number;
  refusalsPerSecondIp: number;
  roomsPerSession: number;
  queriesPerMinute: number;
  streamsPerUser: number;
  streamBytesPerSecondUser: number;
  /** Never 0: without a deadline whoever says half a word would keep a connection for ever. */
  handshakeSeconds: number;
  idleSeconds: number;
  /** Never 0: a snapshot that is held for long slows down writing for all. */
  readSeconds: number;
};

/** The limits as the variables say, each of which is set. */
export const readLimits = (env: { readonly [name in keyof typeof limitVariables]?: string }): Limits =>
  Object.freeze({
    frameBytes: Number(env.LIMIT_FRAME_BYTES),
    fragments: Number(env.LIMIT_FRAGMENTS),
    framesPerSecond: Number(env.LIMIT_FRAMES_PER_SECOND),
    framesPerSecondUser: Number(env.LIMIT_FRAMES_PER_SECOND_USER),
    sessionsPerUser: Number(env.LIMIT_SESSIONS_PER_USER),
    connectionsPerIp: Number(env.LIMIT_CONNECTIONS_PER_IP),
    handshakesPerMinuteIp: Number(env.LIMIT_HANDSHAKES_PER_MINUTE_IP),
    refusalsPerSecondIp: Number(env.LIMIT_REFUSALS_PER_SECOND_IP),
    roomsPerSession: Number(env.LIMIT_ROOMS_PER_SESSION),
    queriesPerMinute: Number(env.LIMIT_QUERIES_PER_MINUTE),
    streamsPerUser: Number(env.LIMIT_STREAMS_PER_USER),
    streamBytesPerSecondUser: Number(env.LIMIT_STREAM_BYTES_PER_SECOND_USER),
    handshakeSeconds: Number(env.LIMIT_HANDSHAKE_SECONDS),
    idleSeconds: Number(env.LIMIT_IDLE_SECONDS),
    readSeconds: Number(env.LIMIT_READ_SECONDS),
  });
