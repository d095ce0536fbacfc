import { connect, createServer, type Socket } from 'node:net';
import type { Test } from 'tap';

/**
 * What the proxy does with traffic between the server and its database:
 * - `pass`: nothing
 * - `refuse`: new connections are cut at once, and so are the open ones
 * - `swallow-answers`: what the server asks arrives; the answers do not
 * - `swallow-all`: nothing arrives any more, and nobody is told
 * - `hold`: what the server asks is kept, and arrives when the mode changes
 */
export type Mode = 'pass' | 'refuse' | 'swallow-answers' | 'swallow-all' | 'hold';

export type Proxy = {
  /** The database's URL through the proxy. */
  url: string;
  setMode: (mode: Mode) => void;
  /** Cuts every open connection; new ones are treated by the mode. */
  cut: () => void;
  /**
   * Loses the open connections without telling anybody; new ones are treated by the mode. With a text: those
   * over which the server has sent it.
   */
  forget: (text?: string) => void;
  /** Everything takes so long from now on, each way, in milliseconds. */
  setDelay: (ms: number) => void;
  /** Cuts every connection and listens no more, for good: who connects is refused by the system. */
  close: () => void;
  /** Calls back, once, with what the server sends next that contains the text, before it is passed on. */
  onRequest: (text: string, callback: () => void) => void;
};

/** More than the tail asks in the minutes of a test beside what it is known by, which it asks at its start. */
const MAX_ASKED = 65_536;

/** A TCP proxy in front of a database, for faults that a test can switch on and off. */
export async function proxy(t: Test, databaseUrl: string): Promise<Proxy> {
  const target = new URL(databaseUrl);
  const pairs = new Set<[Socket, Socket]>();
  const held: (() => void)[] = [];
  const forgotten = new WeakSet<Socket>();
  /** What each connection has been asked for, as far as anybody may want to know it by. */
  const asked = new WeakMap<Socket, string>();
  /** When the last that is on its way to a socket arrives. */
  const arrivals = new WeakMap<Socket, number>();
  let delayMs = 0;
  let mode: Mode = 'pass';
  let watch: { text: string; callback: () => void } | undefined;

  const cut = (): void => {
    for (const pair of pairs) for (const socket of pair) socket.destroy();
  };
  const deliver = (socket: Socket, chunk: Buffer): void => {
    const now = performance.now();
    const arrival = Math.max(now + delayMs, arrivals.get(socket) ?? 0);
    arrivals.set(socket, arrival);
    if (arrival <= now) socket.write(chunk);
    else setTimeout(() => socket.write(chunk), arrival - now);
  };
  const server = createServer((near) => {
    if (mode === 'refuse') {
      near.destroy();
      return;
    }
    const far = connect(Number(target.port), target.hostname);
    const pair: [Socket, Socket] = [near, far];
    pairs.add(pair);
    const end = (): void => {
      pairs.delete(pair);
      near.destroy();
      far.destroy();
    };
    for (const socket of pair) socket.on('error', end).on('close', end);
    near.on('data', (chunk) => {
      if (forgotten.has(near)) return;
      asked.set(near, ((asked.get(near) ?? '') + chunk.toString('latin1')).slice(-MAX_ASKED));
      if (watch !== undefined && chunk.includes(watch.text)) {
        const { callback } = watch;
        watch = undefined;
        callback();
      }
      if (mode === 'hold') held.push(() => deliver(far, chunk));
      else if (mode !== 'swallow-all') deliver(far, chunk);
    });
    far.on('data', (chunk) => {
      if (!forgotten.has(near) && mode !== 'swallow-answers' && mode !== 'swallow-all') deliver(near, chunk);
    });
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  const close = (): void => {
    cut();
    server.close();
  };
  t.teardown(close);
  const url = new URL(databaseUrl);
  url.port = String((server.address() as { port: number }).port);
  return {
    url: url.href,
    setMode: (next) => {
      mode = next;
      if (next !== 'hold') for (const pass of held.splice(0)) pass();
      if (next === 'refuse') cut();
    },
    cut,
    forget: (text = '') => {
      for (const [near] of pairs) if (asked.get(near)?.includes(text) ?? text === '') forgotten.add(near);
    },
    setDelay: (ms) => {
      delayMs = ms;
    },
    close,
    onRequest: (text, callback) => {
      watch = { text, callback };
    },
  };
}
