import { createHash } from 'node:crypto';
import { test } from 'tap';
import { DOCS_POLICY } from '../../src/core/security-headers.ts';
import { build } from '../support/app.ts';

const hashOf = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`;

test('Swagger UI needs nothing that its policy does not allow', async (t) => {
  const server = await build(t);
  const read = async (path: string): Promise<string> => {
    const answer = await server.get(path, {});
    t.equal(answer.status, 200, path);
    t.equal(answer.headers.get('content-security-policy'), DOCS_POLICY, path);
    return answer.text();
  };
  for (const page of ['/docs', '/docs/']) {
    const html = await read(page);
    t.notMatch(html, /<style|<script>| style=| on\w+=|javascript:/i, `nothing stands in ${page} itself`);
    const files = [...html.matchAll(/ (?:src|href)="([^"]+)"/g)].map(([, file = '']) => file);
    t.ok(files.length >= 6);
    for (const file of files) {
      const { pathname, origin } = new URL(file, server.url + page);
      t.equal(origin, server.url, file);
      const text = await read(pathname);
      // What its scripts put into the page; styles of single elements they set by other means.
      for (const [, style = ''] of text.matchAll(/createElement\("style",\w+,"([^"]*)"/g)) {
        t.ok(DOCS_POLICY.includes(hashOf(style)), `its style ${hashOf(style)}: ${style}`);
      }
      for (const [, url = ''] of pathname.endsWith('.css') ? text.matchAll(/url\(["']?([^)]{5})/g) : []) {
        t.equal(url, 'data:', 'pictures are in the style sheet itself');
      }
    }
  }
});
