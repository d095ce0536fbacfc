import { test } from 'tap';
import { actionNames } from '../../../src/core/actions.ts';
import { bitOf, fields, questionOf } from '../../../src/core/search/terms.ts';

test('no two actions have the same bit, so that a mask tells them apart', async (t) => {
  const bits = new Map<number, string[]>();
  for (const name of actionNames) bits.set(bitOf(name), [...(bits.get(bitOf(name)) ?? []), name]);
  t.strictSame(
    [...bits.values()].filter((names) => names.length > 1),
    [],
  );
  // What is on disk was made with these: another hash needs another index.
  t.equal(bitOf('MESSAGE_SENT'), 42);
  t.equal(bitOf('lobby'), 61);
});

test('a filter asks for each of its columns, and for either one of involves', async (t) => {
  const number = (column: string) => fields.find((field) => field.column === column)?.number;
  const { all, actions, rooms } = questionOf({
    action: ['JOINED', 'LEFT'],
    room: 'lobby',
    involves: 'alice',
    from: { secondsAgo: 60 },
    q: 'hi',
  });
  t.strictSame(all, [
    [{ field: number('action'), values: ['JOINED', 'LEFT'] }],
    [{ field: number('room'), values: ['lobby'] }],
    [
      { field: number('user_id'), values: ['alice'] },
      { field: number('target_user_id'), values: ['alice'] },
    ],
  ]);
  t.equal(BigInt.asUintN(64, actions ?? 0n), (1n << BigInt(bitOf('JOINED'))) | (1n << BigInt(bitOf('LEFT'))));
  t.equal(BigInt.asUintN(64, rooms ?? 0n), 1n << BigInt(bitOf('lobby')));
  t.strictSame(questionOf({ from: { secondsAgo: 60 } }), { all: [], actions: undefined, rooms: undefined });
});
