import type { Server } from 'node:http';

/** Listens on a free port of the loopback address, and says so in the words that Minutebook uses. */
export function listen(server: Server): void {
  server.listen(0, '127.0.0.1', () => {
    const address = server.address();
    if (address === null || typeof address === 'string') throw new Error('The server has no port.');
    console.log(`listening on http://127.0.0.1:${address.port}`);
  });
  process.once('SIGTERM', () => process.exit(0));
}
