import { closed } from './closed.ts';
import { fanout } from './fanout.ts';
import { open } from './open.ts';
import type { Kind, Orders, Reply, Request } from './orders.ts';

// The load generator: a process of its own, told what to do by its parent, one thing at a time.

async function obey({ kind, order }: Request): Promise<Orders[Kind][1]> {
  switch (kind) {
    case 'closed':
      return closed(order);
    case 'open':
      return open(order);
    case 'fanout':
      return fanout(order);
    default:
      throw new Error(`The generator knows no “${kind}”.`);
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
