import { type FastifyReply, type FastifyRequest, type FastifyServerOptions, LogController } from 'fastify';
import { addressOf } from '../plugins/addresses.ts';
import type { LogLevel } from './config.ts';

type LoggerOptions = Exclude<FastifyServerOptions['logger'], boolean | undefined>;

/**
 * One line for each request that is answered to its end. What is refused is on record, folded: its sender must not fill
 * this log instead, whose lines cost as much as the rest of a refusal.
 */
export class RequestLog extends LogController {
  override incomingRequest(): void {}

  override requestCompleted(
    error: Error | null | undefined,
    request: FastifyRequest,
    reply: FastifyReply,
  ): void {
    const line = { req: request, res: reply, responseTime: reply.elapsedTime };
    if (error) request.log.error({ ...line, err: error }, 'request errored');
    else if (reply.refusal === null) request.log.info(line, 'request completed');
    else request.log.debug({ ...line, code: reply.refusal.code }, 'request refused');
  }
}

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
