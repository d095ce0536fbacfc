import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import type { Test } from 'tap';
import { temporaryFolder } from './app.ts';

const run = promisify(execFile);

/** A certificate that has signed itself, for 127.0.0.1 and localhost: its files, and what a client must trust. */
export type Certificate = { cert: string; key: string; ca: string };

export async function makeCertificate(t: Test, algorithm = 'EC'): Promise<Certificate> {
  const folder = await temporaryFolder(t);
  const [cert, key] = [join(folder, 'cert.pem'), join(folder, 'key.pem')];
  await run('openssl', [
    ...['req', '-x509', '-newkey', algorithm, '-nodes', '-days', '2', '-subj', '/CN=minutebook test'],
    ...(algorithm === 'EC' ? ['-pkeyopt', 'ec_paramgen_curve:prime256v1'] : []),
    ...['-addext', 'subjectAltName=IP:127.0.0.1,DNS:localhost', '-keyout', key, '-out', cert],
  ]);
  return { cert, key, ca: await readFile(cert, 'utf8') };
}
