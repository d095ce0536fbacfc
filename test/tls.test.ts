import { readFile, writeFile } from 'node:fs/promises';
import { createServer as createPlain } from 'node:http';
import { createServer } from 'node:https';
import { join } from 'node:path';
import { test } from 'tap';
import { readTls, schemeOf } from '../src/tls.ts';
import { temporaryFolder } from './support/app.ts';
import { makeCertificate } from './support/certificate.ts';

test('a certificate and its key are read, and nothing older than TLS 1.2 goes with them', async (t) => {
  for (const algorithm of ['EC', 'RSA:2048', 'ED25519']) {
    const files = await makeCertificate(t, algorithm);
    const material = await readTls(files);
    t.strictSame(material, { cert: files.ca, key: await readFile(files.key, 'utf8'), minVersion: 'TLSv1.2' });
    t.equal(schemeOf(createServer(material)), 'https');
  }
  t.equal(schemeOf(createPlain()), 'http');
});

test('a file that cannot be used is refused by the name of its variable, and nothing of it is told', async (t) => {
  const good = await makeCertificate(t);
  const other = await makeCertificate(t);
  const weak = await makeCertificate(t, 'RSA:512');
  const folder = await temporaryFolder(t);
  const missing = join(folder, 'missing.pem');
  const garbage = join(folder, 'garbage.pem');
  await writeFile(garbage, 'a canary, and no PEM');
  const half = join(folder, 'half.pem');
  await writeFile(half, (await readFile(good.key, 'utf8')).slice(0, 100));
  for (const [cert, key, expected] of [
    [missing, good.key, `TLS_CERT: ${missing} cannot be read (ENOENT).`],
    [good.cert, missing, `TLS_KEY: ${missing} cannot be read (ENOENT).`],
    [folder, good.key, `TLS_CERT: ${folder} cannot be read (EISDIR).`],
    [garbage, good.key, `TLS_CERT: ${garbage} holds no certificate as PEM (`],
    [good.key, good.key, `TLS_CERT: ${good.key} holds no certificate as PEM (`],
    [good.cert, garbage, `TLS_KEY: ${garbage} holds no private key as PEM without a passphrase (`],
    [good.cert, good.cert, `TLS_KEY: ${good.cert} holds no private key as PEM without a passphrase (`],
    [good.cert, half, `TLS_KEY: ${half} holds no private key as PEM without a passphrase (`],
    [good.cert, other.key, `TLS_KEY: ${other.key} is not the key of the certificate in ${good.cert}.`],
    [weak.cert, weak.key, `TLS_CERT: ${weak.cert} cannot be used (`],
  ] as const) {
    const error = await readTls({ cert, key }).catch((thrown: Error) => thrown);
    t.ok(error instanceof Error && error.name === 'SetupError', expected);
    const { message } = error as Error;
    t.ok(message.startsWith(expected), message);
    t.notMatch(message, /canary|\n|BEGIN/);
  }
});
