import { createPrivateKey, type KeyObject, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, Server as TlsServer } from 'node:tls';
import { SetupError } from './core/setup-error.ts';

/** The paths of a certificate chain and of its key, both PEM. */
export type TlsFiles = { cert: string; key: string };

/** What a server needs to speak TLS. */
export type TlsMaterial = { cert: string; key: string; minVersion: 'TLSv1.2' };

/** Of the messages of OpenSSL nothing is told but the reason: a key may be in them. */
const reasonOf = (error: unknown): string => (error as { reason?: string }).reason ?? 'it is not PEM';

async function readPem(variable: string, path: string): Promise<string> {
  return readFile(path, 'utf8').catch((error: NodeJS.ErrnoException) => {
    throw new SetupError(`${variable}: ${path} cannot be read (${error.code}).`, error);
  });
}

function parse<T>(variable: string, complaint: string, read: () => T): T {
  try {
    return read();
  } catch (error) {
    throw new SetupError(`${variable}: ${complaint} (${reasonOf(error)}).`);
  }
}

/**
 * Reads a certificate and its key, and sees that they can be used together.
 *
 * @throws SetupError naming the variable whose file is wrong
 */
export async function readTls(files: TlsFiles): Promise<TlsMaterial> {
  const cert = await readPem('TLS_CERT', files.cert);
  const key = await readPem('TLS_KEY', files.key);
  const certificate = parse(
    'TLS_CERT',
    `${files.cert} holds no certificate as PEM`,
    () => new X509Certificate(cert),
  );
  const privateKey: KeyObject = parse(
    'TLS_KEY',
    `${files.key} holds no private key as PEM without a passphrase`,
    () => createPrivateKey(key),
  );
  if (!certificate.checkPrivateKey(privateKey)) {
    throw new SetupError(`TLS_KEY: ${files.key} is not the key of the certificate in ${files.cert}.`);
  }
  const material = { cert, key, minVersion: 'TLSv1.2' } as const;
  parse('TLS_CERT', `${files.cert} cannot be used`, () => createSecureContext(material));
  return material;
}

/** How the address of a server begins. */
export const schemeOf = (server: object): 'http' | 'https' =>
  server instanceof TlsServer ? 'https' : 'http';
