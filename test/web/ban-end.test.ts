import { test } from 'tap';
import { Clock } from '../../web/common/time.ts';
import { banEnd } from '../../web/console/sessions/ban-end.ts';

const paris = new Clock('Europe/Paris');
const now = Date.parse('2026-10-24T12:00:00Z');

test('a ban ends so long from now, at a time by the clock that is shown, or when it is lifted', async (t) => {
  t.strictSame(banEnd('1h', '', paris, now), { until: '2026-10-24T13:00:00.000Z' });
  t.strictSame(banEnd('1d', '', paris, now), { until: '2026-10-25T12:00:00.000Z' }, '24 hours, also of 25');
  t.strictSame(banEnd('date', '2026-10-26T09:00', paris, now), { until: '2026-10-26T08:00:00.000Z' });
  t.strictSame(banEnd('date', '2026-10-26T09:00', new Clock('UTC'), now), {
    until: '2026-10-26T09:00:00.000Z',
  });
  t.strictSame(banEnd('lifted', '2026-10-26T09:00', paris, now), { until: undefined });
});

test('an end that is past or missing is told', async (t) => {
  t.match(banEnd('date', '2026-10-24T13:59', paris, now), { fault: /future/ });
  t.match(banEnd('date', '', paris, now), { fault: /Say when/ });
});
