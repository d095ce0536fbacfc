import { until } from '../support/client.ts';
import type { World } from './world.ts';

/** A fault strikes before the database has done what it was asked for, or after it has, but before it said so. */
export type Moment = 'before' | 'after';

/**
 * Strikes while an append is under way: `before`, with the request held in the proxy; `after`, with the batch
 * committed and the answer held back. What was under way on the proxy's connections is lost either way.
 */
export async function atNextAppend(
  world: World,
  moment: Moment,
  strike: () => Promise<unknown>,
): Promise<void> {
  const { proxy } = world;
  const { promise: asked, resolve } = Promise.withResolvers<void>();
  proxy.onRequest('audit_append', () => {
    proxy.setMode('hold');
    resolve();
  });
  await asked;
  if (moment === 'after') {
    const [last] = await world.sql<{ seq: string }>('select max(first_seq) as seq from audit_batch');
    proxy.setMode('swallow-answers');
    await until('it is committed', async () => {
      const later = await world.sql('select 1 from audit_batch where first_seq > $1', [last?.seq]);
      return later.length > 0;
    });
  }
  await strike();
  // What was held is lost with its connections; new ones find the database as the fault has left it.
  proxy.cut();
  proxy.setMode('pass');
}
