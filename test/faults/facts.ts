import type { Entry, Log, LoggedEvent } from './history.ts';

type Kind = Entry['kind'];
export type EntryOf<K extends Kind> = Extract<Entry, { kind: K }>;

/** A session's time in a room as the log tells it: from its JOINED up to, but without, its LEFT or DISCONNECTED. */
export type Membership = { room: string; from: number; to: number };

/** A history and a log, indexed for the checks. */
export type Facts = {
  entries: readonly Entry[];
  log: Log;
  bySeq: ReadonlyMap<number, LoggedEvent>;
  /** MESSAGE_SENT events by their text. */
  said: ReadonlyMap<string, readonly LoggedEvent[]>;
  /** By session. */
  memberships: ReadonlyMap<string, readonly Membership[]>;
};

/** Adds to the list that a map keeps under a key. */
export function pushTo<K, V>(map: Map<K, V[]>, key: K, value: V): void {
  const list = map.get(key);
  if (list === undefined) map.set(key, [value]);
  else list.push(value);
}

export const entriesOf = <K extends Kind>(entries: readonly Entry[], kind: K): EntryOf<K>[] =>
  entries.filter((entry): entry is EntryOf<K> => entry.kind === kind);

/** Replays who was in which room, in the order of the log. */
function membershipsIn(events: readonly LoggedEvent[]): Map<string, Membership[]> {
  const all = new Map<string, Membership[]>();
  for (const { seq, action, session_id, room } of events) {
    if (session_id === null) continue;
    const open = (all.get(session_id) ?? []).filter(({ to }) => to === Number.POSITIVE_INFINITY);
    if (action === 'JOINED' && room !== null) {
      pushTo(all, session_id, { room, from: seq, to: Number.POSITIVE_INFINITY });
    }
    for (const membership of open) {
      if (action === 'DISCONNECTED' || (action === 'LEFT' && membership.room === room)) membership.to = seq;
    }
  }
  return all;
}

export function gatherFacts(entries: readonly Entry[], log: Log): Facts {
  const said = new Map<string, LoggedEvent[]>();
  for (const event of log.events)
    if (event.action === 'MESSAGE_SENT') pushTo(said, event.message ?? '', event);
  return {
    entries,
    log,
    bySeq: new Map(log.events.map((event) => [event.seq, event])),
    said,
    memberships: membershipsIn(log.events),
  };
}

/** Counts what a check has looked at, and keeps what it found wrong. */
export class Judge {
  checked = 0;
  readonly violations: string[] = [];

  that(holds: boolean, otherwise: () => string): void {
    this.checked += 1;
    if (!holds) this.violations.push(otherwise());
  }
}
