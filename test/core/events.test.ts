import { test } from 'tap';
import { CodedError } from '../../src/core/errors.ts';
import { type Draft, placeEvent, prepareEvent } from '../../src/core/events.ts';
import { thrownBy, untypedDraft } from '../support/log.ts';

const KIB = 1024;
const MIB = 1024 * KIB;
const NOW = Date.UTC(2026, 10, 22, 9, 30, 0, 123);
const prepare = (draft: Draft) => prepareEvent(draft, 'host-1', NOW);
const prepareDetails = (details: unknown) => prepare(untypedDraft({ action: 'JOINED', details }));

test('what the caller leaves out is null, and what the instance knows is filled in', async (t) => {
  t.strictSame(prepare({ action: 'JOINED' }), {
    event: {
      seq: -1,
      timestamp: '',
      occurred_at: '2026-11-22T09:30:00.123000Z',
      action: 'JOINED',
      user_id: null,
      message: null,
      room: null,
      session_id: null,
      target_user_id: null,
      instance: 'host-1',
      ip: null,
      erased_by: null,
      details: {},
    },
    detailsJson: null,
    bytes: 200,
  });
});

test('what the caller says is kept as said', async (t) => {
  const said = {
    action: 'DISCONNECTED',
    user_id: 'álice',
    message: ' 漢字 😀\n\u2028',
    room: 'lobby',
    session_id: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
    target_user_id: 'bob',
    ip: '::1',
    details: { code: 1000, reason: 'é', duration_ms: 0, rooms: ['a', 'b'] },
  } as const satisfies Omit<Draft, 'details'> & { details: unknown };
  const { event, detailsJson, bytes } = prepare(untypedDraft(said));
  t.match(event, said);
  t.equal(detailsJson, JSON.stringify(said.details));
  const texts = Buffer.byteLength(said.message) + Buffer.byteLength(JSON.stringify(said.details));
  t.ok(bytes >= 200 + texts, 'its weight is no less than its texts in UTF-8');
});

test('a draft that would fail its whole batch is refused before it is queued', async (t) => {
  for (const [field, draft] of [
    ['action', { action: 'SHOUTED' }],
    ['action', { action: 'toString' }],
    ['user_id', { user_id: '' }],
    ['user_id', { user_id: 'a\0' }],
    ['user_id', { user_id: 'x'.repeat(129) }],
    ['target_user_id', { target_user_id: '\ud800' }],
    ['target_user_id', { target_user_id: 'a\n' }],
    ['room', { room: 'é'.repeat(65) }],
    ['room', { room: '' }],
    ['message', { message: 'a\0b' }],
    ['message', { message: 'a\ud83d' }],
  ] as const) {
    const error = thrownBy(() => prepare(untypedDraft({ action: 'JOINED', ...draft })));
    t.type(error, CodedError);
    t.match(error, { code: 'invalid_text', message: new RegExp(`its ${field} `) }, JSON.stringify(draft));
  }
});

test('details that the database cannot keep are refused', async (t) => {
  const cycle: Record<string, unknown> = {};
  cycle.self = cycle;
  for (const [name, details] of Object.entries({
    NUL: { a: '\0' },
    'a lone surrogate': { a: ['x', { b: '\udc00' }] },
    'NUL in a key': { 'a\0': 1 },
    'a lone surrogate in a key inside': { a: { '\ud800': 1 } },
    'not a number': { a: Number.NaN },
    infinity: { a: [1, Number.NEGATIVE_INFINITY] },
    undefined: { a: undefined },
    'a function': { a: () => {} },
    'a bigint': { a: 1n },
    'a symbol': { a: Symbol('a') },
    'a circle': cycle,
    'what nests nine deep': { 1: { 2: { 3: { 4: { 5: { 6: { 7: { 8: { 9: 1 } } } } } } } } },
    'arrays that nest nine deep': { 1: [[[[[[[[1]]]]]]]] },
  })) {
    t.match(
      thrownBy(() => prepareDetails(details)),
      { code: 'invalid_text', message: /details/ },
      name,
    );
  }
});

test('details that are JSON are kept', async (t) => {
  for (const details of [
    { a: null, b: true, c: false, d: 0, e: -1.5, f: '', g: '😀\n', h: [], i: {} },
    { 1: { 2: { 3: { 4: { 5: { 6: { 7: { 8: 1 } } } } } } } },
    { 1: [[[[[[[1]]]]]]] },
    { '': '' },
    { user_agent: null },
  ]) {
    const { event, detailsJson } = prepareDetails(details);
    t.strictSame(event.details, details);
    t.equal(detailsJson, JSON.stringify(details));
  }
  t.equal(prepareDetails({}).detailsJson, null, 'and none are none');
});

test('texts up to the limit are taken, counted in bytes; beyond they are too large', async (t) => {
  const largest = prepare({ action: 'MESSAGE_SENT', message: 'é'.repeat(MIB / 2) });
  t.equal(largest.bytes, 200 + MIB);
  t.match(
    thrownBy(() => prepare({ action: 'MESSAGE_SENT', message: `${'é'.repeat(MIB / 2)}x` })),
    { code: 'too_large', status: 413 },
  );
  const frame = JSON.stringify({ a: '' }).length;
  t.equal(prepareDetails({ a: 'x'.repeat(32 * KIB - frame) }).bytes, 200 + 32 * KIB);
  t.match(
    thrownBy(() => prepareDetails({ a: 'x'.repeat(32 * KIB - frame + 1) })),
    { code: 'too_large', message: /details/ },
  );
  t.match(
    thrownBy(() => prepareDetails({ a: 'é'.repeat(16 * KIB - 2) })),
    { code: 'too_large' },
  );
});

test('the commit gives an event its number and time', async (t) => {
  const pending = prepare({ action: 'MESSAGE_SENT', message: 'hi' });
  const { occurred_at } = pending.event;
  t.match(placeEvent(pending, 7, '2026-11-22T09:30:01.000001Z'), {
    seq: 7,
    timestamp: '2026-11-22T09:30:01.000001Z',
    occurred_at,
    message: 'hi',
  });
});
