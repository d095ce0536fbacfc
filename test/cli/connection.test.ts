import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { test } from 'tap';
import { openConnection } from '../../src/cli/connection.ts';
import { developmentSecret } from '../../src/development.ts';
import { temporaryFolder } from '../support/app.ts';
import { rejectionOf, thrownBy } from '../support/log.ts';

test('the server is where the flag says, else the environment, else on this machine', async (t) => {
  const base = (url: string | undefined, environment: Record<string, string>): string =>
    openConnection(url === undefined ? {} : { url }, environment).base;
  t.equal(base(undefined, {}), 'http://127.0.0.1:3000');
  t.equal(base(undefined, { PORT: '8080' }), 'http://127.0.0.1:8080');
  t.equal(
    base(undefined, { PORT: '8080', MINUTEBOOK_URL: 'https://a.example.org/' }),
    'https://a.example.org',
  );
  t.equal(base('https://b.example.org/chat//', { MINUTEBOOK_URL: 'http://a' }), 'https://b.example.org/chat');
});

test('an address that is none, or holds a secret, is refused', async (t) => {
  for (const url of [
    'localhost:3000',
    'ftp://a',
    'http://user:secret@a',
    'http://a?token=x',
    'http://a#x',
    '/audit',
  ]) {
    t.match(
      thrownBy(() => openConnection({ url }, {})),
      { exitCode: 2 },
      url,
    );
  }
});

test('the token is that of the file, else of the environment, else one of development mode', async (t) => {
  const folder = await temporaryFolder(t);
  const tokenFile = join(folder, 'token');
  const environment = { DATA_DIR: folder, MINUTEBOOK_TOKEN: 'from.the.environment' };
  await writeFile(tokenFile, 'from.the.file\n');
  const ofFile = openConnection({ tokenFile }, environment);
  t.equal(await ofFile.token(), 'from.the.file');
  await writeFile(tokenFile, 'renewed.since.then');
  t.equal(await ofFile.token(), 'renewed.since.then');
  t.equal(await openConnection({}, environment).token(), 'from.the.environment');

  const here = { DATA_DIR: folder };
  t.match(await rejectionOf(openConnection({}, here).token()), { exitCode: 4, message: /--token-file/ });
  await developmentSecret(folder);
  const claims = decodeJwt(await openConnection({}, here).token());
  t.match(claims, { sub: 'auditor', scope: 'audit:read' });
  // A key that only this machine should know stays on it, and one that is not in use signs nothing.
  for (const [url, more] of [
    ['https://minutebook.example.org', {}],
    ['http://127.0.0.1:3000', { JWT_SECRET: 'x'.repeat(32) }],
    ['http://127.0.0.1:3000', { JWKS_URL: 'https://issuer.example.org' }],
  ] as const) {
    t.match(await rejectionOf(openConnection({ url }, { ...here, ...more }).token()), { exitCode: 4 }, url);
  }
});

test('a token file that holds no token is refused', async (t) => {
  const folder = await temporaryFolder(t);
  const tokenFile = join(folder, 'token');
  t.match(await rejectionOf(openConnection({ tokenFile }, {}).token()), { exitCode: 2, message: /ENOENT/ });
  await writeFile(tokenFile, 'a b');
  t.match(await rejectionOf(openConnection({ tokenFile }, {}).token()), { exitCode: 2 });
  await mkdir(join(folder, 'folder'));
  const ofFolder = openConnection({ tokenFile: join(folder, 'folder') }, {});
  t.match(await rejectionOf(ofFolder.token()), { exitCode: 2, message: /EISDIR/ });
});

test('what is no token is refused here, and not shown, wherever it comes from', async (t) => {
  for (const text of ['a b', 'abc\nsecret', '“smart”', 'Bearer secret']) {
    const { token } = openConnection({}, { MINUTEBOOK_TOKEN: text });
    const error = await rejectionOf(token());
    t.match(error, { exitCode: 2, message: /^MINUTEBOOK_TOKEN does not hold a token/ }, text);
    t.notMatch(error, { message: /secret/ });
  }
  t.equal(await openConnection({}, { MINUTEBOOK_TOKEN: ' a.b.c\r\n' }).token(), 'a.b.c');
});
