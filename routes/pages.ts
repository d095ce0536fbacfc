import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import staticFiles from '@fastify/static';
import type { FastifyInstance, FastifyReply } from 'fastify';
import fp from 'fastify-plugin';
import { CodedError } from '../src/core/errors.ts';
import { NoQuery } from '../src/core/schemas.ts';
import { PAGE_POLICY } from '../src/core/security-headers.ts';

export type PagesOptions = {
  /** Whether the chat page may sign in with a name alone. */
  development: boolean;
};

/** What `npm run build` makes of web/. */
const DIST = join(import.meta.dirname, '../web/dist');

/** The chat page and the audit console, as they were built; without a build, the server does all else. */
export default fp(
  async function pageRoutes(fastify: FastifyInstance, { development }: PagesOptions) {
    const chat = await pageOf('index.html');
    const console = await pageOf('console.html');

    const page = { schema: { hide: true, querystring: NoQuery } };
    fastify.get('/', page, (_request, reply) => send(reply, chat));
    fastify.get('/console', page, (_request, reply) => send(reply, console));
    if (chat === undefined || console === undefined) {
      fastify.log.warn(
        'web/dist is missing: there is no console and no chat page. “npm run build” makes them.',
      );
      return;
    }

    // Their names hold a hash of what they are.
    await fastify.register(staticFiles, {
      root: join(DIST, 'assets'),
      prefix: '/assets/',
      decorateReply: false,
      index: false,
      preCompressed: true,
      immutable: true,
      maxAge: '365d',
      schemaHide: true,
    });
    const icon = await readFile(join(DIST, 'favicon.svg'));
    for (const path of ['/favicon.svg', '/favicon.ico']) {
      fastify.get(path, page, (_request, reply) =>
        reply
          .header('cache-control', 'public, max-age=86400')
          .type('image/svg+xml; charset=utf-8')
          .send(icon),
      );
    }

    /** A page as it is sent; undefined: it was not built. */
    async function pageOf(name: string): Promise<string | undefined> {
      const html = await readFile(join(DIST, name), 'utf8').catch((error: NodeJS.ErrnoException) => {
        if (error.code === 'ENOENT') return undefined;
        throw error;
      });
      return development ? html?.replace('data-sign-in="token"', 'data-sign-in="name"') : html;
    }

    function send(reply: FastifyReply, html: string | undefined) {
      if (html === undefined)
        throw new CodedError('not_found', 'The pages are not built; “npm run build” does it.');
      return reply
        .headers({ 'content-security-policy': PAGE_POLICY, 'cache-control': 'no-store' })
        .type('text/html; charset=utf-8')
        .send(html);
    }
  },
  { name: 'page-routes', dependencies: ['errors', 'headers'], encapsulate: true },
);
