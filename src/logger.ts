import type { FastifyRequest, FastifyServerOptions } from 'fastify';
import type { LogLevel } from './config.ts';
import { canonicalAddress } from './core/address.ts';

type LoggerOptions = Exclude<FastifyServerOptions['logger'], boolean | undefined>;

/**
 * The path of a URL, in printable ASCII: JSON leaves the control characters above 127 as they are, and a terminal
 * obeys some of them. Node hands every byte over as one character.
 */
const pathOf = (url: string): string =>
  (url.split('?', 1)[0] ?? '').replace(/[^\x20-\x7e]/g, (byte) => `%${byte.charCodeAt(0).toString(16)}`);

/**
 * One JSON line per entry, or readable lines on a terminal. Paths only: a query string holds filters, which
 * may quote what somebody said; tokens stand in headers, which are never logged.
 */
export function loggerOptions(level: LogLevel): LoggerOptions {
  const serializers = {
    req: (request: FastifyRequest) => ({
      method: request.method,
      path: pathOf(request.url),
      ip: canonicalAddress(request.ip ?? ''),
    }),
  };
  return process.stdout.isTTY
    ? {
        level,
        serializers,
        transport: {
          target: 'pino-pretty',
          options: { ignore: 'pid,hostname,reqId', translateTime: 'HH:MM:ss' },
        },
      }
    : { level, serializers };
}
