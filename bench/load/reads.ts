import { readAsAllowed } from './auditor.ts';
import { tokenFor } from './connect.ts';
import { readInVain } from './flood.ts';
import type { Reader, Reading } from './orders.ts';

/** Begins to read; resolves when it does. */
export async function startReading({ target, user, kind, rate, quota }: Reading): Promise<Reader> {
  const port = target.ports[0] ?? 0;
  const secret = target.secret ?? '';
  const isForged = kind === 'denied' || kind === 'hasty';
  const token = await tokenFor(user, isForged ? `not ${secret}` : secret, 'audit:read');
  if (kind === 'limited' || isForged) return readInVain(kind, port, token, rate, quota);
  return readAsAllowed(kind, port, token, quota);
}
