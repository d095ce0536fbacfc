import type { Row } from '../row.ts';

export const none: Row = {
  id: '0',
  title: 'nothing happens: two servers, and clients that come and go',
  expected: 'all is well; this run is also what the checker is tried on',
  quick: true,
  world: { instances: 2 },
  strike: async (world) => {
    await world.acknowledged(60);
    world.load.participants[1]?.drop();
    world.load.participants[2]?.drop();
    await world.acknowledged(60);
  },
};
