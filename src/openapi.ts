import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildApp } from './app.ts';
import { readConfig } from './config.ts';

const FILE = join(import.meta.dirname, '../openapi.yaml');

/** The API's description as the server itself gives it, from a throw-away server. */
async function generate(): Promise<string> {
  const dataDir = await mkdtemp(join(tmpdir(), 'minutebook-openapi-'));
  try {
    const app = await buildApp(readConfig({ DATA_DIR: dataDir, PORT: '0', LOG_LEVEL: 'error' }));
    try {
      await app.ready();
      return (await app.inject({ url: '/openapi.yaml', headers: { host: 'localhost' } })).payload;
    } finally {
      await app.close();
    }
  } finally {
    await rm(dataDir, { recursive: true, force: true });
  }
}

const generated = await generate();
if (process.argv[2] === '--write') {
  await writeFile(FILE, generated);
} else if (generated !== (await readFile(FILE, 'utf8').catch(() => ''))) {
  console.error('openapi.yaml is not what the server says of itself. Run: npm run openapi:write');
  process.exitCode = 1;
}
