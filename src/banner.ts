import type { FastifyInstance } from 'fastify';
import { schemeOf } from './tls.ts';

const LIFETIME = '12h';

/** The address to print for a listening server; the line that others wait for. */
export function addressOf(app: FastifyInstance, host: string): string {
  const bound = app.addresses().find((address) => typeof address !== 'string');
  const port = typeof bound === 'object' ? bound.port : 0;
  return `${schemeOf(app.server)}://${host.includes(':') ? `[${host}]` : host}:${port}`;
}

/** Development mode: what to paste to chat, to read the log, and to look around. */
export async function developmentBanner(app: FastifyInstance, address: string): Promise<string> {
  const token = await app.auth.issueToken('auditor', ['audit:read'], LIFETIME);
  const admin = await app.auth.issueToken('admin', ['audit:read', 'admin'], LIFETIME);
  return `
Development mode: no key is configured, so only this machine can connect, and anybody on it as anybody.

  Chat, in a browser or here (type a line, press Enter):
    ${address}/
    npx wscat -c "${address.replace(/^http/, 'ws')}/ws?user=alice"

  Read the audit log, in a browser or here (the tokens are good for ${LIFETIME}):
    ${address}/console#token=${admin}
    curl -s "${address}/audit?limit=10" -H "Authorization: Bearer ${token}"

  API documentation:
    ${address}/docs
`;
}
