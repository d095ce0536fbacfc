import { readLogState, roomMessages } from '../../db/events.ts';
import { read } from '../../db/read.ts';
import { CodedError } from '../../src/core/errors.ts';
import type { Since } from '../../src/core/frame-schemas.ts';
import { frameBytes } from '../../src/core/frames.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { Turns } from '../../src/core/turns.ts';
import type { Audit } from '../audit/index.ts';
import type { DatabaseHandle } from '../database.ts';
import type { Limits } from '../limits.ts';
import type { ReadTurns } from '../turns.ts';
import type { Connection } from './connection.ts';

const MIB = 1024 * 1024;
const MAX_MESSAGES = 1_000;
/**
 * As frames, which are up to six times as long as the texts that the database weighs. One message is always sent,
 * however long it is; else there would be no getting past it.
 */
const MAX_BYTES = 4 * MIB;
/**
 * One replay of a user at a time, until the last of it is sent: so a user costs the memory of one, however many
 * sessions do not read. The others wait, for after a restart all sessions of a user ask at once, and one replay takes
 * milliseconds. No longer than this: meanwhile what is said in the room is held back, and so are the session's frames.
 */
const TURN = { most: 1, maxWaiting: 32, waitMs: 2_000 };

/** What is asked for: what was said in a room after `since`, and before the number `until`. */
export type Asked = { room: string; since: Since; until: number; ref: string | undefined };

/** How many messages were sent, and whether there are more. */
export type Replayed = { replayed: number; truncated: boolean };

/** The session that missed it, and what it is to be told. */
export type Member = {
  id: string;
  userId: string;
  ip: string | null;
  /** Something was refused, or could not be done. */
  tellError: (error: unknown, ref: string | undefined) => void;
  /** An error that is nobody's but ours. */
  onFault: (error: unknown) => void;
};

/**
 * Sends a member what it missed, or a `reset`, and then nothing is returned. Never rejects: what goes wrong is told by
 * what is returned, and what is too much by an error frame as well.
 */
export type Replay = (member: Member, connection: Connection, asked: Asked) => Promise<Replayed | undefined>;

export type ReplayOptions = {
  audit: Pick<Audit, 'record'>;
  database: Pick<DatabaseHandle, 'read'>;
  limits: Pick<Limits, 'takeQuery'>;
  turns: Pick<ReadTurns, 'read'>;
};

/** Makes the function that replays, for all sessions of a server. */
export function replayer({ audit, database, limits, turns }: ReplayOptions): Replay {
  const replays = new Turns({
    ...TURN,
    refuse: () => new CodedError('rate_limited', 'Another session of yours is catching up; ask again soon.'),
  });

  /** What was said, and how the log stands; no messages where there can be no replay. */
  async function find({ room, since, until }: Asked) {
    // As the database says: another instance may have begun an epoch that this one has not heard of yet.
    const { epoch, firstSeq } = await read(readLogState(database.read));
    if (since.epoch !== epoch || since.seq >= until || since.seq < firstSeq - 1) return { epoch, firstSeq };
    const range = { from: since.seq + 1, to: until };
    return { epoch, firstSeq, page: await read(roomMessages(database.read, room, range, MAX_MESSAGES)) };
  }

  async function send(
    { id, userId, ip }: Member,
    connection: Connection,
    asked: Asked,
  ): Promise<Replayed | undefined> {
    const { room, since, until } = asked;
    const { epoch, firstSeq, page } = await turns.read(userId, () => find(asked));
    if (page === undefined) {
      connection.send(frameBytes({ type: 'reset', room, epoch, first_seq: firstSeq, seq: until }));
      return undefined;
    }
    const { events, hasMore } = page;
    const frames = framesOf(room, events);
    // Whoever reads the log is in the log, and before they get to see it.
    await audit.record({
      action: 'AUDIT_READ',
      user_id: userId,
      session_id: id,
      ip,
      room,
      details: {
        path: '/ws',
        filters: { action: 'MESSAGE_SENT', room, since: `${since.epoch}:${since.seq}` },
        rows: frames.length,
      },
    });
    await connection.sendPaced(frames);
    return { replayed: frames.length, truncated: hasMore || frames.length < events.length };
  }

  return async (member, connection, asked) => {
    const nothing = { replayed: 0, truncated: true };
    try {
      // Counted before it waits: who is refused for asking too often must not hold up their own others.
      limits.takeQuery(member.userId);
      return await replays.run(member.userId, async () =>
        connection.isOpen ? send(member, connection, asked) : nothing,
      );
    } catch (error) {
      // In the room all the same, and that is on record; what was missed can be asked for again.
      if (!(error instanceof CodedError)) member.onFault(error);
      else if (error.code === 'rate_limited') member.tellError(error, asked.ref);
      return nothing;
    }
  };
}

/** As many of the messages as one replay takes. */
function framesOf(room: string, events: readonly AuditEvent[]): Buffer[] {
  const frames: Buffer[] = [];
  let bytes = 0;
  for (const { seq, timestamp, user_id, message } of events) {
    const said = { room, user_id: user_id ?? '', text: message ?? '', seq, timestamp };
    const frame = frameBytes({ type: 'message', ...said });
    bytes += frame.length;
    if (bytes > MAX_BYTES && frames.length > 0) break;
    frames.push(frame);
  }
  return frames;
}
