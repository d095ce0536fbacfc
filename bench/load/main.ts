import { closed } from './closed.ts';
import { Crowd } from './crowd.ts';
import { fanout } from './fanout.ts';
import { type Follower, startFollowing } from './follower.ts';
import { open } from './open.ts';
import type { Kind, Orders, Reader, Reply, Request } from './orders.ts';
import { startReading } from './reads.ts';

// The load generator: a process of its own, told what to do by its parent, one thing at a time.

/** The idle connections; undefined while there are none. */
let crowd: Crowd | undefined;

/** Who reads now; undefined while nobody does. */
let reader: Reader | undefined;

/** Who follows the log now; undefined while nobody does. */
let follower: Follower | undefined;

function held(): Crowd {
  if (crowd === undefined) throw new Error('No connections are held.');
  return crowd;
}

async function obey({ kind, order }: Request): Promise<Orders[Kind][1]> {
  switch (kind) {
    case 'closed':
      return closed(order);
    case 'open':
      return open(order);
    case 'fanout':
      return fanout(order);
    case 'hold': {
      const startedAt = performance.now();
      crowd = await Crowd.open(order.target, order.connections);
      return { seconds: (performance.now() - startedAt) / 1_000 };
    }
    case 'held':
      return held().state();
    case 'speak':
      return held().speak(order.speakers);
    case 'release':
      await held().release();
      crowd = undefined;
      return null;
    case 'read':
      reader = await startReading(order);
      return null;
    case 'stopReading':
      if (reader === undefined) throw new Error('Nobody reads.');
      return reader.stop();
    case 'follow':
      follower = await startFollowing(order);
      return null;
    case 'stopFollowing':
      if (follower === undefined) throw new Error('Nobody follows.');
      return follower.stop();
  }
}

process.on('message', async (request: Request) => {
  let reply: Reply;
  try {
    reply = { result: await obey(request) };
  } catch (error) {
    reply = { error: error instanceof Error ? error.message : String(error) };
  }
  process.send?.(reply);
});
// Its parent is gone, and with it everybody who could want the answer.
process.on('disconnect', () => process.exit());
