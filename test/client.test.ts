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

const examples = ['example.ts', 'follow.ts'];

/** A folder with the generated client, and with the examples of docs/client.md. */
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
  for (const name of examples) {
    const [, text = ''] = new RegExp(`\`\`\`ts\n// ${name}\n([\\s\\S]*?)^\`\`\``, 'm').exec(docs) ?? [];
    await writeFile(join(folder, name), text);
  }
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

/** The examples, as far as they are called here. */
type Client = {
  GET: (
    path: string,
    options?: object,
  ) => Promise<{ data?: AuditEvent; error?: { code: string; parameter?: string }; response: Response }>;
};
type Example = {
  connect: (url: string, token: string) => Client;
  messagesOf: (client: Client, user: string, room: string) => AsyncGenerator<AuditEvent>;
  follow: (client: Client, query: object) => AsyncGenerator<{ id: string; event?: AuditEvent }>;
};

async function load(folder: string): Promise<Example> {
  const parts = await Promise.all(
    examples.map((name) => import(pathToFileURL(join(folder, name)).href) as Promise<Partial<Example>>),
  );
  return Object.assign({}, ...parts) as Example;
}

/** The messages that a stream begins with. */
async function firstOf(stream: ReturnType<Example['follow']>, count: number) {
  const got: { id: string; message: string | null }[] = [];
  for await (const { id, event } of stream) {
    if (event === undefined) continue;
    got.push({ id, message: event.message });
    if (got.length === count) break;
  }
  return got;
}

test('a client made from openapi.yaml compiles, refuses mistakes, and reads a live server', {
  skip,
}, async (t) => {
  const folder = await makeClient(t);
  await writeFile(join(folder, 'mistakes.ts'), mistakes);
  const compiled = await compile(folder, ...examples, 'mistakes.ts');
  t.equal(compiled.code, 0, compiled.output);

  const server = await build(t);
  const alice = await connect(t, server, 'alice');
  for (const text of ['one', 'two', 'three']) alice.send({ type: 'message', text, ref: text });
  const { seq } = await alice.next('ack', ({ ref }) => ref === 'three');

  const { connect: open, messagesOf, follow } = await load(folder);
  const client = open(server.url, await server.token('auditor', 'audit:read'));
  const said: (string | null)[] = [];
  for await (const { message } of messagesOf(client, 'alice', 'lobby')) said.push(message);
  t.strictSame(said, ['one', 'two', 'three']);

  const query = { action: ['MESSAGE_SENT'], user_id: ['alice'] };
  const followed = await firstOf(follow(client, { ...query, from: '-1h' }), 3);
  t.strictSame(
    followed.map(({ message }) => message),
    ['one', 'two', 'three'],
  );
  const next = firstOf(follow(client, { ...query, after: followed[1]?.id }), 2);
  alice.send({ type: 'message', text: 'four' });
  t.match(await next, [{ message: 'three' }, { message: 'four' }], 'from there on, and live');

  const one = await client.GET('/audit/{seq}', { params: { path: { seq } } });
  t.match(one.data, { seq, message: 'three', user_id: 'alice' });
  const wrong = await client.GET('/audit', { params: { query: { from: 'yesterday' } } });
  t.equal(wrong.response.status, 400);
  t.match(wrong.error, { code: 'invalid_parameter', parameter: 'from' });
  const stranger = open(server.url, await server.token('eve', 'chat'));
  await t.rejects(messagesOf(stranger, 'alice', 'lobby').next(), { message: /^403 forbidden: / });
});
