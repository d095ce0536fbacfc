import { get } from 'node:http';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { StreamParser } from '../../src/core/stream-parser.ts';
import { Latencies } from '../stats.ts';
import { tokenFor } from './connect.ts';
import type { Following, Orders } from './orders.ts';

/** Follows the log live, until it is told to stop. */
export type Follower = {
  stop: () => Promise<Orders['stopFollowing'][1]>;
  /** Resolves when the stream is over, by whosever doing. */
  ended: Promise<void>;
};

/** Milliseconds since 1970 of a time of the log, with its microseconds. */
const msOf = (timestamp: string): number =>
  Date.parse(`${timestamp.slice(0, 19)}Z`) + Number(timestamp.slice(19, 26)) * 1_000;

/**
 * Opens a live stream of all messages; resolves when it is open. How old a message is when it comes is told by the log's
 * own time, which the database gives before it commits: the clock is this machine's.
 */
export async function startFollowing({ target, user, warmMs }: Following): Promise<Follower> {
  const token = await tokenFor(user, target.secret ?? '', 'audit:read');
  const ages = new Latencies();
  const parser = new StreamParser();
  const opened = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<void>();
  let isOver = false;
  const from = performance.now() + warmMs;
  const request = get(
    {
      host: '127.0.0.1',
      port: target.ports[0] ?? 0,
      path: '/audit/stream?action=MESSAGE_SENT',
      headers: { authorization: `Bearer ${token}` },
    },
    (response) => {
      response.on('data', (chunk: Buffer) => {
        const now = performance.now();
        for (const { event, data } of parser.add(chunk)) {
          if (event === 'open') opened.resolve();
          if (event !== 'audit' || now < from) continue;
          ages.add(performance.timeOrigin + now - msOf((JSON.parse(data) as AuditEvent).timestamp));
        }
      });
      // What is cut off is told by its close.
      response.on('error', () => {});
      response.on('close', () => {
        isOver = true;
        ended.resolve();
        opened.reject(new Error(`the stream ended (${response.statusCode})`));
      });
    },
  );
  request.on('error', opened.reject);
  await opened.promise;
  return {
    ended: ended.promise,
    stop: async () => {
      if (isOver) throw new Error('the stream ended before it was to');
      request.destroy();
      return ages.summary();
    },
  };
}
