import { execFile, spawn } from 'node:child_process';
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { type Test, test } from 'tap';
import { exitCodes } from '../../src/cli/exit.ts';
import { temporaryFolder } from '../support/app.ts';
import { until } from '../support/client.ts';
import { startServer } from '../support/server.ts';

const ROOT = join(import.meta.dirname, '../..');
const RUN = /npm run (-s )?minutebook --/;

type Outcome = { code: number; stdout: string; stderr: string };

/** The commands of a document, line by line. */
async function commandsOf(file: string): Promise<string[]> {
  const text = await readFile(join(ROOT, file), 'utf8');
  return [...text.matchAll(/^```sh\n([\s\S]*?)^```/gm)].flatMap(([, block = '']) => block.trim().split('\n'));
}

function run(command: string, cwd: string, env: Record<string, string>): Promise<Outcome> {
  return new Promise((resolve) => {
    execFile('sh', ['-c', command], { cwd, env: { ...process.env, ...env } }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code ?? 1), stdout, stderr }),
    );
  });
}

/** Runs what ends by Ctrl-C alone, until it has printed something. */
async function follow(t: Test, command: string, cwd: string, env: Record<string, string>): Promise<Outcome> {
  const child = spawn('sh', ['-c', `exec ${command}`], { cwd, env: { ...process.env, ...env } });
  t.teardown(() => child.kill('SIGKILL'));
  const printed = { stdout: '', stderr: '' };
  for (const name of ['stdout', 'stderr'] as const) {
    child[name].on('data', (chunk: Buffer) => {
      printed[name] += chunk.toString();
    });
  }
  const ended = new Promise<number>((resolve) => child.on('close', (code) => resolve(code ?? -1)));
  await until('something is printed', () => printed.stdout.includes('\n') || child.exitCode !== null, 30_000);
  child.kill('SIGINT');
  return { code: await ended, ...printed };
}

test('every command of docs/cli.md and the README does what it says', async (t) => {
  const server = await startServer(t, { env: { LOG_LEVEL: 'warn' } });
  const env = { DATA_DIR: server.dataDir, MINUTEBOOK_URL: server.url };
  const cwd = await temporaryFolder(t);
  const chat = `npx wscat -c "${server.url.replace('http', 'ws')}/ws?user=alice" -x hello -w 1`;
  t.match((await run(chat, ROOT, {})).stdout, '"text":"hello"');

  const all = [...(await commandsOf('README.md')), ...(await commandsOf('docs/cli.md'))];
  const commands = all.filter((command) => RUN.test(command) || command.includes('log.ndjson'));
  t.ok(commands.length > 10);
  const outcomes = new Map<string, Outcome>();
  for (const command of commands) {
    // npm runs it in the checkout, where a test should write nothing.
    const direct = command.replace(RUN, `${process.execPath} ${join(ROOT, 'src/cli/main.ts')}`);
    const outcome = command.includes('--follow')
      ? await follow(t, direct, cwd, env)
      : await run(direct, cwd, env);
    t.equal(outcome.code, 0, `${command}: ${outcome.stderr}`);
    outcomes.set(command.replace(RUN, 'minutebook'), outcome);
  }
  const stdoutOf = (start: string): string =>
    [...outcomes].find(([command]) => command.startsWith(start))?.[1].stdout ?? '';
  t.match(stdoutOf('minutebook query --user-id alice'), /MESSAGE_SENT +alice +#lobby +hello\n/);
  t.match(stdoutOf('minutebook tail --follow --room lobby'), /MESSAGE_SENT +alice +#lobby +hello\n/);
  t.match(stdoutOf('minutebook stats --group-by user_id'), /^1 {2}█+ {2}alice\n$/);
  t.match(await readFile(join(cwd, 'messages.ndjson'), 'utf8'), /"message":"hello"/);
  t.match(await readFile(join(cwd, 'messages.csv'), 'utf8'), /,hello,lobby,/);
  t.ok((await stat(join(cwd, 'carol.token'))).size > 100);
  const { sha256 } = JSON.parse(stdoutOf('tail -n 1')) as { sha256: string };
  t.match(stdoutOf("sed '$d'"), sha256, 'the documented check agrees');
});

test('npm run minutebook passes on what it is given, and what comes of it', async (t) => {
  t.match(await run('npm run minutebook -- --help', ROOT, {}), { code: 0, stdout: /Usage: minutebook/ });
  const wrong = await run('npm run -s minutebook -- query --nonsense', ROOT, {});
  t.match(wrong, { code: exitCodes.usage, stdout: '', stderr: /unknown option/ });
});

test('docs/cli.md lists the exit codes that there are', async (t) => {
  const text = await readFile(join(ROOT, 'docs/cli.md'), 'utf8');
  const listed = [...text.matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code));
  t.strictSame(listed, Object.values(exitCodes));
});

test('minutebook serve runs the server, and Ctrl-C ends it in order', async (t) => {
  const command: [string, ...string[]] = [process.execPath, join(ROOT, 'src/cli/main.ts'), 'serve'];
  const server = await startServer(t, { command, env: { LOG_LEVEL: 'warn' } });
  t.equal((await fetch(`${server.url}/health/ready`)).status, 200);
  server.child.kill('SIGINT');
  t.equal(await server.exited, 0);
});
