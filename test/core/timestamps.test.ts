import { test } from 'tap';
import { formatMilliseconds, parseInstant } from '../../src/core/timestamps.ts';

test('an instance’s clock is written in the form of the log', async (t) => {
  t.equal(formatMilliseconds(0), '1970-01-01T00:00:00.000000Z');
  t.equal(formatMilliseconds(1_795_339_800_123), '2026-11-22T09:30:00.123000Z');
});

test('a date-time with an offset is the same instant in UTC, with its microseconds', async (t) => {
  for (const [text, at] of [
    ['2026-11-22T09:30:00Z', '2026-11-22T09:30:00.000000Z'],
    ['2026-11-22t09:30:00z', '2026-11-22T09:30:00.000000Z'],
    ['2026-11-22T09:30:00.1Z', '2026-11-22T09:30:00.100000Z'],
    ['2026-11-22T09:30:00.123456Z', '2026-11-22T09:30:00.123456Z'],
    ['2026-11-22T09:30:00.000001+00:00', '2026-11-22T09:30:00.000001Z'],
    ['2026-11-22T09:30:00-00:00', '2026-11-22T09:30:00.000000Z'],
    ['2026-11-22T09:30:00+01:00', '2026-11-22T08:30:00.000000Z'],
    ['2026-11-22T09:30:00-05:30', '2026-11-22T15:00:00.000000Z'],
    ['2026-11-22T00:30:00.999999+05:45', '2026-11-21T18:45:00.999999Z'],
    ['2026-01-01T00:00:00+23:59', '2025-12-31T00:01:00.000000Z'],
    ['2026-12-31T23:59:59-23:59', '2027-01-01T23:58:59.000000Z'],
    ['2024-02-29T00:00:00Z', '2024-02-29T00:00:00.000000Z'],
    ['2000-02-29T00:00:00Z', '2000-02-29T00:00:00.000000Z'],
    ['1970-01-01T00:00:00Z', '1970-01-01T00:00:00.000000Z'],
    ['9999-12-31T23:59:59.999999Z', '9999-12-31T23:59:59.999999Z'],
  ] as const) {
    t.strictSame(parseInstant(text), { at }, text);
  }
});

test('what is not an RFC 3339 date-time of the years 1970 to 9999 is no instant', async (t) => {
  for (const text of [
    '',
    ' ',
    'now',
    'infinity',
    '-infinity',
    'epoch',
    'today',
    '1700000000',
    '2026-11-22',
    '09:30:00Z',
    '2026-11-22T09:30:00',
    '2026-11-22T09:30Z',
    '2026-11-22 09:30:00Z',
    '2026-11-22T09:30:00 01:00',
    '2026-11-22T09:30:00+0100',
    '2026-11-22T09:30:00+01',
    '2026-11-22T09:30:00+24:00',
    '2026-11-22T09:30:00+01:60',
    '2026-11-22T09:30:00ZZ',
    ' 2026-11-22T09:30:00Z',
    '2026-11-22T09:30:00Z\n',
    '2026-11-22T09:30:00.Z',
    '2026-11-22T09:30:00,5Z',
    '2026-11-22T09:30:00.1234567Z',
    '2026-W47-7T09:30:00Z',
    '２026-11-22T09:30:00Z',
    // no such time
    '2026-11-22T24:00:00Z',
    '2026-11-22T09:60:00Z',
    '2026-11-22T09:30:61Z',
    // a leap second
    '2016-12-31T23:59:60Z',
    // no such day
    '2026-02-30T00:00:00Z',
    '2026-02-29T00:00:00Z',
    '1900-02-29T00:00:00Z',
    '2026-04-31T00:00:00Z',
    '2026-01-00T00:00:00Z',
    '2026-01-32T00:00:00Z',
    '2026-00-10T00:00:00Z',
    '2026-13-01T00:00:00Z',
    // years that the four-digit form, Postgres or Date do not hold without surprise
    '0000-01-01T00:00:00Z',
    '0070-01-01T00:00:00Z',
    '1969-12-31T23:59:59Z',
    '1970-01-01T00:00:00+00:01',
    '9999-12-31T23:59:59-00:01',
    '10000-01-01T00:00:00Z',
    '294277-01-01T00:00:00Z',
    '+002026-11-22T09:30:00Z',
    '-2026-11-22T09:30:00Z',
  ]) {
    t.equal(parseInstant(text), undefined, JSON.stringify(text));
  }
});

test('a span is so many seconds before now', async (t) => {
  for (const [text, secondsAgo] of [
    ['-0s', 0],
    ['-1s', 1],
    ['-15m', 900],
    ['-24h', 86_400],
    ['-7d', 604_800],
    ['-2w', 1_209_600],
    ['-000001m', 60],
    ['-999999s', 999_999],
    ['-999999w', 604_799_395_200],
  ] as const) {
    t.strictSame(parseInstant(text), { secondsAgo }, text);
  }
  for (const text of [
    '15m',
    '+15m',
    '-',
    '-m',
    '-15',
    '-15M',
    '-15 m',
    '-1.5h',
    '-1e3s',
    '-1000000s',
    '-1y',
    '-1ms',
    '--1s',
    '-1h30m',
    ' -1s',
    '-1s\n',
    '−1s',
    '-١s',
  ]) {
    t.equal(parseInstant(text), undefined, JSON.stringify(text));
  }
});

test('in the form of the log, order of text is order of time', async (t) => {
  const texts = [
    '1970-01-01T00:00:00Z',
    '2026-11-22T09:30:00+01:00',
    '2026-11-22T09:29:59.999999+00:00',
    '2026-11-22T09:30:00Z',
    '2026-11-22T09:30:00.000001Z',
    '2026-11-22T09:30:00.1Z',
    '2026-11-22T09:30:00.11Z',
    '9999-12-31T00:00:00Z',
  ];
  const forms = texts.map((text) => {
    const instant = parseInstant(text);
    return instant !== undefined && 'at' in instant ? instant.at : '';
  });
  t.strictSame(forms.toSorted(), forms);
});
