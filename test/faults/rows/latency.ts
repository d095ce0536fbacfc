import { until } from '../../support/client.ts';
import type { Row } from '../row.ts';

/** Faults that are only slow. */
export const latency: readonly Row[] = [
  {
    id: '18a',
    title: 'the database is 200 ms further away',
    expected: 'nothing is refused; batches grow, so that as many messages go through',
    world: { proxied: true },
    strike: async (world) => {
      world.proxy.setDelay(100);
      world.onHeal(async () => world.proxy.setDelay(0));
    },
    lasts: async (world, since) => {
      await world.acknowledged(300);
      // 90 messages a second are sent; a batch a time, with one message each, would be 5.
      const perSecond = world.load.answersSince('ok', since).length / ((performance.now() - since) / 1_000);
      world.t.ok(perSecond > 60, `${Math.round(perSecond)} messages a second`);
      world.t.strictSame(world.load.answersSince('fail', since), [], 'nobody is refused');
    },
  },
  {
    id: '18b',
    title: 'the database is 2 s further away',
    expected: 'not ready; messages go through late, or are refused within 5 s',
    world: { proxied: true },
    recoversInMs: 4_000,
    strike: async (world) => {
      world.proxy.setDelay(1_000);
      world.onHeal(async () => world.proxy.setDelay(0));
    },
    lasts: async (world, since) => {
      await until('it has said that it is not ready', () => world.instance.wasUnreadySince(since));
      await world.acknowledged(20, 15_000);
    },
  },
];
