import type { ErrorCode } from '../../src/core/errors.ts';
import type { ServerFrame, Since } from '../../src/core/frame-schemas.ts';

/** A message of one's own that is not known to be on record. */
export type Outgoing = {
  readonly ref: string;
  readonly text: string;
  /**
   * - `queued`: never sent, for there is no connection or one is not in the room yet
   * - `sent`: no answer yet
   * - `doubtful`: the database has not answered; the server will tell
   * - `lost`: the connection broke before the answer; it is looked for among what was said
   * - `undecided`: it was not found; whether it may still come nobody can say
   * - `refused`: it is certainly not on record
   */
  readonly state: 'queued' | 'sent' | 'doubtful' | 'lost' | 'undecided' | 'refused';
  /** Why it was refused. */
  readonly why?: { code: ErrorCode; words: string };
};

/** Lines are in the order of `era` and `seq`. An era ends when there can be no replay. */
type Place = { readonly era: number; readonly seq: number; readonly key: string };

export type Line = Place &
  (
    | {
        readonly kind: 'message';
        readonly userId: string;
        readonly text: string;
        readonly timestamp: string;
        /** Said with this page. */
        readonly own: boolean;
      }
    | { readonly kind: 'joined' | 'left'; readonly userId: string; readonly timestamp: string }
    /** What was said here is still to come, or never will. */
    | { readonly kind: 'gap'; readonly words: string }
  );

type MessageFrame = Extract<ServerFrame, { type: 'message' }>;
type PresenceFrame = Extract<ServerFrame, { type: 'joined' | 'left' }>;
type ResetFrame = Extract<ServerFrame, { type: 'reset' }>;

/** So many lines are kept; the older ones are in the log. */
export const MAX_LINES = 2_000;

const FETCHING = 'More was said here meanwhile; it is on its way.';
const EXPELLED = 'The session was ended before it arrived.';

/** A room as this page has seen it: what was said, what of one's own is still open, and how far it is whole. */
export class Room {
  readonly name: string;
  /** Oldest first. Replaced, not changed. */
  lines: readonly Line[] = [];
  /** In the order in which it was said. */
  outgoing: readonly Outgoing[] = [];
  /** `in`: what is said here arrives. */
  standing: 'out' | 'joining' | 'in' | 'leaving' = 'out';
  /** Why one is not in, or what was missed is not there. */
  trouble: string | undefined;
  unread = 0;
  /** Whether lines were dropped to keep the page light. */
  trimmed = false;
  /** Everything up to here was seen; undefined before the first time in. */
  since: Since | undefined;
  /** Whether nothing is missing between `since` and now. */
  whole = false;
  #era = 0;
  /** No line of this era at or below this is taken any more. */
  #droppedThrough = -1;
  /** The `seq` of the message that came last: when a replay ends, that is its last. */
  #lastMessage = -1;

  constructor(name: string, since?: Since) {
    this.name = name;
    this.since = since;
  }

  /** From where a page that is loaded again must ask to show the same. */
  get oldest(): number | undefined {
    const first = this.lines.find(({ era, kind }) => era === this.#era && kind !== 'gap');
    return first === undefined ? this.since?.seq : Math.max(0, Math.ceil(first.seq) - 1);
  }

  /** The connection is gone. @param expelled whether what had no answer certainly was not recorded */
  lost(expelled: boolean): void {
    this.whole = false;
    if (this.standing !== 'out') this.standing = 'out';
    this.outgoing = this.outgoing.map((one) => {
      if (one.state !== 'sent' && one.state !== 'doubtful') return one;
      return expelled
        ? { ...one, state: 'refused', why: { code: 'forbidden', words: EXPELLED } }
        : { ...one, state: 'lost' };
    });
  }

  /** A message came. @returns whether it is a new one that others have said */
  message(frame: MessageFrame, me: string): boolean {
    this.#lastMessage = frame.seq;
    this.#advance(frame.seq);
    if (this.#knows(frame.seq)) return false;
    const mine = frame.user_id === me ? this.#takeOutgoing(frame) : undefined;
    this.#insert({
      kind: 'message',
      ...this.#place(frame.seq, mine?.ref),
      userId: frame.user_id,
      text: frame.text,
      timestamp: frame.timestamp,
      own: mine !== undefined,
    });
    return frame.user_id !== me;
  }

  /** Somebody came or went. */
  presence({ type, seq, timestamp, user_id }: PresenceFrame): void {
    this.#advance(seq);
    if (!this.#knows(seq)) {
      this.#insert({ kind: type, ...this.#place(seq), userId: user_id, timestamp });
    }
  }

