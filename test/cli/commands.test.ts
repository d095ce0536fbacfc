import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { createServer, type RequestListener } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import { decodeJwt } from 'jose';
import { type Test, test } from 'tap';
import { exitCodes } from '../../src/cli/exit.ts';
import { ExportWriter } from '../../src/core/export.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { developmentSecret } from '../../src/development.ts';
import { build, SECRET, type TestApp, temporaryFolder } from '../support/app.ts';
import { type CliResult, runCli, startCli } from '../support/cli.ts';
import { until } from '../support/client.ts';
import { pageOf } from '../support/export.ts';
import { eventsBetween } from '../support/log.ts';

/** What tells the command line where a server is, and who asks. */
const environmentOf = async (server: TestApp): Promise<Record<string, string>> => ({
  MINUTEBOOK_URL: server.url,
  MINUTEBOOK_TOKEN: await server.token('auditor', 'audit:read'),
});

async function say(server: TestApp, count: number, user_id = 'alice'): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      server.app.audit.record({ action: 'MESSAGE_SENT', user_id, room: 'lobby', message: `${user_id} ${n}` }),
    ),
  );
}

const eventsOf = ({ stdout }: CliResult): AuditEvent[] =>
  stdout
    .split('\n')
    .filter((line) => line !== '')
    .map((line) => JSON.parse(line) as AuditEvent);

/** A server that answers whatever a test wants; closed when the test ends. */
async function fakeServer(t: Test, listener: RequestListener): Promise<string> {
  const server = createServer(listener);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => {
    server.closeAllConnections();
    server.close();
  });
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}

