import { X509Certificate } from 'node:crypto';
import { copyFile, writeFile } from 'node:fs/promises';
import { createServer, request } from 'node:https';
import { connect as connectTcp } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';
import Fastify, { type FastifyInstance } from 'fastify';
import { test } from 'tap';
import { WebSocket } from 'ws';
import { answerMalformed } from '../../plugins/errors.ts';
import tls from '../../plugins/tls.ts';
import { readTls, type TlsMaterial } from '../../src/tls.ts';
import { build, SECRET } from '../support/app.ts';
import { type Certificate, makeCertificate } from '../support/certificate.ts';
import { Client, until } from '../support/client.ts';
import { createDatabase } from '../support/postgres.ts';
import { head, sendRaw } from '../support/raw.ts';
import { startServer } from '../support/server.ts';

const HSTS = 'max-age=31536000; includeSubDomains';

const environmentOf = ({ cert, key }: Certificate) => ({ TLS_CERT: cert, TLS_KEY: key });

type Answer = { status: number; hsts: string | undefined; body: string };

/** GET, by a client who trusts one certificate. */
const get = (url: string, ca: string, headers: Record<string, string> = {}): Promise<Answer> =>
  new Promise((resolve, reject) => {
    request(url, { ca, headers, agent: false }, (response) => {
      let body = '';
      response.on('data', (chunk) => {
        body += chunk;
      });
      response.on('end', () =>
        resolve({
          status: response.statusCode ?? 0,
          hsts: response.headers['strict-transport-security'],
          body,
        }),
      );
    })
      .on('error', reject)
      .end();
  });

/** What a TLS handshake comes to: the version, or the code of the error. */
const shakeHands = (url: string, options: ConnectionOptions): Promise<string> =>
  new Promise((resolve) => {
    const socket = connectTls({ host: '127.0.0.1', port: Number(new URL(url).port), ...options });
    socket.once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? ''));
    socket.once('secureConnect', () => {
      resolve(socket.getProtocol() ?? '');
      socket.destroy();
    });
  });

test('with TLS_CERT and TLS_KEY it speaks https and wss, and its own pages have an https origin', async (t) => {
  const certificate = await makeCertificate(t);
  const { ca } = certificate;
  const server = await build(t, environmentOf(certificate));
  t.match(server.url, /^https:/);
  const live = await get(`${server.url}/health/live`, ca);
  t.match(live, { status: 200, hsts: HSTS });
  t.match(await get(`${server.url}/audit`, ca), { status: 401, hsts: HSTS });

  const open = async (origin: string): Promise<Client> => {
    const authorization = `Bearer ${await server.token('alice', 'chat')}`;
    const socket = new WebSocket(`${server.url.replace('http', 'ws')}/ws`, {
      ca,
      headers: { authorization, origin },
    });
    t.teardown(() => socket.terminate());
    return new Client(socket);
  };
  const alice = await open(server.url);
  await alice.next('welcome');
  t.ok((await alice.ask({ type: 'message', text: 'hello' })).seq);
  const stranger = await open(server.url.replace('https', 'http'));
  t.equal((await stranger.closed).code, 1006, 'plain HTTP is another origin');
});

test('what is no HTTP is answered under TLS, and what is no TLS is cut; nothing of it harms', async (t) => {
  const certificate = await makeCertificate(t);
  const { ca } = certificate;
  const server = await build(t, environmentOf(certificate));
  const malformed = await sendRaw(server.url, 'hello\r\n\r\n', { ca });
  t.equal(malformed.status, 400);
  t.equal(malformed.headers['strict-transport-security'], HSTS);
  const handshakes = await sendRaw(server.url, head('GET /ws', { upgrade: 'websocket' }), { ca });
  t.equal(handshakes.status, 426);
  t.equal(handshakes.headers['strict-transport-security'], HSTS);

  const plain = server.url.replace('https', 'http');
  t.equal((await sendRaw(plain, head('GET /health/live'))).text, '', 'plain HTTP on the port of https');
  t.equal(
    (await sendRaw(plain, Buffer.from([0x16, 3, 1, 0, 5, 1, 0, 0, 1, 3]))).status,
    0,
    'half a greeting',
  );
  const silent = connectTcp(Number(new URL(server.url).port), '127.0.0.1');
  t.teardown(() => silent.destroy());
  t.equal((await get(`${server.url}/health/live`, ca)).status, 200, 'and it lives');
});