  /**
   * One is in. @param epoch that of the session
   * @returns whether there is more to ask for, and whether this time brought something
   */
  entered(
    { seq, replayed, truncated }: PresenceFrame & { type: 'joined' },
    epoch: string,
  ): { more: boolean; progress: boolean } {
    if (this.standing === 'joining') this.standing = 'in';
    const progress = (replayed ?? 0) > 0;
    if (this.since === undefined) {
      this.since = { epoch, seq };
      this.#becomeWhole(seq);
    } else if (replayed !== undefined) {
      if (truncated === true) {
        if (progress) this.since = { ...this.since, seq: this.#lastMessage };
        this.#markGap(this.since.seq);
      } else this.#becomeWhole(seq);
    }
    return { more: !this.whole, progress };
  }

  /** There can be no replay: a new era begins. */
  reset({ epoch, first_seq, seq }: ResetFrame): void {
    const asked = this.since;
    const words =
      asked !== undefined && asked.epoch === epoch && asked.seq < first_seq
        ? 'What was said meanwhile is no longer kept in the log.'
        : 'The log has begun anew, or was put back to an earlier state. What stands above may not be in it.';
    this.#dropGap();
    this.#era += 1;
    this.#droppedThrough = -1;
    this.since = { epoch, seq: Math.max(0, seq - 1) };
    if (this.lines.length > 0) this.#insert({ kind: 'gap', ...this.#place(-1, `reset ${this.#era}`), words });
    this.#becomeWhole(this.since.seq);
  }

  /** Says something, or keeps it until it can be said. */
  say(one: Outgoing): void {
    this.outgoing = [...this.outgoing, one];
  }

  /** Changes what is known of a message of one's own. */
  update(ref: string, change: Partial<Outgoing>): void {
    this.outgoing = this.outgoing.map((one) => (one.ref === ref ? { ...one, ...change } : one));
  }

  /** Forgets a message of one's own. @returns it */
  take(ref: string): Outgoing | undefined {
    const found = this.outgoing.find((one) => one.ref === ref);
    if (found !== undefined) this.outgoing = this.outgoing.filter((one) => one !== found);
    return found;
  }

  // ---- how far it is whole

  #advance(seq: number): void {
    if (this.whole && this.since !== undefined && seq > this.since.seq) this.since = { ...this.since, seq };
  }

  #becomeWhole(seq: number): void {
    this.whole = true;
    this.trouble = undefined;
    this.#dropGap();
    const last = this.lines.at(-1);
    this.#advance(Math.max(seq, last?.era === this.#era ? last.seq : 0));
    this.outgoing = this.outgoing.map((one) => (one.state === 'lost' ? { ...one, state: 'undecided' } : one));
  }

  #markGap(after: number): void {
    this.#dropGap();
    this.#insert({ kind: 'gap', ...this.#place(after + 0.5, 'fetching'), words: FETCHING });
  }

  #dropGap(): void {
    this.lines = this.lines.filter(({ key }) => key !== 'fetching');
  }

  // ---- messages of one's own

  /**
   * The message that a frame brings: by its label; else, for those whose answer was lost, by its text. Another page of
   * the same user may have said the same meanwhile, which nobody can tell; then it is on record once, and not twice.
   */
  #takeOutgoing({ ref, text }: MessageFrame): Outgoing | undefined {
    if (ref !== undefined) return this.take(ref);
    const found = this.outgoing.find(
      (one) => (one.state === 'lost' || one.state === 'undecided') && one.text === text,
    );
    return found === undefined ? undefined : this.take(found.ref);
  }

  // ---- lines

  #place(seq: number, key?: string): Place {
    return { era: this.#era, seq, key: key ?? `${this.#era} ${seq}` };
  }

  /** The index of the first line that does not stand before this place. */
  #indexOf(seq: number): number {
    // From the end, where nearly all of them belong.
    let index = this.lines.length;
    for (; index > 0; index -= 1) {
      const { era, seq: other } = this.lines[index - 1] as Line;
      if (era < this.#era || other < seq) break;
    }
    return index;
  }

  #knows(seq: number): boolean {
    if (seq <= this.#droppedThrough) return true;
    const line = this.lines[this.#indexOf(seq)];
    return line !== undefined && line.seq === seq;
  }

  #insert(line: Line): void {
    const index = this.#indexOf(line.seq);
    const lines = [...this.lines.slice(0, index), line, ...this.lines.slice(index)];
    const surplus = lines.length - MAX_LINES;
    if (surplus > 0) {
      const dropped = lines.splice(0, surplus).findLast(({ era }) => era === this.#era);
      if (dropped !== undefined) this.#droppedThrough = Math.floor(dropped.seq);
      this.trimmed = true;
    }
    this.lines = lines;
  }
}
