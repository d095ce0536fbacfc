import fc from 'fast-check';
import t from 'tap';
import { listEvents } from '../../../db/events.ts';
import type { Draft } from '../../../src/core/events.ts';
import { type Filter, parseFilter } from '../../../src/core/filter.ts';
import type { AuditEvent, AuditQuery } from '../../../src/core/schemas.ts';
import { Candidate, compileFilter, termNames } from '../../../src/core/search/matcher.ts';
import { joinLog, openDb, pendingEvent } from '../../support/log-store.ts';
import { createDatabase } from '../../support/postgres.ts';
import { holds } from '../../support/property.ts';

const matching = (filter: Filter, events: readonly AuditEvent[]): AuditEvent[] => {
  const { matches } = compileFilter(filter);
  return events.filter((event) => matches(new Candidate(event)));
};

// Few of each, so that filters meet events.
const users = ['alice', 'bob', 'Alice', 'Σοφία', 'σοφία', 'ı', 'a%'];
const rooms = ['lobby', 'Lobby', 'β'];
const sessions = ['0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11', '11111111-9d3b-4c43-8a60-5a3d9f1f3c11'];
const addresses = ['127.0.0.1', '2001:db8::1'];
const targeted = ['USER_KICKED', 'USER_UNBANNED'] as const;
const actions = ['MESSAGE_SENT', 'JOINED', 'LEFT', ...targeted] as const;

/** Characters that one side or the other may take for something special, or fold in its own way. */
const characters = [
  ...'aAiIsSkKσΣςİıſ\u212AßẞǅÅ\u212Bﬅﬆ',
  ...'%_\\.*+?()[]{}|^$-"\'/ ',
  'ς',
  '\u0307',
  '😀',
  '👩‍💻',
  '\u{10400}',
  '\u{10428}',
  '\n',
  '\r',
  '\u2028',
  '\u0085',
  '你',
  'ส',
  'วั',
];
const text = (maxLength: number) =>
  fc.string({ unit: fc.constantFrom(...characters), minLength: 1, maxLength });
const nullable = <T>(values: readonly T[]) => fc.constantFrom(null, ...values);

const drafts = fc.array(
  fc.record({
    action: fc.constantFrom(...actions),
    user_id: nullable(users),
    target_user_id: nullable(users),
    room: nullable(rooms),
    session_id: nullable(sessions),
    ip: nullable(addresses),
    message: fc.option(text(8)),
  }),
  { minLength: 40, maxLength: 40 },
);

const queries: fc.Arbitrary<Partial<AuditQuery>> = fc.record(
  {
    action: fc.array(fc.constantFrom(...actions), { minLength: 1, maxLength: 3 }),
    user_id: fc.array(fc.constantFrom(...users), { minLength: 1, maxLength: 3 }),
    target_user_id: fc.constantFrom(...users),
    involves: fc.constantFrom(...users),
    room: fc.constantFrom(...rooms),
    session_id: fc.constantFrom(...sessions, sessions[0]?.toUpperCase() ?? ''),
    ip: fc.constantFrom('127.0.0.1', '::ffff:127.0.0.1', '2001:DB8:0::1'),
    q: text(3),
  },
  { requiredKeys: [] },
);

t.test('a compiled filter says of every event what the database says', async (t) => {
  const url = await createDatabase(t);
  const db = openDb(t, url);
  const log = await joinLog(db);
  let batch = 0;
  let found = 0;
  const events: AuditEvent[] = [];
  for (const some of fc.sample(drafts, 10)) {
    const pending = some.map((draft) => pendingEvent(draft as unknown as Draft));
    batch += 1;
    const { first_seq } = await log.append(batch, pending);
    for (const [index, { event }] of pending.entries()) events.push({ ...event, seq: first_seq + index });
  }
  const range = { from: 0, to: events.length + 100 };
  const agrees = async (query: Partial<AuditQuery>): Promise<void> => {
    const filter = parseFilter(query);
    const page = await listEvents(db, filter, range, 'asc', 1_000);
    const expected = page.events.map(({ seq }) => seq);
    const given = matching(filter, events).map(({ seq }) => seq);
    found += given.length;
    if (JSON.stringify(given) !== JSON.stringify(expected)) {
      throw new Error(`${JSON.stringify(query)}: ${given} instead of ${expected}`);
    }
  };
  for (const q of characters) await agrees({ q });
  await holds(queries, agrees);
  await holds(text(3), (q) => agrees({ q }));
  t.ok(found > 1_000, `${found} matches`);
});

t.test('a filter is known by its most selective condition', async (t) => {
  const termOf = (query: Partial<AuditQuery>) => compileFilter(parseFilter(query)).term;
  t.equal(termOf({}), undefined);
  t.equal(termOf({ q: 'x' }), undefined);
  t.strictSame(termOf({ action: ['JOINED', 'LEFT'] }), { name: 'action', values: ['JOINED', 'LEFT'] });
  t.strictSame(termOf({ action: ['JOINED'], user_id: ['alice', 'bob'], q: 'x' }), {
    name: 'user_id',
    values: ['alice', 'bob'],
  });
  t.strictSame(termOf({ room: 'lobby', action: ['JOINED'] }), { name: 'room', values: ['lobby'] });
  t.strictSame(termOf({ session_id: sessions[0] ?? '', user_id: ['alice'] }), {
    name: 'session_id',
    values: [sessions[0]],
  });
  t.equal(new Set(termNames).size, termNames.length);
});
