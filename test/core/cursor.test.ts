import { test } from 'tap';
import { type Cursor, decodeCursor, encodeCursor, filterKey } from '../../src/core/cursor.ts';
import { CodedError } from '../../src/core/errors.ts';
import { thrownBy } from '../support/log.ts';

const KEY = Buffer.from('0123456789abcdef0123456789abcdef');
const FILTERS = filterKey({ room: 'lobby' });
const EPOCH = 'b9b1f8a4-9d3b-4c43-8a60-5a3d9f1f3c11';
const expected = { epoch: EPOCH, order: 'asc', filters: FILTERS } as const;
const cursor: Cursor = {
  ...expected,
  seq: 41,
  from: '2026-11-22T09:30:00.123456Z',
  to: '2026-11-22T10:30:00.000000Z',
  head: 99,
};

test('a cursor comes back as it was made', async (t) => {
  const cursors: Cursor[] = [
    cursor,
    { ...cursor, order: 'desc', head: undefined },
    { ...cursor, seq: -1, from: undefined, to: undefined },
    { ...cursor, seq: 0, head: 0, to: undefined },
    { ...cursor, seq: Number.MAX_SAFE_INTEGER, from: undefined },
  ];
  for (const one of cursors) {
    const text = encodeCursor(KEY, one);
    t.match(text, /^[\w.-]{1,1024}$/, 'it needs no escapes in a URL, and passes its own schema');
    t.strictSame(decodeCursor(KEY, text, { ...expected, order: one.order }), one);
  }
  const { seq } = cursor;
  t.strictSame(decodeCursor(KEY, encodeCursor(KEY, { ...expected, seq }), expected), {
    ...expected,
    seq,
    from: undefined,
    to: undefined,
    head: undefined,
  });
});

test('cursors that are out in the world outlive an upgrade', async (t) => {
  const filters = filterKey({ room: 'lobby', action: ['MESSAGE_SENT', 'JOINED'], from: '-1h' });
  t.equal(filters, 'bqvenvRv7Wuh_ICRCPjviL');
  const text =
    'WzEsImUtMSIsImQiLCJicXZlbnZSdjdXdWhfSUNSQ1BqdmlMIiw0MSwiMjAyNi0xMS0yMlQwOTozMDowMC4xMjM0NTZaIixudWxsLG51bGxd' +
    '.8yIpN2T5gJZXdgj6GW0rGA';
  const old: Cursor = { epoch: 'e-1', order: 'desc', filters, seq: 41, from: '2026-11-22T09:30:00.123456Z' };
  t.equal(encodeCursor(KEY, old), text);
  t.match(decodeCursor(KEY, text, { epoch: 'e-1', order: 'desc', filters }), old);
});

/** The texts for which decoding does anything but refuse the cursor. */
const notRefused = (texts: Iterable<string>): string[] => {
  const through: string[] = [];
  for (const text of texts) {
    try {
      decodeCursor(KEY, text, expected);
      through.push(text);
    } catch (error) {
      const { code, parameter } = error as CodedError;
      if (code !== 'invalid_cursor' || parameter !== 'cursor') through.push(`${text}: ${String(error)}`);
    }
  }
  return through;
};

test('every change of a single character is refused', async (t) => {
  const text = encodeCursor(KEY, cursor);
  const characters = [...'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ \0é漢'];
  const changed = new Set<string>();
  for (let at = 0; at <= text.length; at += 1) {
    changed.add(text.slice(0, at) + text.slice(at + 1));
    for (const character of characters) {
      changed.add(text.slice(0, at) + character + text.slice(at + 1));
      changed.add(text.slice(0, at) + character + text.slice(at));
    }
  }
  changed.delete(text);
  t.ok(changed.size > 10_000);
  t.strictSame(notRefused(changed), []);
});

test('what no log ever made is refused', async (t) => {
  const text = encodeCursor(KEY, cursor);
  const [payload = '', mac = ''] = text.split('.');
  t.strictSame(
    notRefused([
      '',
      '.',
      '..',
      payload,
      mac,
      `.${mac}`,
      `${payload}.`,
      `${mac}.${payload}`,
      `${text}.`,
      `${text}.${mac}`,
      `${payload}.${'é'.repeat(mac.length)}`,
      `${payload}.${'😀'.repeat(mac.length / 2)}`,
      encodeCursor(Buffer.alloc(32), cursor),
      'null',
      '{}',
      '41',
      'x'.repeat(1024),
    ]),
    [],
  );
});

test('a cursor of another history, order or filter is refused, and the reason told', async (t) => {
  const text = encodeCursor(KEY, cursor);
  for (const [other, message] of [
    [{ epoch: 'another' }, /epoch/],
    [{ order: 'desc' as const }, /order/],
    [{ filters: filterKey({ room: 'other' }) }, /filters/],
    [{ filters: filterKey({}) }, /filters/],
  ] as const) {
    const error = thrownBy(() => decodeCursor(KEY, text, { ...expected, ...other }));
    t.type(error, CodedError);
    t.match(error, { code: 'invalid_cursor', parameter: 'cursor', status: 400, message });
  }
  const down = encodeCursor(KEY, { ...cursor, order: 'desc' });
  t.match(
    thrownBy(() => decodeCursor(KEY, down, expected)),
    { code: 'invalid_cursor', message: /order/ },
  );
});

test('the key of a set of filters tells apart what selects other events, and nothing else', async (t) => {
  const key = filterKey({ room: 'a', user_id: ['x', 'y'], from: '-1h' });
  t.match(key, /^[\w-]{22}$/);
  t.equal(filterKey({ from: '-1h', user_id: ['x', 'y'], room: 'a', to: undefined }), key, 'order of names');
  for (const other of [
    {},
    { room: 'a' },
    { room: 'a', user_id: ['x', 'y'], from: '-2h' },
    { room: 'a', user_id: ['x', 'y'], to: '-1h' },
    { room: 'a', user_id: ['x'], from: '-1h' },
    { room: 'a', user_id: 'x,y', from: '-1h' },
    { room: 'b', user_id: ['x', 'y'], from: '-1h' },
  ]) {
    t.not(filterKey(other), key, JSON.stringify(other));
  }
});
