import { execFile } from 'node:child_process';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { test } from 'tap';
import { temporaryFolder } from './support/app.ts';
import { plainEnvironment } from './support/environment.ts';
import { startServer } from './support/server.ts';

const COMPILE = join(import.meta.dirname, '../src/compile.ts');

test('when it starts for the first time, a server has nothing left to compile', async (t) => {
  const NODE_COMPILE_CACHE = await temporaryFolder(t);
  await promisify(execFile)(process.execPath, [COMPILE], {
    env: { ...plainEnvironment(), NODE_COMPILE_CACHE },
  });
  const compiled = await readdir(NODE_COMPILE_CACHE, { recursive: true });
  t.ok(compiled.length > 1_000, `${compiled.length} files`);
  const { child, exited, url } = await startServer(t, { env: { NODE_COMPILE_CACHE } });
  t.equal((await fetch(`${url}/health/ready`)).status, 200);
  // What it has compiled is kept when it ends.
  child.kill('SIGTERM');
  t.equal(await exited, 0);
  t.same((await readdir(NODE_COMPILE_CACHE, { recursive: true })).toSorted(), compiled.toSorted());
});
