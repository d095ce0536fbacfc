import { test } from 'tap';
import { Rooms } from '../../src/core/rooms.ts';

test('members stand in the order in which they came, each once', async (t) => {
  const rooms = new Rooms<string>();
  for (const member of ['carol', 'alice', 'bob', 'alice']) rooms.add('lobby', member);
  rooms.add('trading', 'alice');
  t.strictSame([...rooms.members('lobby')], ['carol', 'alice', 'bob']);
  t.strictSame([...rooms.members('trading')], ['alice']);
  t.strictSame([...rooms.members('Lobby')], []);
});

test('who leaves one room stays in the others, and may come back', async (t) => {
  const rooms = new Rooms<string>();
  rooms.add('lobby', 'alice');
  rooms.add('lobby', 'bob');
  rooms.add('trading', 'alice');
  rooms.remove('lobby', 'alice');
  t.strictSame([...rooms.members('lobby')], ['bob']);
  t.strictSame([...rooms.members('trading')], ['alice']);
  rooms.add('lobby', 'alice');
  t.strictSame([...rooms.members('lobby')], ['bob', 'alice']);
});

test('removing who is not there does nothing', async (t) => {
  const rooms = new Rooms<string>();
  rooms.remove('lobby', 'alice');
  rooms.add('lobby', 'bob');
  rooms.remove('lobby', 'alice');
  t.strictSame([...rooms.members('lobby')], ['bob']);
});

test('a room that was left by all begins anew', async (t) => {
  const rooms = new Rooms<string>();
  rooms.add('lobby', 'alice');
  const before = rooms.members('lobby');
  rooms.remove('lobby', 'alice');
  t.equal(rooms.members('lobby').size, 0);
  rooms.add('lobby', 'bob');
  t.strictSame([...rooms.members('lobby')], ['bob']);
  t.not(rooms.members('lobby'), before, 'the empty room was not kept');
});

test('members may leave while they are gone through', async (t) => {
  const rooms = new Rooms<number>();
  for (let member = 0; member < 5; member += 1) rooms.add('lobby', member);
  const seen: number[] = [];
  for (const member of rooms.members('lobby')) {
    seen.push(member);
    rooms.remove('lobby', member);
  }
  t.strictSame(seen, [0, 1, 2, 3, 4]);
  t.equal(rooms.members('lobby').size, 0);
});
