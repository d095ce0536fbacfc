import { test } from 'tap';
import { build } from '../support/app.ts';

test('a live server says so, and a ready one names its log', async (t) => {
  const server = await build(t);
  t.strictSame(await (await server.get('/health/live', {})).json(), { status: 'live' });
  const ready = await server.get('/health/ready', {});
  t.equal(ready.status, 200);
  const { instance, epoch } = server.app.audit;
  t.strictSame(await ready.json(), { status: 'ready', instance, epoch, warnings: [] });
});
