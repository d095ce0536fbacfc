import { actionNames } from '../../src/core/actions.ts';
import { addresses, needles, players, rooms, users } from '../seed/cast.ts';
import type { LogFacts } from './facts.ts';

/** A query string, by name; a list is a name given more than once. */
export type Query = Record<string, string | readonly string[]>;

/** How often what is asked for is there. */
export type Kind = 'common' | 'rare' | 'single' | 'never';
const kinds: readonly Kind[] = ['common', 'rare', 'single', 'never'];

/** Which page: by how much of the log is newer than what it begins with. */
export type Place = 'first' | 'middle' | 'end';
const everyPlace: readonly Place[] = ['first', 'middle', 'end'];

/**
 * How long it may take: `fast` is any one filter, and any pair of action, user, room and time; `bounded` all others,
 * which may also answer `too_slow`.
 */
export type Bound = 'fast' | 'bounded';

/** Something that is asked. */
export type Case = {
  part: 'filters' | 'pairs' | 'total' | 'traps';
  name: string;
  query: Query;
  places: readonly Place[];
  bound: Bound;
};

export const filterNames = [
  ...['action', 'user_id', 'target_user_id', 'involves', 'room', 'session_id', 'ip', 'time', 'q'],
] as const;

/** What each filter is asked by, and by how common a value. What a log has none of is left out. */
export function valuesOf({
  times,
  sessions,
  target,
}: LogFacts): Record<string, Partial<Record<Kind, Query>>> {
  const each = (name: string, values: Partial<Record<Kind, string>>, list = false) =>
    Object.fromEntries(
      Object.entries(values).map(([kind, value]) => [kind, { [name]: list ? [value] : value }]),
    );
  const { third: common, rare, single, never } = users;
  return {
    action: each(
      'action',
      { common: 'MESSAGE_SENT', rare: 'USER_BANNED', single: 'EPOCH_STARTED', never: 'HOLD_PLACED' },
      true,
    ),
    user_id: each('user_id', { common, rare, single, never }, true),
    target_user_id: each('target_user_id', { common: users.target, rare: target, never }),
    involves: each('involves', { common, rare, single, never }),
    room: each('room', pick(rooms)),
    session_id: each('session_id', { ...sessions, never: '00000000-0000-4000-8000-000000000000' }),
    ip: each('ip', pick(addresses)),
    time: times,
    q: each('q', pick(needles)),
  };
}

const pick = (values: Record<Kind, string>): Record<Kind, string> => ({
  common: values.common,
  rare: values.rare,
  single: values.single,
  never: values.never,
});

const exact = new Set(['action', 'user_id', 'target_user_id', 'room', 'session_id', 'ip', 'time']);
const fastInPairs = new Set(['action', 'user_id', 'room', 'time']);

/** A short time has one page. */
const placesOf = (query: Query, times: LogFacts['times']): readonly Place[] =>
  query.from === undefined || query.from === times.common.from ? everyPlace : ['first'];

function filters(facts: LogFacts): Case[] {
  const values = valuesOf(facts);
  return filterNames.flatMap((name) =>
    kinds.flatMap((kind): Case[] => {
      const query = values[name]?.[kind];
      if (query === undefined) return [];
      return [
        {
          part: 'filters',
          name: `${name} ${kind}`,
          query,
          places: placesOf(query, facts.times),
          bound: exact.has(name) ? 'fast' : 'bounded',
        },
      ];
    }),
  );
}

/** Of each pair: how common the first value is, and how common the second. */
const pairKinds: readonly (readonly [Kind, Kind])[] = [
  ['common', 'common'],
  ['rare', 'common'],
  ['common', 'rare'],
  ['never', 'common'],
];

function pairs(facts: LogFacts): Case[] {
  const values = valuesOf(facts);
  return filterNames.flatMap((one, index) =>
    filterNames.slice(index + 1).flatMap((other) =>
      pairKinds.map(([kind, otherKind]): Case => {
        const query = { ...values[one]?.[kind], ...values[other]?.[otherKind] };
        return {
          part: 'pairs',
          name: `${one} ${kind}, ${other} ${otherKind}`,
          query,
          places: placesOf(query, facts.times),
          bound: fastInPairs.has(one) && fastInPairs.has(other) ? 'fast' : 'bounded',
        };
      }),
    ),
  );
}

function totals(facts: LogFacts): Case[] {
  const values = valuesOf(facts);
  const total = (name: string, query: Query): Case => ({
    part: 'total',
    name: `total, ${name}`,
    query: { ...query, total: 'exact' },
    places: ['first'],
    bound: 'bounded',
  });
  const some = filterNames.flatMap((name) =>
    (['common', 'rare'] as const).map((kind) => total(`${name} ${kind}`, values[name]?.[kind] ?? {})),
  );
  return [total('no filter', {}), ...some];
}

/** As many values of one name as there may be. */
const MANY = 50;
const usersFrom = (first: number): string[] => Array.from({ length: MANY }, (_, n) => `user-${first + n}`);

/** What a planner, or an index, could go wrong with. */
function traps({ times, early }: LogFacts): Case[] {
  const message = { action: ['MESSAGE_SENT'] };
  const cases: readonly (readonly [name: string, query: Query, bound?: Bound])[] = [
    ['no filter', {}],
    ['a rare user, all long ago', { user_id: [users.rare] }],
    ['a busy user who never did a common action', { user_id: [users.silent], ...message }],
    ['a busy user who was never in a busy room', { user_id: [users.third], room: rooms.common }],
    ['a busy room and an action that is never in a room', { room: rooms.common, action: ['AUDIT_READ'] }],
    ['50 busy users', { user_id: usersFrom(players.length) }],
    [
      '50 busy users who share no event with an action',
      { user_id: usersFrom(players.length), action: ['AUDIT_READ'] },
    ],
    ['50 users that are not there', { user_id: usersFrom(9_000_000) }],
    ['every action', { action: actionNames }],
    ['the far past, a rare user', { ...early.with, user_id: [users.rare] }],
    ['the far past before a rare user', { ...early.before, user_id: [users.rare] }],
    ['the far past, two that never meet', { ...early.with, user_id: [users.silent], ...message }],
    ['the last hour, a rare user', { from: '-1h', user_id: [users.rare] }],
    [
      'user, action and room, all common',
      { user_id: [users.third], room: rooms.third, ...message },
      'bounded',
    ],
    [
      'user, action and room, none together',
      { user_id: [users.silent], room: rooms.third, ...message },
      'bounded',
    ],
    ['a text of one letter', { q: 'e' }, 'bounded'],
    ['a text that is there once, in a third of the time', { ...times.common, q: needles.single }, 'bounded'],
    ['a text in Thai', { q: needles.thai }, 'bounded'],
    ['a text that its room never had', { q: needles.rare, room: rooms.common }, 'bounded'],
  ];
  return cases.map(([name, query, bound = 'fast']) => ({
    part: 'traps',
    name,
    query,
    places: placesOf(query, times),
    bound,
  }));
}

/** Everything that is asked of a log. */
export const casesOf = (facts: LogFacts): Case[] => [
  ...traps(facts),
  ...filters(facts),
  ...pairs(facts),
  ...totals(facts),
];
