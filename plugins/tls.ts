import { Server as TlsServer } from 'node:tls';
import type { FastifyInstance } from 'fastify';
import fp from 'fastify-plugin';
import { readTls, type TlsFiles, type TlsMaterial } from '../src/tls.ts';

/** How often the files are looked at; certificates are renewed weeks before they expire. */
const CHECK_MS = 60_000;

export type TlsOptions = {
  /** undefined: no TLS. */
  files: TlsFiles | undefined;
  /** What the server was started with. */
  material: TlsMaterial | undefined;
  checkMs?: number;
};

/**
 * Takes a renewed certificate into use without a restart; connections that are open keep theirs. What cannot be
 * used is said once, and the certificate in use stays.
 */
export default fp(
  async function tls(fastify: FastifyInstance, { files, material, checkMs = CHECK_MS }: TlsOptions) {
    const { server } = fastify;
    if (files === undefined || material === undefined || !(server instanceof TlsServer)) return;
    let current = material;
    let complaint: string | undefined;

    async function check(paths: TlsFiles, target: TlsServer): Promise<void> {
      try {
        const next = await readTls(paths);
        complaint = undefined;
        if (next.cert === current.cert && next.key === current.key) return;
        target.setSecureContext(next);
        current = next;
        fastify.log.info('the certificate was renewed');
      } catch (error) {
        const { message } = error as Error;
        if (message !== complaint) fastify.log.error(`the certificate is not renewed: ${message}`);
        complaint = message;
      }
    }
    const timer = setInterval(() => void check(files, server), checkMs);
    fastify.addHook('onClose', async () => clearInterval(timer));
  },
  { name: 'tls' },
);
