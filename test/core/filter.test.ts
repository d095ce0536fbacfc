import { test } from 'tap';
import { CodedError } from '../../src/core/errors.ts';
import { checkInterval, parseFilter } from '../../src/core/filter.ts';
import { thrownBy } from '../support/log.ts';

type Query = Parameters<typeof parseFilter>[0];

test('no parameter is no condition', async (t) => {
  t.strictSame(parseFilter({}), {});
});

test('values pass as given; addresses, ids and times in their one form; a value given twice counts once', async (t) => {
  t.strictSame(
    parseFilter({
      action: ['MESSAGE_SENT', 'JOINED', 'MESSAGE_SENT'],
      user_id: ['bob', 'Alice', 'bob', 'alice'],
      target_user_id: ' carol ',
      involves: 'dave',
      room: 'Trading',
      session_id: '0B8F8A4E-9D3B-4C43-8A60-5A3D9F1F3C11',
      ip: '::FFFF:10.0.0.1',
      q: ' 100%_\\ ',
      from: '2026-11-22T09:30:00+01:00',
      to: '-15m',
    }),
    {
      action: ['MESSAGE_SENT', 'JOINED'],
      user_id: ['bob', 'Alice', 'alice'],
      target_user_id: ' carol ',
      involves: 'dave',
      room: 'Trading',
      session_id: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
      ip: '10.0.0.1',
      q: ' 100%_\\ ',
      from: { at: '2026-11-22T08:30:00.000000Z' },
      to: { secondsAgo: 900 },
    },
  );
});

test('a value that cannot be meant is refused, and the parameter is named', async (t) => {
  const cases: [parameter: string, query: Query][] = [
    ['user_id', { user_id: ['alice', ''] }],
    ['user_id', { user_id: ['a\nb'] }],
    ['user_id', { user_id: ['x'.repeat(129)] }],
    ['target_user_id', { target_user_id: 'a\0' }],
    ['involves', { involves: '\ud800' }],
    ['room', { room: 'é'.repeat(65) }],
    ['room', { room: '' }],
    ['ip', { ip: 'localhost' }],
    ['ip', { ip: '10.0.0.1%eth0' }],
    ['ip', { ip: '10.0.0.0/8' }],
    ['q', { q: 'a\0' }],
    ['q', { q: '\ud83d' }],
    ['from', { from: 'yesterday' }],
    ['from', { from: '' }],
    ['to', { to: 'infinity' }],
    ['to', { from: '-1h', to: '2026-02-30T00:00:00Z' }],
  ];
  for (const [parameter, query] of cases) {
    const error = thrownBy(() => parseFilter(query));
    t.type(error, CodedError);
    t.match(error, { code: 'invalid_parameter', parameter, status: 400 }, JSON.stringify(query));
  }
});

test('a plus sign that became a blank on its way is explained', async (t) => {
  const hint = /%2B/;
  t.match(
    thrownBy(() => parseFilter({ from: '2026-11-22T09:30:00 01:00' })),
    { message: hint },
  );
  t.match(
    thrownBy(() => parseFilter({ to: '2026-11-22t09:30:00.5 01:00' })),
    { message: hint },
  );
  t.notMatch(
    thrownBy(() => parseFilter({ from: '2026-11-22 09:30:00Z' })),
    { message: hint },
  );
});

test('an interval that ends where it starts, or before, is refused', async (t) => {
  const early = '2026-11-22T09:30:00.000000Z';
  const late = '2026-11-22T09:30:00.000001Z';
  const backwards: [from: string, to: string][] = [
    [early, early],
    [late, early],
    ['2026-11-22T10:30:00+01:00', early],
    ['-5m', '-5m'],
    ['-5m', '-300s'],
    ['-5m', '-10m'],
    ['-0s', '-1s'],
  ];
  for (const [from, to] of backwards) {
    t.match(
      thrownBy(() => parseFilter({ from, to })),
      { code: 'invalid_parameter', parameter: 'from' },
      `${from} ${to}`,
    );
  }
  for (const [from, to] of [
    [early, late],
    ['2026-11-22T10:30:00+01:00', late],
    ['-10m', '-5m'],
    ['-1s', '-0s'],
    // only the database’s clock can tell these
    [late, '-999999w'],
    ['-0s', early],
  ] as const) {
    t.doesNotThrow(() => parseFilter({ from, to }), `${from} ${to}`);
  }
});

test('an interval without both ends is not checked', async (t) => {
  for (const text of ['2026-11-22T09:30:00Z', '-15m']) {
    t.strictSame(Object.keys(parseFilter({ from: text })), ['from']);
    t.strictSame(Object.keys(parseFilter({ to: text })), ['to']);
  }
  t.doesNotThrow(() => checkInterval(undefined, undefined));
  t.doesNotThrow(() => checkInterval('2', undefined));
  t.doesNotThrow(() => checkInterval(undefined, '1'));
  t.doesNotThrow(() => checkInterval('1', '2'));
  t.match(
    thrownBy(() => checkInterval('2', '2')),
    { parameter: 'from' },
  );
  t.match(
    thrownBy(() => checkInterval('2', '1')),
    { parameter: 'from' },
  );
});
