import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { test } from 'tap';
import { npmStart } from '../../bench/npm-start.ts';
import { ROOT } from '../../bench/processes.ts';
import packageJson from '../../package.json' with { type: 'json' };

test('what is measured is started as npm start does', async (t) => {
  const [program = '', ...options] = npmStart.args.toReversed();
  t.ok(existsSync(program), program);
  t.match(options, [/^--max-semi-space-size=\d+$/]);
  t.match(npmStart.env, { MALLOC_ARENA_MAX: /^\d$/, NODE_COMPILE_CACHE: ROOT });
});

test('the image starts the server with the same settings', async (t) => {
  const dockerfile = await readFile(join(ROOT, 'Dockerfile'), 'utf8');
  t.match(dockerfile, `ENV MALLOC_ARENA_MAX=${npmStart.env.MALLOC_ARENA_MAX}\n`);
  const command = (program: string): string =>
    `[${['node', ...npmStart.args.slice(0, -1), program].map((arg) => `"${arg}"`).join(', ')}]`;
  t.ok(dockerfile.includes(`CMD ${command('src/server.ts')}`));
  t.ok(dockerfile.includes(`RUN ${command('src/compile.ts')}`));
});

test('what is compiled at installation is for these settings, which the command line has as well', async (t) => {
  const { scripts } = packageJson;
  const [settings, options] = [/^(?:\w+=\S+ )+/, /node (?:--\S+ )+/].map(
    (part) => part.exec(scripts.start)?.[0] ?? '',
  );
  t.ok(scripts.minutebook.startsWith(`${settings}exec ${options}src/cli/main.ts`), scripts.minutebook);
  const [, cache = ''] = /(NODE_COMPILE_CACHE=\S+)/.exec(scripts.start) ?? [];
  t.equal(scripts.compile, `${cache} ${options}src/compile.ts`);
});
