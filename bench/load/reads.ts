import { readAsAllowed } from './auditor.ts';
import { tokenFor } from './connect.ts';
import { readInVain } from './flood.ts';
import type { Reader, Reading } from './orders.ts';

/** Begins to read; resolves when it does. */
export async function startReading({ target, user, kind, rate, quota }: Reading): Promise<Reader> {
  const port = target.ports[0] ?? 0;
  const secret = target.secret ?? '';
  const token = await tokenFor(user, kind === 'denied' ? `not ${secret}` : secret, 'audit:read');
  if (kind === 'limited' || kind === 'denied') {
    return readInVain(port, token, rate, kind === 'limited' ? quota : 0);
  }
  return readAsAllowed(kind, port, token, quota);
}
