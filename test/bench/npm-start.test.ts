import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { npmStart } from '../../bench/npm-start.ts';
import { ROOT } from '../../bench/processes.ts';

test('what is measured is started as npm start does', async (t) => {
  const [program = '', ...options] = npmStart.args.toReversed();
  t.ok(existsSync(program), program);
  t.match(options, [/^--max-semi-space-size=\d+$/]);
  t.match(npmStart.env, { MALLOC_ARENA_MAX: /^\d$/, NODE_COMPILE_CACHE: ROOT });
});

test('the image starts the server with the same settings', async (t) => {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
  t.match(dockerfile, `ENV MALLOC_ARENA_MAX=${npmStart.env.MALLOC_ARENA_MAX}\n`);
  const args = ['node', ...npmStart.args.slice(0, -1), 'src/server.ts'];
  t.ok(dockerfile.includes(`CMD [${args.map((arg) => `"${arg}"`).join(', ')}]`), 'CMD');
});