test('who connects and says nothing is cut when the time for the handshake is over', async (t) => {
  const { cert, key } = await readTls(await makeCertificate(t));
  const server = createServer({ cert, key, handshakeTimeout: 50 });
  server.on('clientError', answerMalformed);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const silent = connectTcp((server.address() as { port: number }).port, '127.0.0.1');
  t.teardown(() => silent.destroy());
  silent.on('error', () => {});
  let isCut = false;
  silent.on('close', () => {
    isCut = true;
  });
  await until('it is cut', () => isCut);
});

test('nothing older than TLS 1.2 is spoken', async (t) => {
  const certificate = await makeCertificate(t);
  const { ca } = certificate;
  const { url } = await build(t, environmentOf(certificate));
  const old = { ca, minVersion: 'TLSv1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  t.equal(await shakeHands(url, { ...old, maxVersion: 'TLSv1.1' }), 'ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION');
  t.equal(await shakeHands(url, { ...old, maxVersion: 'TLSv1.2' }), 'TLSv1.2');
  t.equal(await shakeHands(url, { ca }), 'TLSv1.3');
});

test('what is printed begins with https and wss', async (t) => {
  const certificate = await makeCertificate(t);
  const env = { DATABASE_URL: await createDatabase(t), ...environmentOf(certificate) };
  const server = await startServer(t, { env });
  t.match(server.url, /^https:\/\/127\.0\.0\.1:\d+$/);
  t.match(server.output(), `npx wscat -c "${server.url.replace('http', 'ws')}/ws?user=alice"`);
  t.match(server.output(), `curl -s "${server.url}/audit`);
  t.match(server.output(), `${server.url}/docs`);
  t.notMatch(server.output(), /(http|ws):\/\//);
  t.equal((await get(`${server.url}/docs`, certificate.ca)).status, 200);
});

test('a file that cannot be used stops the start with one line', async (t) => {
  const { cert } = await makeCertificate(t);
  const server = await startServer(t, { env: { JWT_SECRET: SECRET, TLS_CERT: cert, TLS_KEY: cert } });
  t.equal(await server.exited, 1);
  t.match(server.output(), /^TLS_KEY: .* holds no private key as PEM without a passphrase \(.*\)\.\n$/);
});

/** A server that has nothing but TLS, and looks at its files all the time. */
async function bareServer(certificate: Certificate, warnings: string[]): Promise<FastifyInstance> {
  const material: TlsMaterial = await readTls(certificate);
  const app: FastifyInstance = Fastify(Object.assign({}, { https: { ...material } }));
  app.log.error = (message: string) => warnings.push(message);
  await app.register(tls, { files: certificate, material, checkMs: 10 });
  return app;
}

test('a renewed certificate is taken into use, and one that cannot be used is not', async (t) => {
  const certificate = await makeCertificate(t);
  const renewed = await makeCertificate(t);
  const warnings: string[] = [];
  const app = await bareServer(certificate, warnings);
  t.teardown(() => app.close());
  const url = await app.listen({ host: '127.0.0.1', port: 0 });
  /** The certificate that a client is shown now. */
  const shown = (): Promise<string> =>
    new Promise((resolve, reject) => {
      const socket = connectTls({ port: Number(new URL(url).port), rejectUnauthorized: false });
      socket.once('error', reject);
      socket.once('secureConnect', () => {
        resolve(socket.getPeerCertificate().fingerprint256);
        socket.destroy();
      });
    });
  const fingerprint = ({ ca }: Certificate): string => new X509Certificate(ca).fingerprint256;
  t.equal(await shown(), fingerprint(certificate));

  await copyFile(renewed.key, certificate.key);
  await until('the pair is seen not to fit', () => warnings.length > 0);
  t.match(warnings, [/^the certificate is not renewed: TLS_KEY: .* is not the key of the certificate/]);
  t.equal(await shown(), fingerprint(certificate), 'half a renewal is none');
  await copyFile(renewed.cert, certificate.cert);
  await until('the new one is shown', async () => (await shown()) === fingerprint(renewed));

  await writeFile(certificate.cert, 'nonsense');
  await until('it is said', () => warnings.length > 1);
  t.equal(await shown(), fingerprint(renewed), 'what was good stays');
  t.equal(warnings.length, 2, 'and each is said once');
  const old = { minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' } as const;
  t.not(await shakeHands(url, { ca: renewed.ca, ...old }), 'TLSv1.1', 'the oldest version stays as well');
});
