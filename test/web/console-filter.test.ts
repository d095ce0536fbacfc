import { test } from 'tap';
import { Clock } from '../../web/common/time.ts';
import { readView, writeView } from '../../web/console/address.ts';
import { dayInterval, intervalWords } from '../../web/console/chips/interval.ts';
import { suggestionsOf } from '../../web/console/chips/suggest.ts';
import {
  chipsOf,
  type Filter,
  frozen,
  keyOf,
  readChip,
  readFilter,
  withoutValue,
  withValue,
} from '../../web/console/filter.ts';

const everything: Filter = {
  action: ['MESSAGE_SENT', 'JOINED'],
  user_id: ['ann', 'a&b=c#d'],
  target_user_id: 'bob',
  involves: 'Ñandú',
  room: 'two words',
  session_id: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
  ip: '::1',
  q: 'a "quoted" + plus',
  from: '2026-11-22T10:30:00+01:00',
  to: '-5m',
};

test('the address says all that is shown, and nothing that is as usual', async (t) => {
  const view = { filter: everything, zone: 'utc', event: 1042, live: true, panel: 'export' } as const;
  t.strictSame(readView(writeView(view)), view);
  t.equal(writeView(readView('')), '');
  t.equal(writeView(readView('#zone=local&live=off&panel=none&event=-1&room=&colour=red')), '');
});

test('chips are written as the API names them, and plain text is looked for', async (t) => {
  t.strictSame(readChip('user_id:ann'), { name: 'user_id', value: 'ann' });
  t.strictSame(readChip('room: two words '), { name: 'room', value: 'two words' });
  t.strictSame(readChip('room:"quoted"'), { name: 'room', value: '"quoted"' }, 'a name may have quotes');
  t.strictSame(readChip('q:"a b"'), { name: 'q', value: 'a b' });
  t.strictSame(readChip('colour:red'), { name: 'q', value: 'colour:red' });
  t.equal(readChip('user_id: '), undefined);
  t.equal(readChip('  '), undefined);
});

test('names that repeat are added, others replaced, and what is dropped is gone', async (t) => {
  const one = withValue(withValue({}, 'user_id', 'ann'), 'room', 'a');
  const two = withValue(withValue(withValue(one, 'user_id', 'bob'), 'user_id', 'ann'), 'room', 'b');
  t.strictSame(two, { user_id: ['ann', 'bob'], room: 'b' });
  t.strictSame(withoutValue(withoutValue(two, 'user_id', 'ann'), 'room', 'b'), { user_id: ['bob'] });
  t.strictSame(withoutValue({ user_id: ['bob'] }, 'user_id', 'bob'), {});
  t.equal(chipsOf(two).length, 3);
  t.equal(keyOf({ room: 'x', q: 'y' }), keyOf({ q: 'y', room: 'x' }));
  t.strictSame(readFilter(new URLSearchParams(keyOf(everything))), everything);
});

test('a frozen filter shows the same later', async (t) => {
  const now = Date.parse('2026-11-25T12:00:00Z');
  t.strictSame(frozen({ room: 'a', from: '-24h' }, now), {
    room: 'a',
    from: '2026-11-24T12:00:00.000Z',
    to: '2026-11-25T12:00:00.000Z',
  });
  t.strictSame(frozen({ room: 'a' }, now), { room: 'a' }, 'all time is all time');
  t.equal(frozen({ to: '2026-11-22T10:30:00+01:00' }, now).to, '2026-11-22T10:30:00+01:00');
});

test('a day is a day of the zone, also when its clocks change', async (t) => {
  const paris = new Clock('Europe/Paris');
  const now = Date.parse('2026-10-26T08:00:00Z');
  t.strictSame(dayInterval(paris, now, 1), {
    from: '2026-10-25T00:00:00+02:00',
    to: '2026-10-26T00:00:00+01:00',
  });
  t.equal(intervalWords({}, paris), 'All time');
  t.equal(intervalWords({ from: '-24h' }, paris), 'Last 24 hours');
  t.equal(intervalWords({ from: 'nonsense', to: '-1h' }, paris), 'nonsense – 1 hour ago');
});

test('names are offered first, then values with their counts', async (t) => {
  const actions = [{ action: 'JOINED', description: 'A user entered a room.' }];
  const facets = { user_id: { counts: [{ value: 'ann', count: 1_204 }], isComplete: true } };
  t.match(suggestionsOf('', actions, facets)[0], { text: 'action:', isOpen: true });
  t.strictSame(suggestionsOf('user_id:A', actions, facets), [
    { text: 'user_id:ann', hint: '1,204', isOpen: false },
  ]);
  t.match(suggestionsOf('action:joi', actions, facets)[0], { text: 'action:JOINED', hint: /entered/ });
  t.equal(suggestionsOf('hello', actions, facets)[0]?.text, 'q:"hello"');
});
