import { connect, createServer } from 'node:net';
import type { Test } from 'tap';

/** A proxy in front of a database that keeps what clients ask, message by message. */
export type Wire = {
  /** The database’s URL through it. */
  url: string;
  /** The types of the frontend messages so far: Q query, P parse, B bind, D describe, E execute, S sync. */
  types: string[];
  /** How many bytes the database has sent. */
  received: () => number;
  /** Forgets what was counted so far. */
  reset: () => void;
};

/** Counts what goes over the wire to a database (PostgreSQL, “Message Formats”), for tests that pin the cost. */
export async function wire(t: Test, databaseUrl: string): Promise<Wire> {
  const target = new URL(databaseUrl);
  const types: string[] = [];
  let received = 0;
  const server = createServer((near) => {
    const far = connect(Number(target.port), target.hostname);
    for (const socket of [near, far]) {
      socket.on('error', () => {});
      socket.on('close', () => (socket === near ? far : near).destroy());
    }
    let started = false;
    let rest = Buffer.alloc(0);
    near.on('data', (chunk: Buffer) => {
      rest = Buffer.concat([rest, chunk]);
      // The first message has a length, but no type.
      for (let typed = started ? 1 : 0; rest.length >= 4 + typed; typed = 1) {
        const end = typed + rest.readUInt32BE(typed);
        if (rest.length < end) break;
        if (typed === 1) types.push(String.fromCharCode(rest[0] ?? 0));
        started = true;
        rest = rest.subarray(end);
      }
      far.write(chunk);
    });
    far.on('data', (chunk) => {
      received += chunk.length;
      near.write(chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const url = new URL(databaseUrl);
  url.port = String((server.address() as { port: number }).port);
  return {
    url: url.href,
    types,
    received: () => received,
    reset: () => {
      types.length = 0;
      received = 0;
    },
  };
}
