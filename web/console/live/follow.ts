import { type StreamBlock, StreamParser } from '../../../src/core/stream-parser.ts';

/** Without a byte for so long the connection is taken for dead: the server sends something every 15 s. */
export const QUIET_MS = 40_000;
const FIRST_WAIT_MS = 1_000;
const MAX_WAIT_MS = 30_000;

export type Connection =
  | { is: 'off' }
  | { is: 'connecting' }
  | { is: 'live' }
  /** Tries again at this time, in milliseconds since 1970. */
  | { is: 'waiting'; until: number };

/** How long to wait before trying again, after so many attempts in vain. */
export const backoffMs = (failures: number, retryAfter = 0): number =>
  Math.max(Math.min(FIRST_WAIT_MS * 2 ** failures, MAX_WAIT_MS), retryAfter * 1_000);

export type FollowOptions = {
  /** Opens the stream after an id. */
  open: (lastId: string | undefined, signal: AbortSignal) => Promise<ReadableStream<Uint8Array>>;
  onBlock: (block: StreamBlock) => void;
  onConnection: (connection: Connection) => void;
  /** Ends it all. */
  signal: AbortSignal;
  /** Seconds that the server asks for; `never`: trying again is of no use. */
  retryOf: (error: unknown) => number | 'never' | undefined;
  quietMs?: number;
  backoff?: typeof backoffMs;
};

const sleep = (ms: number, signal: AbortSignal): Promise<void> =>
  new Promise((resolve) => {
    if (signal.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal.addEventListener('abort', done);
  });

/**
 * Follows the live stream over every end of its connection, until the signal says so or the log's interval is over.
 *
 * @throws what makes trying again useless
 */
export async function follow(options: FollowOptions): Promise<void> {
  const { signal, onConnection, retryOf, backoff = backoffMs } = options;
  let lastId: string | undefined;
  let failures = 0;
  while (!signal.aborted) {
    onConnection({ is: 'connecting' });
    let retryAfter: number | undefined;
    try {
      const isOver = await readOnce(options, lastId, (id) => {
        lastId = id;
        failures = 0;
      });
      if (isOver) return onConnection({ is: 'off' });
    } catch (error) {
      if (signal.aborted) break;
      const retry = retryOf(error);
      if (retry === 'never') {
        onConnection({ is: 'off' });
        throw error;
      }
      retryAfter = retry;
    }
    if (signal.aborted) break;
    const wait = backoff(failures++, retryAfter);
    onConnection({ is: 'waiting', until: Date.now() + wait });
    await sleep(wait, signal);
  }
  onConnection({ is: 'off' });
}

/** Reads one connection to its end. @returns whether the interval is over */
async function readOnce(
  { open, onBlock, onConnection, signal, quietMs = QUIET_MS }: FollowOptions,
  lastId: string | undefined,
  onId: (id: string) => void,
): Promise<boolean> {
  const connection = new AbortController();
  const cut = () => connection.abort();
  signal.addEventListener('abort', cut);
  let timer = setTimeout(cut, quietMs);
  try {
    const body = await open(lastId, connection.signal);
    const reader = body.getReader();
    const parser = new StreamParser();
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return false;
      clearTimeout(timer);
      timer = setTimeout(cut, quietMs);
      for (const block of parser.add(value)) {
        if (block.event === 'open') onConnection({ is: 'live' });
        onBlock(block);
        if (block.id !== undefined) onId(block.id);
        if (block.event === 'end') return true;
      }
    }
  } finally {
    clearTimeout(timer);
    signal.removeEventListener('abort', cut);
    connection.abort();
  }
}
