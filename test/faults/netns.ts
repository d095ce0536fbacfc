import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { promisify } from 'node:util';
import type { Test } from 'tap';

const run = promisify(execFile);
const ip = (...words: string[]): Promise<unknown> => run('ip', words);

/** A network of its own for a cluster, joined to ours by one cable. */
export type Network = { namespace: string; address: string; cable: string };

/** Our address and that of the cluster, from the block that is for benchmarks (RFC 2544). */
const NEAR = '198.18.213.1';
const FAR = '198.18.213.2';

/** Lays it; taken away when the test ends. */
export async function layNetwork(t: Test): Promise<Network> {
  const id = randomBytes(3).toString('hex');
  const [namespace, cable, far] = [`minutebook-${id}`, `mb${id}a`, `mb${id}b`];
  await ip('netns', 'add', namespace);
  t.teardown(() => ip('netns', 'delete', namespace));
  await ip('link', 'add', cable, 'type', 'veth', 'peer', 'name', far, 'netns', namespace);
  await ip('address', 'add', `${NEAR}/30`, 'dev', cable);
  await ip('-n', namespace, 'address', 'add', `${FAR}/30`, 'dev', far);
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'link', 'set', far, 'up');
  await ip('link', 'set', cable, 'up');
  return { namespace, address: FAR, cable };
}

/** Loses every packet from the other side, as a cable that was cut at the far end does; nobody is told. */
export const setFarEnd = ({ namespace, cable }: Network, state: 'up' | 'down'): Promise<unknown> =>
  ip('-n', namespace, 'link', 'set', `${cable.slice(0, -1)}b`, state);

/** Resets every connection to the other side. */
export const resetConnections = ({ address }: Network): Promise<unknown> =>
  run('ss', ['--kill', '--tcp', 'dst', address]);
