import { test } from 'tap';
import { build } from './support/app.ts';
import { until } from './support/client.ts';
import { differences, FaithfulReader } from './support/event-stream.ts';

const TEXTS = ['ΟΔΟΣ', 'οδός', 'İstanbul', '50% off_\\', 'plain', '😀 hello', 'HELLO \u212A', '\n\n'];
const USERS = ['alice', 'bob', 'carol'];
const ROOMS = ['a', 'b'];
const WRITERS = 6;

const FILTERS = [
  '',
  'action=MESSAGE_SENT',
  'user_id=alice',
  'user_id=bob&action=JOINED&action=LEFT',
  'room=b',
  'involves=carol',
  `q=${encodeURIComponent('οδοσ')}`,
  `q=${encodeURIComponent('%')}&room=b`,
  'q=HELLO&user_id=alice&user_id=carol',
  'user_id=nobody',
];

test('under load, over two instances, cut at any moment, each stream shows what its filter gives afterwards', {
  timeout: 120_000,
}, async (t) => {
  const first = await build(t, { LIMIT_STREAMS_PER_USER: '0' });
  const second = await build(t, { DATABASE_URL: first.databaseUrl, LIMIT_STREAMS_PER_USER: '0' });
  let written = 0;
  let writing = true;
  async function write(number: number): Promise<void> {
    const { audit } = [first, second][number % 2]?.app ?? first.app;
    for (let n = number; writing; n += 1) {
      const user_id = USERS[n % USERS.length] ?? '';
      const room = ROOMS[n % ROOMS.length] ?? '';
      if (n % 10 === 0) await audit.record({ action: n % 20 === 0 ? 'JOINED' : 'LEFT', user_id, room });
      else if (n % 25 === 1) {
        const details = { reason: null };
        await audit.record({ action: 'USER_KICKED', user_id, target_user_id: 'carol', details });
      } else {
        const message = TEXTS[(n * 7) % TEXTS.length] ?? '';
        await audit.record({ action: 'MESSAGE_SENT', user_id, room, message });
      }
      written += 1;
    }
  }
  const writers = Array.from({ length: WRITERS }, (_, number) => write(number));
  const readers = FILTERS.map((filter) => new FaithfulReader(t, [first.url, second.url], filter));
  await until('all read', () => readers.every((reader) => reader.isOpen));
  for (let round = 0; round < 12; round += 1) {
    const goal = written + 100 + round * 37;
    await until('more is written', () => written >= goal, 60_000);
    // Some at once, some as soon as they have come back, some after they have read for a while.
    for (const [index, reader] of readers.entries()) {
      if ((index + round) % 3 !== 0) continue;
      reader.cut();
      await until('it is back', () => reader.isOpen);
      if (round % 2 === 0) reader.cut();
    }
  }
  writing = false;
  await Promise.all(writers);
  const to = new Date().toISOString();
  await Promise.all(readers.map((reader) => reader.finish(to)));
  for (const reader of readers) {
    const log = await first.events(`${reader.query}&to=${to}`);
    t.strictSame(differences(reader, log), [], reader.query);
    t.equal(reader.resets, 0);
    t.ok(reader.cuts >= 5, `${reader.events.length} events over ${reader.opened} connections`);
  }
  t.ok(written > 1_500, `${written} events`);
});
