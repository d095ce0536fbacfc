import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { test } from 'tap';
import { exitCodes } from '../../src/cli/exit.ts';
import type { AuditEvent } from '../../src/core/schemas.ts';
import { build, SECRET, type TestApp } from '../support/app.ts';
import { type RunningCli, startCli } from '../support/cli.ts';
import { until } from '../support/client.ts';
import { eventAt } from '../support/log.ts';
import { createDatabase } from '../support/postgres.ts';
import { startServer } from '../support/server.ts';
import { tokenFor } from '../support/token.ts';

const seqsOf = ({ stdout }: RunningCli): number[] =>
  stdout()
    .split('\n')
    .slice(0, -1)
    .map((line) => (JSON.parse(line) as AuditEvent).seq);

const printed = (cli: RunningCli, count: number): Promise<void> =>
  until(`${count} events are printed`, () => seqsOf(cli).length >= count);

async function say(server: TestApp, count: number): Promise<void> {
  await Promise.all(
    Array.from({ length: count }, (_, n) =>
      server.app.audit.record({ action: 'MESSAGE_SENT', user_id: 'alice', room: 'lobby', message: `${n}` }),
    ),
  );
}

test('tail --follow prints the last events, then each new one once, until Ctrl-C', async (t) => {
  const server = await build(t);
  await say(server, 30);
  const env = { MINUTEBOOK_URL: server.url, MINUTEBOOK_TOKEN: await server.token('auditor', 'audit:read') };
  const follow = ['tail', '--follow', '--json', '--action', 'MESSAGE_SENT'];
  const cli = await startCli(t, [...follow, '-n', '5'], env);
  await printed(cli, 5);
  await say(server, 40);
  await printed(cli, 45);
  const messages = (await server.events('action=MESSAGE_SENT')).map(({ seq }) => seq);
  t.strictSame(seqsOf(cli), messages.slice(25));
  cli.child.kill('SIGINT');
  t.match(await cli.ended, { code: 0, stderr: '' });

  const whole = await startCli(t, [...follow, '--from', '-1h'], env);
  await printed(whole, 70);
  await say(server, 1);
  await printed(whole, 71);
  t.strictSame(new Set(seqsOf(whole)).size, 71, 'from the past on, and none twice');

  const [, second] = await server.events('action=MESSAGE_SENT');
  const past = await startCli(t, [...follow, '--from', '-1h', '--to', second?.timestamp ?? ''], env);
  t.match(await past.ended, { code: 0 }, 'an interval that is over has an end');
  const before = (await server.events(`action=MESSAGE_SENT&to=${second?.timestamp}`)).map(({ seq }) => seq);
  t.strictSame(seqsOf(past), before);
});

test('tail --follow reads few more of the past than it prints', async (t) => {
  const server = await build(t);
  await say(server, 200);
  const env = { MINUTEBOOK_URL: server.url, MINUTEBOOK_TOKEN: await server.token('erin', 'audit:read') };
  const cli = await startCli(t, ['tail', '-f', '-n', '5', '--json'], env);
  await printed(cli, 5);
  const reads = await server.events('action=AUDIT_READ&user_id=erin');
  t.equal(reads.length, 1);
  t.ok(Number(reads[0]?.details.rows) < 100);
});

test('tail --follow -n 0 prints only what is recorded from now on, and reads nothing else', async (t) => {
  const server = await build(t);
  await say(server, 3);
  const env = { MINUTEBOOK_URL: server.url, MINUTEBOOK_TOKEN: await server.token('erin', 'audit:read') };
  const cli = await startCli(t, ['tail', '-f', '-n', '0', '--json', '--action', 'MESSAGE_SENT'], env);
  await until('it follows', () => server.app.streams.stats().open === 1);
  await until('it is on record', async () => (await server.events('action=AUDIT_STREAMED')).length === 1);
  await say(server, 1);
  await printed(cli, 1);
  t.strictSame(
    seqsOf(cli),
    (await server.events('action=MESSAGE_SENT')).slice(-1).map(({ seq }) => seq),
  );
  t.strictSame(await server.events('action=AUDIT_READ&user_id=erin'), []);
  cli.child.kill('SIGINT');
  t.match(await cli.ended, { code: 0, stderr: '' });
});

