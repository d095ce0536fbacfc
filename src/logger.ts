import type { FastifyRequest, FastifyServerOptions } from 'fastify';
import { addressOf } from '../plugins/addresses.ts';
import type { LogLevel } from './config.ts';

type LoggerOptions = Exclude<FastifyServerOptions['logger'], boolean | undefined>;

/**
 * One JSON line per entry, or readable lines on a terminal. Paths only: a query string holds filters, which
 * may quote what somebody said; tokens stand in headers, which are never logged.
 */
export function loggerOptions(level: LogLevel): LoggerOptions {
  const serializers = {
    req: (request: FastifyRequest) => ({
      method: request.method,
      path: request.url.split('?', 1)[0],
      ip: addressOf(request) ?? undefined,
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
