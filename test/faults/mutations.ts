import type { InvariantId } from './check.ts';
import type { Entry, LoggedEvent } from './history.ts';
import type { Material } from './material.ts';

/** One way to spoil a good history, and all the invariants that it breaks. */
export type Mutation = { what: string; spoil: (m: Material) => void; breaks: InvariantId[] };

/** Each alters one element: of what clients saw, or of the log. */
export const mutations: Mutation[] = [
  {
    what: 'a delivery of another text',
    spoil: (m) => {
      m.entry('delivery').text = 'never said';
    },
    breaks: ['I1'],
  },
  {
    what: 'a delivery under another name',
    spoil: (m) => {
      m.entry('delivery').from = 'mallory';
    },
    breaks: ['I1'],
  },
  {
    what: 'a delivery of another time',
    spoil: (m) => {
      m.entry('delivery').timestamp = '2020-01-01T00:00:00.000000Z';
    },
    breaks: ['I1'],
  },
  {
    what: 'a message that was delivered, but is on record as something else',
    spoil: (m) => {
      const acknowledged = new Set(m.all('ok').map(({ seq }) => seq));
      const isToBeSpoilt = ({ seq }: LoggedEvent) => seq > m.unwalked && acknowledged.has(seq);
      m.event('MESSAGE_SENT', isToBeSpoilt).message = 'something else';
    },
    // Nobody sent the other text.
    breaks: ['I1', 'I2', 'I3'],
  },
  {
    what: 'an acknowledgement of another number',
    spoil: (m) => {
      m.entry('ok').seq += 1;
    },
    breaks: ['I2'],
  },
  {
    what: 'a message that was refused, but is on record',
    spoil: (m) => {
      const { session, text } = m.entry('ok');
      m.entries.push({ kind: 'fail', session, text, code: 'audit_unavailable' });
    },
    breaks: ['I2'],
  },
  {
    what: 'a welcome with the number of something else',
    spoil: (m) => {
      m.entry('welcome').seq += 1;
    },
    breaks: ['I2'],
  },
  {
    what: 'a leave that was acknowledged, but is not on record',
    spoil: (m) => {
      m.event('LEFT', ({ seq }) => seq > m.unwalked).action = 'AUDIT_READ';
    },
    breaks: ['I2'],
  },
  { what: 'a delivery twice', spoil: (m) => m.double(m.entry('delivery')), breaks: ['I3'] },
  { what: 'an acknowledgement twice', spoil: (m) => m.double(m.entry('ok')), breaks: ['I3'] },
  {
    what: 'a message on record that nobody sent',
    spoil: (m) => m.drop(m.entry('invoke', ({ text }) => m.events.some(({ message }) => message === text))),
    breaks: ['I3'],
  },
  {
    what: 'a message on record twice',
    spoil: (m) => {
      const last = m.events.at(-1);
      const batch = m.batches.at(-1);
      if (last === undefined || batch === undefined) throw new Error('the log is empty');
      const { message, user_id, session_id, room } = m.event('MESSAGE_SENT');
      Object.assign(last, { action: 'MESSAGE_SENT', message, user_id, session_id, room });
    },
    // It comes after the end of its session, too, and reaches nobody.
    breaks: ['I3', 'I5', 'I7', 'I12'],
  },
  {
    what: 'two events in each other’s place',
    spoil: (m) => {
      const later = m.event(
        'MESSAGE_SENT',
        ({ seq, timestamp }) => m.events[seq - 1]?.timestamp === timestamp,
      );
      m.swap(m.events, m.events[later.seq - 1], later);
    },
    breaks: ['I4'],
  },
  {
    what: 'an event that is missing from the log',
    spoil: (m) => {
      const event = m.event('AUDIT_READ', ({ seq }) => seq > m.unwalked);
      m.events.splice(event.seq, 1);
    },
    breaks: ['I4', 'I10'],
  },
  {
    what: 'a batch whose time goes back',
    spoil: (m) => {
      const stopped = m.events.at(-1);
      if (stopped === undefined) throw new Error('the log is empty');
      m.batchOf(stopped).timestamp = '2020-01-01T00:00:00.000000Z';
      stopped.timestamp = '2020-01-01T00:00:00.000000Z';
    },
    breaks: ['I4'],
  },
  { what: 'a delivery that never came', spoil: (m) => m.drop(m.entry('delivery')), breaks: ['I5'] },
  {
    what: 'the last delivery before a connection was lost',
    spoil: (m) => {
      const { session } = m.entry('ended', ({ code }) => code === 1006);
      const last = m.all('delivery').findLast((entry) => entry.session === session);
      m.drop(last ?? m.entry('delivery'));
    },
    breaks: ['I5'],
  },
  {
    what: 'the very last delivery to somebody who stayed',
    spoil: (m) => {
      const last = m.all('delivery').at(-1);
      m.drop(last ?? m.entry('delivery'));
    },
    breaks: ['I5'],
  },
  {
    what: 'two deliveries in the wrong order',
    spoil: (m) => {
      const [one, other] = m.neighbours('delivery', ({ session, room }) => `${session} ${room}`);
      m.swap<Entry>(m.entries, one, other);
    },
    breaks: ['I5'],
  },
  {
    what: 'two messages of one session that changed places on their way',
    spoil: (m) => {
      const [one, other] = m.neighbours('invoke', ({ session }) => session);
      m.swap<Entry>(m.entries, one, other);
    },
    breaks: ['I6'],
  },
  {
    what: 'a session without an end',
    spoil: (m) => {
      m.event('DISCONNECTED', ({ seq }) => seq > m.unwalked).action = 'AUDIT_READ';
    },
    breaks: ['I7'],
  },
  {
    what: 'a session with two ends, and one without',
    spoil: (m) => {
      const ends = m.events.filter(({ action, seq }) => action === 'DISCONNECTED' && seq > m.unwalked);
      const last = ends.at(-1);
      if (last === undefined) throw new Error('nobody has gone');
      last.session_id = ends[0]?.session_id ?? null;
    },
    breaks: ['I7'],
  },
  {
    what: 'an event that a walk does not show',
    spoil: (m) => {
      m.entry('walk').events.splice(10, 1);
    },
    breaks: ['I9'],
  },
  {
    what: 'an event that a walk shows twice',
    spoil: (m) => {
      const { events } = m.entry('walk');
      events.splice(10, 0, ...events.slice(10, 11));
    },
    breaks: ['I9'],
  },
  {
    what: 'an event that a walk shows otherwise',
    spoil: (m) => {
      const shown = m.entry('walk').events.find(({ message }) => message !== null);
      if (shown !== undefined) shown.message = 'otherwise';
    },
    breaks: ['I9'],
  },
  {
    what: 'a walk that stops too early',
    spoil: (m) => {
      const walk = m.entry('walk', ({ acknowledged }) => acknowledged > 0);
      walk.events = walk.events.filter(({ seq }) => seq < walk.acknowledged);
    },
    breaks: ['I9'],
  },
  {
    what: 'a batch that begins one later',
    spoil: (m) => {
      m.some(m.batches).first_seq += 1;
    },
    breaks: ['I10'],
  },
  {
    what: 'a batch that holds one more',
    spoil: (m) => {
      m.some(m.batches).count += 1;
    },
    breaks: ['I10'],
  },
  { what: 'a batch that is missing', spoil: (m) => m.batches.splice(5, 1), breaks: ['I10'] },
  {
    what: 'an event of another writer than its batch',
    spoil: (m) => {
      m.event('MESSAGE_SENT').instance = 'mallory';
    },
    breaks: ['I10'],
  },
  {
    what: 'an instance that is lost, and records all the same',
    spoil: (m) => {
      const [one, other] = m.events.filter(({ action }) => action === 'SERVER_STOPPED');
      if (one === undefined || other === undefined) throw new Error('there was one instance only');
      Object.assign(one, { action: 'INSTANCE_LOST', details: { instance: other.instance, sessions: 0 } });
    },
    breaks: ['I11'],
  },
  {
    what: 'a message that somebody heard who is not in the room',
    spoil: (m) => {
      const heard = m.entry('delivery', ({ room }) => room === 'blue');
      const { session } = m.entry('joined', ({ user }) => user === 'user-3');
      m.double(heard, { session });
    },
    breaks: ['I12'],
  },
  {
    what: 'a message of somebody who has left, by the log',
    spoil: (m) => {
      const left = m.event('LEFT', ({ seq }) => seq > 0);
      left.session_id = m.entry('welcome', ({ user }) => user === 'user-3').session;
    },
    // The leave of somebody else was acknowledged; and the room goes on hearing and speaking to the wrong one.
    breaks: ['I2', 'I12'],
  },
];
