import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import { defineConfig, type Plugin } from 'vite';

/** Writes each file of a page compressed beside itself, so that the server need not. */
const precompressed = (): Plugin => ({
  name: 'precompressed',
  apply: 'build',
  generateBundle(_options, bundle) {
    for (const [name, file] of Object.entries(bundle)) {
      // The pages themselves are small, and the server completes them.
      if (!name.startsWith('assets/')) continue;
      const bytes = Buffer.from(file.type === 'chunk' ? file.code : file.source);
      this.emitFile({ type: 'asset', fileName: `${name}.br`, source: brotliCompressSync(bytes) });
      this.emitFile({ type: 'asset', fileName: `${name}.gz`, source: gzipSync(bytes, { level: 9 }) });
    }
  },
});

const API = ['/audit', '/sessions', '/bans', '/ws', '/health', '/docs', '/openapi.json', '/openapi.yaml'];

/** `vite build web` makes web/dist; `npm run dev:web` serves the pages as they are written, in front of `npm start`. */
export default defineConfig({
  root: import.meta.dirname,
  // Relative addresses, so that a proxy may put all of it below a path of its own.
  base: './',
  oxc: { jsx: { runtime: 'automatic', importSource: 'preact' } },
  build: {
    target: 'es2022',
    // Every asset is a file: the policy of the pages allows nothing inline.
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    rolldownOptions: {
      input: {
        chat: join(import.meta.dirname, 'index.html'),
        console: join(import.meta.dirname, 'console.html'),
      },
    },
  },
  plugins: [precompressed()],
  server: {
    proxy: Object.fromEntries(
      API.map((path) => [
        path,
        { target: 'http://127.0.0.1:3000', changeOrigin: true, ws: path === '/ws', rewriteWsOrigin: true },
      ]),
    ),
  },
});
