import type { Facts, Judge } from './facts.ts';

/** What a session does itself; a refusal may be counted up and recorded after it has gone. */
const ACTS = new Set(['CONNECTED', 'JOINED', 'LEFT', 'MESSAGE_SENT', 'DISCONNECTED']);

/** I4. */
export function numbered({ log }: Facts, judge: Judge): void {
  let previous = '';
  for (const [index, { seq, timestamp }] of log.events.entries()) {
    judge.that(seq === index, () => `${seq} stands in the place of ${index}`);
    // Both have six decimals and end with Z, so that they compare as text.
    judge.that(
      timestamp >= previous,
      () => `${seq} is of ${timestamp}, but the event before is of ${previous}`,
    );
    previous = timestamp;
  }
}

/** I7. */
export function endsOnce({ log }: Facts, judge: Judge): void {
  const open = new Map<string, boolean>();
  for (const { seq, action, session_id } of log.events) {
    if (session_id === null || !ACTS.has(action)) continue;
    const state = open.get(session_id);
    if (action === 'CONNECTED') {
      judge.that(state === undefined, () => `${seq}: ${session_id} is connected twice`);
      open.set(session_id, true);
    } else {
      judge.that(state === true, () => `${seq}: ${action} of ${session_id}, which is not connected then`);
      if (action === 'DISCONNECTED') open.set(session_id, false);
    }
  }
  for (const [session, isOpen] of open) judge.that(!isOpen, () => `${session} has no end on record`);
}

/** I10. */
export function batchesTile({ log, bySeq }: Facts, judge: Judge): void {
  let next = 0;
  for (const { first_seq, count, timestamp, writer } of log.batches) {
    judge.that(
      first_seq === next && count > 0,
      () => `the batch ${first_seq}+${count} stands where ${next} is next`,
    );
    next = first_seq + count;
    for (let seq = first_seq; seq < next; seq += 1) {
      const event = bySeq.get(seq);
      judge.that(
        event?.timestamp === timestamp && event.instance === writer,
        () => `${seq} is not of the time and the writer of its batch`,
      );
    }
  }
  judge.that(next === log.events.length, () => `the batches end at ${next}, the log at ${log.events.length}`);
}

/** I11. */
export function lostAreSilent({ log }: Facts, judge: Judge): void {
  const lost = new Map<string, number>();
  for (const { seq, action, instance, details } of log.events) {
    const at = lost.get(instance);
    if (lost.size > 0)
      judge.that(at === undefined, () => `${seq} is of ${instance}, which was lost at ${at}`);
    if (action === 'INSTANCE_LOST') {
      const name = String(details.instance);
      judge.that(!lost.has(name), () => `${seq}: ${name} is lost a second time`);
      lost.set(name, seq);
    }
  }
}
