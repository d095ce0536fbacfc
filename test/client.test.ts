import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { type Test, test } from 'tap';
import type { AuditEvent } from '../src/core/schemas.ts';
import { build, temporaryFolder } from './support/app.ts';
import { connect } from './support/client.ts';

const ROOT = join(import.meta.dirname, '..');
const TOOLS = join(ROOT, 'tools/node_modules');

// The generator is not part of every install. .ci/run installs it, and does not let this pass unseen.
const isThere = existsSync(join(TOOLS, 'openapi-typescript'));
const skip = isThere || process.env.TOOLS_REQUIRED ? false : 'tools/ is not installed: npm ci --prefix tools';

type Result = { code: number; output: string };

function run(command: string, args: string[], cwd: string): Promise<Result> {
  return new Promise((resolve) => {
    execFile(command, args, { cwd }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr }),
    );
  });
}

/** A folder with the generated client, and with the example of docs/client.md. */
async function makeClient(t: Test): Promise<string> {
  const folder = await temporaryFolder(t);
  await symlink(TOOLS, join(folder, 'node_modules'));
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  const made = await run(
    'npm',
    ['run', '--prefix', 'tools', 'client', '--', '--output', join(folder, 'minutebook.ts')],
    ROOT,
  );
  t.equal(made.code, 0, made.output);
  const docs = await readFile(join(ROOT, 'docs/client.md'), 'utf8');
  const example = /```ts\n\/\/ example\.ts\n([\s\S]*?)^```/m.exec(docs)?.[1] ?? '';
  await writeFile(join(folder, 'example.ts'), example);
  return folder;
}

const compilerOptions = [
  ...['--noEmit', '--strict', '--noUncheckedIndexedAccess', '--exactOptionalPropertyTypes'],
  ...['--target', 'es2024', '--lib', 'es2024,dom,dom.asynciterable', '--module', 'nodenext'],
  ...['--allowImportingTsExtensions', '--erasableSyntaxOnly', '--verbatimModuleSyntax'],
];
const compile = (folder: string, ...files: string[]): Promise<Result> =>
  run(process.execPath, ['node_modules/typescript/bin/tsc', ...compilerOptions, ...files], folder);

/** What the compiler must refuse: each line after such a comment. */
const mistakes = `
import { connect, type AuditEvent } from './example.ts';
const client = connect('', '');
// @ts-expect-error a misspelt filter
await client.GET('/audit', { params: { query: { user: 'alice' } } });
// @ts-expect-error an action that there is not
await client.GET('/audit', { params: { query: { action: ['MESSAGE_RECEIVED'] } } });
// @ts-expect-error a route that there is not
await client.GET('/audits');
// @ts-expect-error a parameter that is missing
await client.GET('/audit/{seq}');
// @ts-expect-error a field that may be null
export const length = (event: AuditEvent): number => event.message.length;
`;

/** The example, as far as it is called here. */
type Example = {
  connect: (
    url: string,
    token: string,
  ) => {
    GET: (
      path: string,
      options?: object,
    ) => Promise<{ data?: AuditEvent; error?: { code: string; parameter?: string }; response: Response }>;
  };
  messagesOf: (
    client: ReturnType<Example['connect']>,
    user: string,
    room: string,
  ) => AsyncGenerator<AuditEvent>;
};

test('a client made from openapi.yaml compiles, refuses mistakes, and reads a live server', {
  skip,
}, async (t) => {
  const folder = await makeClient(t);
  await writeFile(join(folder, 'mistakes.ts'), mistakes);
  const compiled = await compile(folder, 'example.ts', 'mistakes.ts');
  t.equal(compiled.code, 0, compiled.output);

  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  for (const text of ['one', 'two', 'three']) alice.send({ type: 'message', text, ref: text });
  const { seq } = await alice.next('ack', ({ ref }) => ref === 'three');

  const { connect: open, messagesOf } = (await import(
    pathToFileURL(join(folder, 'example.ts')).href
  )) as Example;
  const client = open(server.url, await server.token('auditor', 'audit:read'));
  const said: (string | null)[] = [];
  for await (const { message } of messagesOf(client, 'alice', 'lobby')) said.push(message);
  t.strictSame(said, ['one', 'two', 'three']);

  const one = await client.GET('/audit/{seq}', { params: { path: { seq } } });
  t.match(one.data, { seq, message: 'three', user_id: 'alice' });
  const wrong = await client.GET('/audit', { params: { query: { from: 'yesterday' } } });
  t.equal(wrong.response.status, 400);
  t.match(wrong.error, { code: 'invalid_parameter', parameter: 'from' });
  const stranger = open(server.url, await server.token('eve', 'chat'));
  await t.rejects(messagesOf(stranger, 'alice', 'lobby').next(), { message: /^403 forbidden: / });
});
