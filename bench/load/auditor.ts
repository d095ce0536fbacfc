import { Agent, get } from 'node:http';
import { setTimeout as delay } from 'node:timers/promises';
import { userOf } from './connect.ts';
import type { AllowedKind, Answers, Reader } from './orders.ts';

const MINUTE_MS = 60_000;
/** What one user may have under way of each, by default. */
const READS = 2;
const EXPORTS = 2;
const STREAMS = 20;

type Habit = {
  /** What is asked for, one after the other. */
  paths: readonly string[];
  /** How many are under way at a time. */
  atOnce: number;
  /** Whether they are spread over the minute; else each follows the one before it at once. */
  evenly: boolean;
};

/** Pages of the newest events. */
const pages = [
  '/audit',
  `/audit?user_id=${userOf(0)}`,
  '/audit?action=MESSAGE_SENT',
  '/audit?room=own-1',
  `/audit?user_id=${userOf(1)}&action=MESSAGE_SENT&from=-5m`,
];

const habits: Record<AllowedKind, Habit> = {
  pages: { paths: pages, atOnce: 1, evenly: true },
  burst: { paths: pages, atOnce: 1, evenly: false },
  stats: {
    paths: ['time', 'action', 'user_id', 'room'].map((group) => `/audit/stats?group_by=${group}`),
    atOnce: READS,
    evenly: true,
  },
  search: {
    paths: ['/audit?q=nobody%20says%20this', '/audit?q=CONNECTION%207', '/audit?q=xyz&total=exact'],
    atOnce: READS,
    evenly: true,
  },
  exports: {
    paths: ['/audit/export?format=ndjson', '/audit/export?format=csv'],
    atOnce: EXPORTS,
    evenly: false,
  },
  history: { paths: ['/audit/stream?from=-1d'], atOnce: 1, evenly: false },
  live: { paths: ['/audit/stream'], atOnce: 1, evenly: false },
  streams: { paths: ['/audit/stream'], atOnce: STREAMS, evenly: false },
};

/** One auditor, who reads what they may, and waits when told to. @param quota queries in a minute */
export function readAsAllowed(kind: AllowedKind, port: number, token: string, quota: number): Reader {
  const { paths, atOnce, evenly } = habits[kind];
  const everyMs = evenly ? (atOnce * MINUTE_MS) / quota : 0;
  const answers: Answers = { bytes: 0 };
  const ending = new AbortController();
  const { signal } = ending;
  const agent = new Agent({ keepAlive: true });
  const headers = { authorization: `Bearer ${token}` };
  const count = (what: string): void => {
    answers[what] = (answers[what] ?? 0) + 1;
  };

  /** Takes an answer to its end; resolves with how long to wait, in seconds, if it says so. */
  function take(path: string): Promise<number> {
    return new Promise((resolve, reject) => {
      const request = get({ host: '127.0.0.1', port, path, agent, headers, signal }, (response) => {
        count(String(response.statusCode));
        response.on('data', ({ length }: Buffer) => {
          answers.bytes = (answers.bytes ?? 0) + length;
        });
        // What is cut off is told by its end.
        response.on('error', () => {});
        response.on('close', () => {
          if (!response.complete && !signal.aborted) count('cut');
          resolve(Number(response.headers['retry-after'] ?? 0));
        });
      });
      request.on('error', (error) => {
        if (signal.aborted) resolve(0);
        else reject(error);
      });
    });
  }

  async function read(first: number): Promise<void> {
    for (let number = first; !signal.aborted; number += 1) {
      const next = performance.now() + everyMs;
      const seconds = await take(paths[number % paths.length] ?? '');
      const wait = Math.max(seconds * 1_000, next - performance.now());
      if (wait > 0) await delay(wait, undefined, { signal }).catch(() => {});
    }
  }
  const over = Promise.all(Array.from({ length: atOnce }, (_, first) => read(first)));
  over.catch(() => {});
  return {
    stop: async () => {
      ending.abort();
      await over;
      agent.destroy();
      return answers;
    },
  };
}