test('query prints what matches, so many or all, newest or oldest first', async (t) => {
  const server = await build(t);
  const env = await environmentOf(server);
  await say(server, 1_200);
  await say(server, 3, 'bob');
  const messages = await server.events('action=MESSAGE_SENT');
  const filter = ['--action', 'MESSAGE_SENT'];

  const some = await runCli(t, ['query', ...filter, '--json', '--limit', '7'], env);
  t.strictSame(eventsOf(some), messages.slice(-7).reverse());
  t.match(some, { code: 0, stderr: /more than these 7; --all/ });
  const all = await runCli(t, ['query', ...filter, '--json', '--all', '--order', 'asc'], env);
  t.strictSame(eventsOf(all), messages);
  t.match(all, { code: 0, stderr: '' });
  const two = await runCli(
    t,
    ['query', '--user-id', 'bob', '--user-id', 'nobody', '--from', '-1h', '--limit', '50'],
    env,
  );
  t.match(two.stdout, /MESSAGE_SENT +bob +#lobby +bob 2\n/);
  t.equal(two.stdout.trim().split('\n').length, 3);
  t.notOk(two.stdout.includes('\u001b'), 'a pipe gets no colours');
  t.match(await runCli(t, ['query', '--room', 'nowhere'], env), { code: 0, stdout: '', stderr: '' });
});

test('tail prints the last events, oldest first', async (t) => {
  const server = await build(t);
  await say(server, 30);
  const messages = await server.events('action=MESSAGE_SENT');
  const args = ['tail', '--action', 'MESSAGE_SENT', '--json'];
  const env = await environmentOf(server);
  t.strictSame(eventsOf(await runCli(t, args, env)), messages.slice(-20));
  t.strictSame(eventsOf(await runCli(t, [...args, '-n', '3'], env)), messages.slice(-3));
});

test('export saves what matches, checks it, and replaces no file', async (t) => {
  const server = await build(t);
  const env = await environmentOf(server);
  await say(server, 1_500);
  const messages = await server.events('action=MESSAGE_SENT');
  const file = join(await temporaryFolder(t), 'log.ndjson');
  const args = ['export', '--action', 'MESSAGE_SENT', '-o', file];
  const saved = await runCli(t, args, env);
  t.match(saved, { code: 0, stdout: '', stderr: 'The export is whole: 1500 events, seq ' });
  const lines = (await readFile(file, 'utf8')).trimEnd().split('\n');
  t.strictSame(
    lines.slice(0, -1).map((line) => JSON.parse(line)),
    messages,
  );
  t.equal((await stat(file)).mode & 0o777, 0o600);
  await t.rejects(stat(`${file}.part`));
  t.match(await runCli(t, args, env), { code: exitCodes.usage, stderr: /is there already; --force/ });
  t.match(await runCli(t, [...args, '--force', '--format', 'csv'], env), { code: 0 });
  t.match(await readFile(file, 'utf8'), /^seq,timestamp,.*\r\n#end,1500,/s);
  const piped = await runCli(t, ['export', '--format', 'csv', '--room', 'nowhere'], env);
  t.match(piped, { code: 0, stdout: /^seq,.*\r\n#end,0,,,/, stderr: 'The export is whole: 0 events.\n' });
  t.match(await runCli(t, ['export', '-o', '/nowhere/file'], env), {
    code: exitCodes.failed,
    stderr: /ENOENT/,
  });
  const folder = await temporaryFolder(t);
  t.match(await runCli(t, ['export', '--force', '-o', folder], env), {
    code: exitCodes.usage,
    stderr: /is a folder/,
  });
  await t.rejects(stat(`${folder}.part`), 'found out before anything is asked for');
});

test('an export that is cut, changed, or broken off is found out, and what came is kept apart', async (t) => {
  const writer = new ExportWriter('ndjson');
  const body = Buffer.concat([...writer.page(pageOf(eventsBetween(0, 50)), 1_000)]);
  const last = writer.end();
  const bodies: Record<string, Buffer> = {
    cut: body,
    changed: Buffer.concat([Buffer.from(body.toString().replace('"alice"', '"bob"')), last]),
    broken: Buffer.concat([body, last]),
  };
  const url = await fakeServer(t, (request, response) => {
    const { pathname, searchParams } = new URL(request.url ?? '', 'http://localhost');
    t.equal(pathname, '/audit/export');
    const what = searchParams.get('room') ?? '';
    response.writeHead(200);
    if (what !== 'broken') response.end(bodies[what]);
    else response.write(body, () => response.destroy());
  });
  const folder = await temporaryFolder(t);
  for (const [what, reason] of [
    ['cut', /last line.* missing/],
    ['changed', /SHA-256/],
    ['broken', /the connection broke/],
  ] as const) {
    const file = join(folder, what);
    const env = { MINUTEBOOK_URL: url, MINUTEBOOK_TOKEN: 'a.b.c' };
    const result = await runCli(t, ['export', '--room', what, '-o', file], env);
    t.match(result, { code: exitCodes.incomplete, stderr: reason }, what);
    t.ok((await stat(`${file}.part`)).size > 0);
    await t.rejects(stat(file), what);
    t.match(
      await runCli(t, ['export', '--room', what], env),
      { code: exitCodes.incomplete },
      `${what}, piped`,
    );
  }
});

test('stats counts what the server has, over time and by value', async (t) => {
  const server = await build(t);
  const env = await environmentOf(server);
  await say(server, 40);
  await say(server, 10, 'bob');
  const byUser = await runCli(t, ['stats', '--group-by', 'user_id', '--action', 'MESSAGE_SENT'], env);
  t.match(byUser, { code: 0, stdout: /^40 {2}█{40} {2}alice\n10 {2}█{10} {30} {2}bob\n$/, stderr: '' });
  const inTime = [
    'stats',
    '--group-by',
    'time',
    '--buckets',
    '3',
    '--from',
    '-1h',
    '--action',
    'MESSAGE_SENT',
    '--json',
  ];
  const answer = await runCli(t, inTime, env);
  t.match(JSON.parse(answer.stdout), { data: [{ count: 0 }, { count: 0 }, { count: 50 }] });
  t.match(await runCli(t, ['stats', '--group-by', 'time', '--buckets', '9999'], env), {
    code: exitCodes.usage,
    stderr: /minutebook: “buckets”/,
  });
});

test('stats shows counts, with a bar each, or the answer as it is', async (t) => {
  const asked: string[] = [];
  const answers: Record<string, unknown> = {
    time: {
      data: [
        { start: '2026-11-22T09:00:00.000000Z', count: 5 },
        { start: '2026-11-22T10:00:00.000000Z', count: 0 },
      ],
    },
    action: {
      data: [
        { value: 'MESSAGE_SENT', count: 1200 },
        { value: 'JOINED', count: 3 },
      ],
      complete: false,
    },
    room: { data: [], complete: true },
  };
  const url = await fakeServer(t, (request, response) => {
    asked.push(request.url ?? '');
    const group = new URL(request.url ?? '', 'http://localhost').searchParams.get('group_by') ?? '';
    response.setHeader('content-type', 'application/json').end(JSON.stringify(answers[group]));
  });
  const env = { MINUTEBOOK_URL: url, MINUTEBOOK_TOKEN: 'a.b.c' };
  const byAction = await runCli(t, ['stats', '--user-id', 'alice'], env);
  t.match(byAction, {
    code: 0,
    stdout: /^1200 {2}█{40} {2}MESSAGE_SENT\n {3}3 {2}█ +JOINED\n$/,
    stderr: /stop counting/,
  });
  t.match(await runCli(t, ['stats', '--group-by', 'time', '--buckets', '2', '--from', '-2h'], env), {
    code: 0,
    stdout: /^5 {2}█{40} {2}2026-11-22T09.*\n0 {44}2026-11-22T10/,
  });
  t.strictSame(asked, [
    '/audit/stats?user_id=alice&group_by=action',
    '/audit/stats?from=-2h&group_by=time&buckets=2',
  ]);
  t.match(await runCli(t, ['stats', '--group-by', 'room'], env), { code: 0, stdout: '', stderr: '' });
  t.match(await runCli(t, ['stats', '--group-by', 'room', '--json'], env), {
    stdout: '{"data":[],"complete":true}\n',
  });
});

test('token makes one that the server takes, or says why it cannot', async (t) => {
  const server = await build(t);
  const env = { JWT_SECRET: SECRET };
  const made = await runCli(t, ['token', 'carol', '--scope', 'audit:read', 'chat', '--expires', '2d'], env);
  t.match(made, { code: 0, stderr: '' });
  const token = made.stdout.trim();
  const { sub, scope, exp = 0, iat = 0 } = decodeJwt(token);
  t.strictSame(
    { sub, scope, lifetime: exp - iat },
    { sub: 'carol', scope: 'audit:read chat', lifetime: 172_800 },
  );
  t.equal((await server.get('/audit', { authorization: `Bearer ${token}` })).status, 200);

  const dataDir = await temporaryFolder(t);
  const inDevelopment = await runCli(t, ['token', 'dave', '--scope', 'chat'], { DATA_DIR: dataDir });
  t.equal(inDevelopment.code, 0);
  t.ok((await developmentSecret(dataDir)).length >= 32, 'the key that a server will have');

  const others = { JWKS_URL: 'https://issuer.example.org/keys' };
  t.match(await runCli(t, ['token', 'eve', '--scope', 'chat'], others), {
    code: exitCodes.denied,
    stdout: '',
    stderr: /only a public key .* is configured/,
  });
  for (const args of [
    ['eve'],
    ['', '--scope', 'chat'],
    ['--scope', 'chat', 'eve'],
    ['eve', '--scope', 'root'],
    ['eve', '--scope', 'chat', '--expires', '0h'],
  ]) {
    t.match(await runCli(t, ['token', ...args], env), { code: exitCodes.usage, stdout: '' }, args.join(' '));
  }
});

test('what goes wrong is said in the words of the server, with an exit code of its own', async (t) => {
  const server = await build(t);
  const env = await environmentOf(server);
  const cases: [args: string[], env: Record<string, string>, code: number, stderr: RegExp][] = [
    [['query', '--action', 'NONSENSE'], {}, exitCodes.usage, /minutebook: “action.*must be equal to one of/],
    [
      ['export', '--from', 'yesterday'],
      {},
      exitCodes.usage,
      /minutebook: “from” must be an RFC 3339 date-time/,
    ],
    [['query'], { MINUTEBOOK_TOKEN: 'a.b.c' }, exitCodes.denied, /The token is not valid here/],
    [
      ['tail'],
      { MINUTEBOOK_TOKEN: await server.token('alice', 'chat') },
      exitCodes.denied,
      /scope “audit:read”/,
    ],
    [['query'], { MINUTEBOOK_TOKEN: '', DATA_DIR: '/nowhere' }, exitCodes.denied, /There is no token/],
    [
      ['tail', '--follow'],
      { MINUTEBOOK_URL: 'http://127.0.0.1:1' },
      exitCodes.unavailable,
      /cannot be reached/,
    ],
    [['query', '--url', 'nonsense'], {}, exitCodes.usage, /is not an address/],
    [['query', '--room', 'a', '--room', 'b'], {}, exitCodes.usage, /minutebook: “room” must be given once/],
    [['export', '-o', ''], {}, exitCodes.usage, /names no file/],
    [['query', '--nonsense'], {}, exitCodes.usage, /unknown option '--nonsense'/],
    [['nonsense'], {}, exitCodes.usage, /unknown command 'nonsense'/],
  ];
  for (const [args, more, code, stderr] of cases) {
    const result = await runCli(t, args, { ...env, ...more });
    t.match(result, { code, stderr }, args.join(' '));
    t.equal(result.stdout, '', args.join(' '));
    t.notMatch(result.stderr, /\n +at /, 'no trace');
  }
});

test('what answers but is no Minutebook, and a connection that breaks, are errors of one line', async (t) => {
  const url = await fakeServer(t, (request, response) => {
    const room = new URL(request.url ?? '', 'http://localhost').searchParams.get('room');
    if (room === 'page') return response.setHeader('content-type', 'text/html').end('<html>');
    response.writeHead(room === 'refusal' ? 503 : 200, {
      'content-type': room === 'refusal' ? 'application/problem+json' : 'application/json',
      'content-length': 500,
    });
    return response.write('{"data":[', () => response.destroy());
  });
  const env = { MINUTEBOOK_URL: url, MINUTEBOOK_TOKEN: 'a.b.c' };
  for (const [args, stderr] of [
    [['query', '--room', 'page'], /^minutebook: What answers at .* is no Minutebook.*\n$/],
    [['tail', '-f', '--room', 'page'], /^minutebook: What answers at .* is no Minutebook.*\n$/],
    [['query', '--room', 'broken'], /^minutebook: The connection to .* broke\.\n$/],
    [['stats', '--room', 'refusal'], /^minutebook: The server answered 503\.\n$/],
  ] as const) {
    const result = await runCli(t, args, env);
    t.match(result, { code: exitCodes.unavailable, stdout: '', stderr }, args.join(' '));
  }
});

test('a server that has too much to do is asked again when it says', async (t) => {
  let asked = 0;
  const url = await fakeServer(t, (_request, response) => {
    asked += 1;
    if (asked === 1) {
      const problem = { detail: 'Too many requests.' };
      response.writeHead(429, { 'content-type': 'application/problem+json', 'retry-after': '1' });
      response.end(JSON.stringify(problem));
    } else {
      response.end(JSON.stringify({ data: [], has_more: false, next_cursor: null, first_seq: 0 }));
    }
  });
  t.match(await runCli(t, ['query'], { MINUTEBOOK_URL: url, MINUTEBOOK_TOKEN: 'a.b.c' }), {
    code: 0,
    stderr: '',
  });
  t.equal(asked, 2);
});

test('a reader who has enough, such as head, ends the command without a word', async (t) => {
  const server = await build(t);
  await say(server, 5_000);
  const env = await environmentOf(server);
  for (const args of [['query', '--all'], ['export']]) {
    const { child, stderr, ended } = await startCli(t, args, env);
    child.stdout?.once('data', () => child.stdout?.destroy());
    t.match(await ended, { code: 0 }, args.join(' '));
    t.equal(stderr(), '', args.join(' '));
  }
});

const isFullThere = existsSync('/dev/full');

test('output that cannot be written is an error of one line', { skip: !isFullThere }, async (t) => {
  const server = await build(t);
  const env = await environmentOf(server);
  for (const args of [['query'], ['export'], ['stats']]) {
    const { ended } = await startCli(t, args, env, '/dev/full');
    t.match(await ended, {
      code: exitCodes.failed,
      stderr: /^minutebook: The output cannot be written \(ENOSPC\)\.\n$/,
    });
  }
});

test('Ctrl-C ends a command at once, and says to scripts that it was not done', async (t) => {
  let asked = 0;
  const url = await fakeServer(t, (_request, response) => {
    asked += 1;
    // And no more.
    response.writeHead(200).write('{');
  });
  const env = { MINUTEBOOK_URL: url, MINUTEBOOK_TOKEN: 'a.b.c' };
  const file = join(await temporaryFolder(t), 'log');
  for (const args of [['query'], ['export'], ['export', '-o', file]]) {
    const before = asked;
    const { child, stderr, ended } = await startCli(t, args, env);
    await until('it has asked', () => asked > before);
    child.kill('SIGINT');
    t.match(await ended, { code: exitCodes.interrupted }, args.join(' '));
    t.equal(stderr(), '');
  }
});

test('every command has help with examples, and there is a version', async (t) => {
  for (const command of ['serve', 'tail', 'query', 'export', 'stats', 'token', 'doctor']) {
    const { code, stdout } = await runCli(t, [command, '--help']);
    t.equal(code, 0);
    t.match(stdout, new RegExp(`Examples:\n[\\s\\S]*\\$ (\\S+ )*minutebook ${command}`), command);
  }
  t.match((await runCli(t, ['token', '--help'])).stdout, /^Usage: minutebook token <user> --scope/);
  t.match(await runCli(t, ['--version']), { code: 0, stdout: /^\d+\.\d+\.\d+\n$/ });
  t.match(await runCli(t, []), { code: exitCodes.usage, stderr: /Usage: minutebook/ });
});

test('an export on the terminal is byte for byte what the server sent', async (t) => {
  const server = await build(t);
  await say(server, 100);
  const { stdout } = await runCli(t, ['export', '--action', 'MESSAGE_SENT'], await environmentOf(server));
  const lines = stdout.split('\n');
  const { sha256 } = JSON.parse(lines.at(-2) ?? '') as { sha256: string };
  t.equal(
    createHash('sha256')
      .update(`${lines.slice(0, -2).join('\n')}\n`)
      .digest('hex'),
    sha256,
  );
});
