import { entriesOf, type Facts, gatherFacts, Judge } from './facts.ts';
import type { Entry, Log } from './history.ts';
import { batchesTile, endsOnce, lostAreSilent, numbered } from './log-checks.ts';
import { complete, fifo, members } from './order-checks.ts';

/** What one invariant came to: how many facts it looked at, and those that break it. */
export type Verdict = { id: InvariantId; checked: number; violations: readonly string[] };

const show = (text: string): string => JSON.stringify(text.slice(0, 60));

function delivered({ entries, bySeq }: Facts, judge: Judge): void {
  for (const { seq, text, room, from, timestamp, session } of entriesOf(entries, 'delivery')) {
    const event = bySeq.get(seq);
    const matches =
      event?.action === 'MESSAGE_SENT' &&
      event.message === text &&
      event.room === room &&
      event.user_id === from &&
      event.timestamp === timestamp;
    judge.that(
      matches,
      () => `${show(text)} was delivered to ${session} as ${seq}, which is not on record so`,
    );
  }
}

function answered({ entries, bySeq, said }: Facts, judge: Judge): void {
  for (const { session, seq } of entriesOf(entries, 'welcome')) {
    const event = bySeq.get(seq);
    judge.that(
      event?.action === 'CONNECTED' && event.session_id === session,
      () => `welcome ${seq} is not on record`,
    );
  }
  for (const kind of ['joined', 'left'] as const) {
    for (const { session, room, seq } of entriesOf(entries, kind)) {
      const event = bySeq.get(seq);
      // Somebody who leaves by losing the connection is told nothing; so a `left` is a LEFT.
      const matches =
        event?.action === kind.toUpperCase() && event.session_id === session && event.room === room;
      judge.that(
        matches,
        () => `${session} was told that it ${kind} ${room} as ${seq}, which is not on record`,
      );
    }
  }
  for (const { text, session, seq } of entriesOf(entries, 'ok')) {
    const event = bySeq.get(seq);
    judge.that(
      event?.action === 'MESSAGE_SENT' && event.message === text && event.session_id === session,
      () => `${show(text)} was acknowledged as ${seq}, which is not on record so`,
    );
  }
  for (const { text, code } of entriesOf(entries, 'fail')) {
    judge.that(!said.has(text), () => `${show(text)} was refused (${code}), but is on record`);
  }
}

function once({ entries, said }: Facts, judge: Judge): void {
  const invoked = new Map<string, number>();
  for (const { text } of entriesOf(entries, 'invoke')) invoked.set(text, (invoked.get(text) ?? 0) + 1);
  for (const [text, events] of said) {
    judge.that(
      invoked.get(text) === 1,
      () => `${show(text)} is on record, but was sent ${invoked.get(text) ?? 0} times`,
    );
    judge.that(events.length === 1, () => `${show(text)} is on record ${events.length} times`);
  }
  for (const kind of ['delivery', 'ok'] as const) {
    const seen = new Set<string>();
    for (const { session, text } of entriesOf(entries, kind)) {
      const key = `${session} ${text}`;
      judge.that(!seen.has(key), () => `${session} got ${kind} of ${show(text)} twice`);
      seen.add(key);
    }
  }
}

function walked({ entries, bySeq }: Facts, judge: Judge): void {
  for (const { order, acknowledged, events } of entriesOf(entries, 'walk')) {
    const ascending = order === 'asc' ? events : events.toReversed();
    const top = ascending.at(-1)?.seq ?? -1;
    judge.that(
      top >= acknowledged,
      () => `a walk (${order}) ends at ${top}, but ${acknowledged} was acknowledged before`,
    );
    for (const [index, event] of ascending.entries()) {
      judge.that(event.seq === index, () => `a walk (${order}) shows ${event.seq} in the place of ${index}`);
      const row = bySeq.get(event.seq);
      const equal =
        row !== undefined &&
        row.timestamp === event.timestamp &&
        row.action === event.action &&
        row.user_id === event.user_id &&
        row.message === event.message;
      judge.that(equal, () => `a walk (${order}) shows ${event.seq} otherwise than it is on record`);
    }
  }
}

/** The invariants, by the names that docs/faults.md explains. I8 and I13 wait for the stream and the export. */
export const invariants = {
  I1: { title: 'what is delivered is on record', check: delivered },
  I2: { title: 'what is acknowledged is on record, what is refused is not', check: answered },
  I3: { title: 'each message is on record, delivered and acknowledged at most once', check: once },
  I4: { title: '`seq` has no gaps, time never goes back', check: numbered },
  I5: { title: 'everybody gets the messages of their rooms in order, and all of them', check: complete },
  I6: { title: 'messages of one session keep their order', check: fifo },
  I7: { title: 'each session ends once on record, and does nothing after', check: endsOnce },
  I9: { title: 'paging through the log while it grows shows every event once', check: walked },
  I10: { title: 'the batches tile the log', check: batchesTile },
  I11: { title: 'a lost instance records nothing more', check: lostAreSilent },
  I12: { title: 'only members speak in a room and hear it', check: members },
} as const satisfies Record<string, { title: string; check: (facts: Facts, judge: Judge) => void }>;

export type InvariantId = keyof typeof invariants;
export const invariantIds = Object.keys(invariants) as InvariantId[];

/** Judges what clients saw against what the log holds. Pure; every row of the fault suite ends here. */
export function check(entries: readonly Entry[], log: Log): Verdict[] {
  const facts = gatherFacts(entries, log);
  return invariantIds.map((id) => {
    const judge = new Judge();
    invariants[id].check(facts, judge);
    return { id, checked: judge.checked, violations: judge.violations };
  });
}
