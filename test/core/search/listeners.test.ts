import fc from 'fast-check';
import t from 'tap';
import type { Filter } from '../../../src/core/filter.ts';
import { Listeners } from '../../../src/core/search/listeners.ts';
import { Candidate, compileFilter, type Matcher } from '../../../src/core/search/matcher.ts';
import { pendingEvent } from '../../support/log-store.ts';
import { holds } from '../../support/property.ts';

const names = ['alice', 'bob', 'carol'];
const name = fc.constantFrom(...names);
const nullable = fc.constantFrom(null, ...names);
const action = fc.constantFrom('JOINED', 'LEFT', 'USER_KICKED');

const events = fc
  .record({ user_id: nullable, target_user_id: nullable, room: nullable, message: nullable, action })
  .map((draft) => pendingEvent({ details: {}, ...draft } as Parameters<typeof pendingEvent>[0]).event);

const filters: fc.Arbitrary<Filter> = fc.record(
  {
    action: fc.uniqueArray(action, { minLength: 1 }),
    user_id: fc.uniqueArray(name, { minLength: 1 }),
    target_user_id: name,
    involves: name,
    room: name,
    q: fc.constantFrom('a', 'B', 'bo'),
  },
  { requiredKeys: [] },
);

t.test('each listener hears of what matches, once, and of nothing after it was removed', () =>
  holds(
    fc.record({ all: fc.array(filters, { maxLength: 12 }), gone: fc.nat({ max: 11 }), event: events }),
    ({ all, gone, event }) => {
      const listeners = new Listeners<{ matcher: Matcher }>();
      const added = all.map((filter) => ({ matcher: compileFilter(filter) }));
      for (const listener of added) listeners.add(listener);
      const removed = added[gone];
      if (removed !== undefined) listeners.remove(removed);
      const told: unknown[] = [];
      listeners.tell(event, (listener) => told.push(listener));
      const expected = added.filter(
        (listener) => listener !== removed && listener.matcher.matches(new Candidate(event)),
      );
      if (told.length !== expected.length || expected.some((listener) => !told.includes(listener))) {
        throw new Error(`${told.length} were told, not ${expected.length}`);
      }
    },
  ),
);

t.test('only those who may well match are asked', async (t) => {
  const listeners = new Listeners<{ matcher: Matcher }>();
  let asked = 0;
  for (let number = 0; number < 200; number += 1) {
    const matcher = compileFilter({ user_id: [`user-${number}`], q: 'x' });
    listeners.add({
      matcher: {
        ...matcher,
        matches: (candidate) => {
          asked += 1;
          return matcher.matches(candidate);
        },
      },
    });
  }
  const { event } = pendingEvent({ action: 'MESSAGE_SENT', user_id: 'user-7', message: 'X' });
  let told = 0;
  listeners.tell(event, () => {
    told += 1;
  });
  t.strictSame({ asked, told }, { asked: 1, told: 1 });
});

t.test('who did something to themselves is involved once', async (t) => {
  const listeners = new Listeners<{ matcher: Matcher }>();
  listeners.add({ matcher: compileFilter({ involves: 'alice' }) });
  const details = { reason: null };
  const { event } = pendingEvent({
    action: 'USER_KICKED',
    user_id: 'alice',
    target_user_id: 'alice',
    details,
  });
  let told = 0;
  listeners.tell(event, () => {
    told += 1;
  });
  t.equal(told, 1);
});
