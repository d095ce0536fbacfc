import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { withThrowAwayServer } from './throw-away.ts';

const FILE = join(import.meta.dirname, '../openapi.yaml');

/** The API's description as the server itself gives it. */
const generated = await withThrowAwayServer(async (app) => {
  const { payload } = await app.inject({ url: '/openapi.yaml', headers: { host: 'localhost' } });
  return payload;
});
if (process.argv[2] === '--write') {
  await writeFile(FILE, generated);
} else if (generated !== (await readFile(FILE, 'utf8').catch(() => ''))) {
  console.error('openapi.yaml is not what the server says of itself. Run: npm run openapi:write');
  process.exitCode = 1;
}