test('tail --follow goes on through a restart of the server, without loss or repeat', async (t) => {
  const DATABASE_URL = await createDatabase(t);
  const start = (port: string) =>
    startServer(t, { env: { DATABASE_URL, JWT_SECRET: SECRET, PORT: port, LOG_LEVEL: 'warn' } });
  const first = await start('0');
  const { port } = new URL(first.url);
  const cli = await startCli(t, ['tail', '-f', '--json', '--from', '-1h'], {
    MINUTEBOOK_URL: first.url,
    MINUTEBOOK_TOKEN: await tokenFor('auditor', 'audit:read'),
  });
  await until('it follows', () => cli.stdout().includes('"SERVER_STARTED"'));
  first.child.kill('SIGKILL');
  await first.exited;
  await until('the break is noticed', () => cli.stderr().includes('the stream is gone'));
  const second = await start(port);
  await until('the next start is printed', () => cli.stdout().split('"SERVER_STARTED"').length === 3);
  t.match(cli.stderr(), 'the stream is back');
  second.child.kill('SIGTERM');
  await second.exited;
  await start(port);
  await until('the one after it as well', () => cli.stdout().split('"SERVER_STARTED"').length === 4);
  const seqs = seqsOf(cli);
  t.strictSame(
    seqs,
    seqs.map((_, index) => index),
    'every number from the first on, each once',
  );
  cli.child.kill('SIGTERM');
  t.match(await cli.ended, { code: 0 });
});

test('what the stream goes on from, and what it says when it must go on elsewhere', async (t) => {
  const asked: (string | undefined)[] = [];
  const block = (event: string, id: string, data: unknown): string =>
    `event: ${event}\nid: ${id}\ndata: ${JSON.stringify(data)}\n\n`;
  const answers: ((response: ServerResponse) => void)[] = [
    (response) =>
      response.end(`${block('open', 'e:4', {})}${block('audit', 'e:5', eventAt(5))}event: audit\nid: e:6\n`),
    // A heartbeat: nothing matched as far as 90.
    (response) => response.end(`${block('open', 'e:5', {})}: beat\nid: e:90\n\n`),
    (response) => response.writeHead(503).end(),
    (response) => response.destroy(),
    (response) => response.end(block('reset', 'f:2', { reason: 'epoch' })),
    (response) => response.end(`${block('audit', 'f:3', eventAt(3))}${block('end', 'f:3', {})}`),
  ];
  const server = createServer(({ url = '', headers }: IncomingMessage, response) => {
    if (!url.startsWith('/audit/stream')) {
      response.end(
        JSON.stringify({ data: [eventAt(6), eventAt(4)], has_more: false, next_cursor: null, first_seq: 0 }),
      );
      return;
    }
    asked.push(headers['last-event-id'] as string | undefined);
    answers.shift()?.(response);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const env = { MINUTEBOOK_URL: `http://127.0.0.1:${port}`, MINUTEBOOK_TOKEN: 'a.b.c' };
  const cli = await startCli(t, ['tail', '-f', '--json', '--room', 'lobby'], env);
  t.match(await cli.ended, {
    code: 0,
    stderr: /the stream is gone.*\n.*the stream is back\n[\s\S]*goes on elsewhere/,
  });
  t.strictSame(asked, [undefined, 'e:5', 'e:90', 'e:90', 'e:90', 'f:2']);
  t.strictSame(seqsOf(cli), [4, 5, 3], 'what came with the head is not printed twice');
});

test('a right that is gone ends the following, with its exit code', async (t) => {
  let asked = 0;
  const server = createServer((_request, response) => {
    asked += 1;
    if (asked === 1) response.end('event: open\nid: e:4\n\n');
    else
      response
        .writeHead(403, { 'content-type': 'application/problem+json' })
        .end('{"detail":"You are banned."}');
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => server.close());
  const { port } = server.address() as AddressInfo;
  const env = { MINUTEBOOK_URL: `http://127.0.0.1:${port}`, MINUTEBOOK_TOKEN: 'a.b.c' };
  const cli = await startCli(t, ['tail', '-f', '--from', '-1h'], env);
  t.match(await cli.ended, { code: exitCodes.denied, stderr: /minutebook: You are banned\./ });
});
