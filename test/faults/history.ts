import type { Since } from '../../src/core/frame-schemas.ts';

/** What one client saw or did, as it happened. Every text is said once in a history, so it names its message. */
export type Entry =
  /** A session began: `seq` is that of its CONNECTED. */
  | { kind: 'welcome'; user: string; session: string; epoch: string; seq: number }
  /** It asks to be in a room; `since`: and for the messages after. */
  | { kind: 'join'; user: string; session: string; room: string; since?: Since | undefined }
  /** It is in the room from here on; `replayed`: it was given all that it asked for. */
  | { kind: 'joined'; user: string; session: string; room: string; seq: number; replayed: boolean }
  /** Its `since` is of another history. */
  | { kind: 'reset'; session: string; room: string; epoch: string }
  | { kind: 'left'; session: string; room: string; seq: number }
  /** A message was handed to the socket. */
  | { kind: 'invoke'; user: string; session: string; room: string; text: string }
  /** The server acknowledged it. */
  | { kind: 'ok'; session: string; text: string; seq: number }
  /** The server refused it, so it must not be on record. */
  | { kind: 'fail'; session: string; text: string; code: string }
  /** The server said `outcome_unknown`, or the session was lost before an answer. An `ok` or `fail` may follow. */
  | { kind: 'unknown'; session: string; text: string; why: 'told' | 'lost' }
  /** A message arrived; `from` is who said it. */
  | {
      kind: 'delivery';
      session: string;
      room: string;
      seq: number;
      text: string;
      from: string;
      timestamp: string;
    }
  /** The connection is gone. */
  | { kind: 'ended'; session: string; code: number }
  /** The load is over: whoever is connected now must have got everything. */
  | { kind: 'quiet' }
  /** Somebody paged through the whole log by GET /audit; `acknowledged` is the highest seq told before it began. */
  | { kind: 'walk'; order: 'asc' | 'desc'; acknowledged: number; events: WalkedEvent[] };

/** What a page shows of an event, as far as it is compared. */
export type WalkedEvent = Pick<LoggedEvent, 'seq' | 'timestamp' | 'action' | 'user_id' | 'message'>;

/** When it was recorded, in milliseconds of this process's monotonic clock. */
export type Timed = { at: number };

/** An event as the table holds it. */
export type LoggedEvent = {
  seq: number;
  timestamp: string;
  action: string;
  user_id: string | null;
  message: string | null;
  room: string | null;
  session_id: string | null;
  instance: string;
  details: Record<string, unknown>;
};

export type LoggedBatch = { first_seq: number; count: number; timestamp: string; writer: string };

/** The whole log, as it is in the tables at the end. */
export type Log = { epoch: string; events: readonly LoggedEvent[]; batches: readonly LoggedBatch[] };

/** Keeps what clients record, in the order in which it happened here. */
export class History {
  readonly entries: (Entry & Timed)[] = [];
  /** The highest seq that anybody was told; -1 before the first. */
  acknowledged = -1;

  add(entry: Entry): void {
    if (entry.kind === 'ok') this.acknowledged = Math.max(this.acknowledged, entry.seq);
    this.entries.push({ ...entry, at: performance.now() });
  }
}
