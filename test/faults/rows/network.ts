import { setTimeout as delay } from 'node:timers/promises';
import { atNextAppend, setModeAtNextAppend, whileAppending } from '../moment.ts';
import { layNetwork, type Network, resetConnections, setFarEnd } from '../netns.ts';
import type { Row } from '../row.ts';
import type { World, WorldOptions } from '../world.ts';

/** A cluster behind a cable. */
const behindCable: WorldOptions = {
  cluster: async (t) => ({ network: await layNetwork(t) }),
};

const networkOf = ({ cluster }: World): Network => {
  if (cluster.network === undefined) throw new Error('this cluster has no network of its own');
  return cluster.network;
};

/** Faults of the way between the servers and their database. */
export const network: readonly Row[] = [
  {
    id: '14a',
    title: 'a black hole: nothing of what the server asks arrives, and nobody is told',
    expected: 'refused or in doubt after 5 s; the connections that stand still are not used again',
    world: { proxied: true, instances: 2 },
    refusals: ['outcome_unknown'],
    quick: true,
    // Without an append under way nothing would be in doubt.
    strike: (world) => setModeAtNextAppend(world, 'swallow-all'),
    // As when a firewall has forgotten the connections: the old ones stay dead, new ones work.
    heal: async (world) => {
      world.proxy.forget();
      world.proxy.setMode('pass');
    },
  },
  {
    id: '14b',
    title: 'half a black hole: what the server asks arrives, the answers do not',
    expected: 'in doubt after 5 s; what was committed is acknowledged late, once',
    world: { proxied: true, instances: 2 },
    refusals: ['outcome_unknown'],
    strike: (world) => setModeAtNextAppend(world, 'swallow-answers'),
    heal: async (world) => {
      world.proxy.forget();
      world.proxy.setMode('pass');
    },
  },
  {
    id: '14c',
    title: 'the database cannot be reached: connections are refused',
    expected: 'refused for certain within 5 s',
    world: { proxied: true },
    refusals: ['audit_unavailable'],
    strike: async (world) => world.proxy.setMode('refuse'),
    heal: async (world) => world.proxy.setMode('pass'),
  },
  {
    id: '15a',
    title: 'all connections to the database are reset, again and again for 3 s',
    expected: 'each batch is tried again under its number: on record once',
    world: { proxied: true, instances: 2 },
    strike: async (world) => {
      for (let turn = 0; turn < 20; turn += 1) {
        world.proxy.cut();
        await delay(150);
      }
    },
  },
  {
    id: '14d',
    title: 'the cable to the database is cut while a batch is being committed, and joined again',
    expected: 'the same with the kernel’s own TCP, which tries again later and later',
    needs: ['network namespaces'],
    world: behindCable,
    refusals: ['outcome_unknown'],
    strike: (world) =>
      whileAppending(world, async () => {
        await setFarEnd(networkOf(world), 'down');
        world.onHeal(() => setFarEnd(networkOf(world), 'up'));
      }),
  },
  {
    id: '15b',
    title: 'the kernel resets every connection to the database, ten times',
    expected: 'the same',
    needs: ['network namespaces'],
    world: behindCable,
    strike: async (world) => {
      for (let turn = 0; turn < 10; turn += 1) {
        await resetConnections(networkOf(world));
        await world.acknowledged(10);
      }
    },
  },
  {
    id: '16',
    title: 'the answer to a commit is lost, five times over',
    expected: 'recognised as durable, delivered and acknowledged once',
    quick: true,
    world: { proxied: true },
    strike: async (world) => {
      for (let turn = 0; turn < 5; turn += 1) {
        await atNextAppend(world, 'after', async () => {});
        await world.acknowledged(10);
      }
    },
  },
  {
    id: '17',
    title: 'the request to commit is lost, five times over',
    expected: 'committed once, by the next attempt',
    world: { proxied: true },
    strike: async (world) => {
      for (let turn = 0; turn < 5; turn += 1) {
        await atNextAppend(world, 'before', async () => {});
        await world.acknowledged(10);
      }
    },
  },
];
