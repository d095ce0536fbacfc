import { test } from 'tap';
import type { Action } from '../../src/core/actions.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { Clock } from '../../web/common/time.ts';
import { durationWords, wordsOf } from '../../web/console/event/words.ts';
import { eventAt } from '../support/log.ts';

const paris = new Clock('Europe/Paris');

/** What is said of an event, names in brackets. */
function said(
  action: Action,
  details: AuditEvent['details'],
  fields: Partial<AuditEvent> = {},
): string | undefined {
  const event = { ...eventAt(7), user_id: 'ann', target_user_id: 'bob', action, details, ...fields };
  return wordsOf(event, paris)
    ?.map((word) => (typeof word === 'string' ? word : `[${word.name}]`))
    .join('');
}

test('what happened is said as a sentence, in which names are told apart', async (t) => {
  t.equal(said('MESSAGE_SENT', {}), '[ann] said in [lobby]:');
  t.equal(
    said('DISCONNECTED', { code: 1000, reason: 'bye', duration_ms: 7_500_000, rooms: [], room_count: 0 }),
    '[ann] was disconnected after 2 h 5 min (1000, [bye]).',
  );
  const since = '2026-11-22T09:30:00.123456Z';
  t.equal(
    said('MESSAGE_REFUSED', { code: 'rate_limited', count: 1_200, since }),
    'What [ann] sent was refused: rate_limited, 1,200 times.',
  );
  t.equal(
    said(
      'ACCESS_DENIED',
      { code: 'forbidden', count: 1, since, method: 'GET', route: '/audit' },
      { user_id: null },
    ),
    'Somebody was denied GET [/audit]: forbidden.',
  );
  t.equal(said('USER_KICKED', { reason: null }), '[ann] ended a session of [bob].');
  t.equal(
    said('USER_BANNED', { reason: 'spam', until: '2026-12-01T09:00:00.000000Z' }),
    '[ann] banned [bob] until 2026-12-01 10:00 +01:00: [spam].',
  );
  t.equal(
    said('USER_BANNED', { reason: 'spam', until: null }),
    '[ann] banned [bob] until it is lifted: [spam].',
  );
  t.equal(said('HOLD_PLACED', {}), undefined, 'where the action says it all, nothing is added');
});

test('durations have two units at most', async (t) => {
  t.strictSame([0, 999, 1_000, 61_000, 3_600_000, 90_061_000].map(durationWords), [
    '0 ms',
    '999 ms',
    '1 s',
    '1 min 1 s',
    '1 h',
    '1 d 1 h',
  ]);
});
