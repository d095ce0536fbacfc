import type { FastifyRequest } from 'fastify';
import { addressOf } from '../../plugins/addresses.ts';
import type { Audit } from '../../plugins/audit/index.ts';

/** Promise 7: whoever reads the log is in the log, and before the answer is sent. */
export async function recordRead(
  audit: Pick<Audit, 'record'>,
  request: FastifyRequest,
  path: string,
  filters: Record<string, unknown>,
  rows: number,
): Promise<void> {
  await audit.record({
    action: 'AUDIT_READ',
    user_id: request.principal?.userId ?? null,
    ip: addressOf(request),
    details: { path, filters: filters as Record<string, string | string[]>, rows },
  });
}
