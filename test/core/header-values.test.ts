import { test } from 'tap';
import { headerValues } from '../../src/core/header-values.ts';

test('every line of a header is seen, in whatever case its name is', async (t) => {
  const raw = ['Host', 'a', 'Origin', 'https://one', 'ORIGIN', 'https://two', 'x', 'origin'];
  t.strictSame(headerValues(raw, 'origin'), ['https://one', 'https://two']);
  t.strictSame(headerValues(raw, 'host'), ['a']);
  t.strictSame(headerValues(raw, 'authorization'), []);
  t.strictSame(headerValues([], 'host'), []);
});
