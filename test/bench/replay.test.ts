import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { test } from 'tap';
import { readPlan } from '../../bench/replay/plan.ts';
import type { AuditEvent, AuditPage } from '../../src/core/schemas.ts';
import { build } from '../support/app.ts';

const ROOT = join(import.meta.dirname, '../..');
/** Another record can be checked in the same way: REPLAY_FILE=month.ndjson.gz npm test -- test/bench/replay.test.ts */
const FILE = process.env.REPLAY_FILE ?? join(ROOT, 'bench/replay/sample.ndjson');

type Result = { code: number; output: string };

function replay(...parameters: string[]): Promise<Result> {
  return new Promise((resolve) => {
    const script = join(ROOT, 'bench/replay/main.ts');
    execFile(process.execPath, [script, ...parameters], { maxBuffer: 1e8 }, (error, stdout, stderr) =>
      resolve({ code: error === null ? 0 : Number(error.code), output: stdout + stderr }),
    );
  });
}

const count = (output: string, label: string): number =>
  Number(
    new RegExp(`^  ${label} +([\\d,]+)`, 'm')
      .exec(output.slice(output.indexOf('\nresult')))?.[1]
      ?.replaceAll(',', ''),
  );

test('a chat record goes through real clients and is found again, to the last character', {
  timeout: 900_000,
}, async (t) => {
  const server = await build(t, { JWT_SECRET: '' });
  const url = `${server.url.replace('http', 'ws')}/ws`;
  const { code, output } = await replay(FILE, '--url', url, '--room', 'month');
  t.comment(output);
  t.equal(code, 0, 'everything was acknowledged');
  const plan = await readPlan(FILE);
  const { joins, leaves, messages } = plan.played;
  const total = joins + leaves + messages;
  t.equal(count(output, 'sent'), total);
  t.equal(count(output, 'acknowledged'), total);
  t.equal(count(output, 'refused'), 0);

  const events: AuditEvent[] = await server.events();
  t.strictSame(
    events.map(({ seq }) => seq),
    events.map((_, index) => index),
    'all pages together hold each event once',
  );
  const wrong: string[] = [];
  for (const [user, steps] of plan.users) {
    const own = events.filter(({ user_id }) => user_id === user);
    for (const [kind, action] of [
      ['join', 'JOINED'],
      ['leave', 'LEFT'],
      ['message', 'MESSAGE_SENT'],
    ] as const) {
      const expected = steps.filter((step) => step.kind === kind).length;
      const page: AuditPage = await server.page(`user_id=${user}&action=${action}&limit=1&total=exact`);
      if (page.total?.value !== expected)
        wrong.push(`${user} ${action}: ${page.total?.value}, not ${expected}`);
    }
    const said = own.filter(({ action }) => action === 'MESSAGE_SENT').map(({ message }) => message);
    const texts = steps.filter(({ kind }) => kind === 'message').map(({ text }) => text);
    if (JSON.stringify(said) !== JSON.stringify(texts)) wrong.push(`${user}: texts`);
    const ends = own.filter(({ action }) => action === 'CONNECTED' || action === 'DISCONNECTED').length;
    if (ends !== 2) wrong.push(`${user}: ${ends} of CONNECTED and DISCONNECTED`);
  }
  t.strictSame(wrong, [], `${plan.users.size} users, every action, every text in order`);
});

test('a server that refuses makes the tool end with 1, and a wrong call with 2', async (t) => {
  const server = await build(t);
  const url = `${server.url.replace('http', 'ws')}/ws`;
  const refused = await replay(FILE, '--url', url);
  t.equal(refused.code, 1, 'a token would be needed');
  t.equal(count(refused.output, 'acknowledged'), 0);
  for (const parameters of [
    [],
    ['no-such-file'],
    [FILE, '--speed', 'fast'],
    [FILE, '--url', 'x'],
    [FILE, '--what'],
  ]) {
    t.equal((await replay(...parameters)).code, 2, parameters.join(' '));
  }
});

test('at the door as well, with more users than an address may have connections', async (t) => {
  const server = await build(t, { JWT_SECRET: '', LIMIT_CONNECTIONS_PER_IP: '4' });
  const { code, output } = await replay(FILE, '--url', `${server.url.replace('http', 'ws')}/ws`);
  t.equal(code, 0, output);
  t.ok(count(output, 'told to wait') > 0);
});

test('told to wait, the tool waits and goes on', async (t) => {
  const server = await build(t, { JWT_SECRET: '', LIMIT_FRAMES_PER_SECOND: '5' });
  const { code, output } = await replay(FILE, '--url', `${server.url.replace('http', 'ws')}/ws`);
  t.equal(code, 0);
  t.ok(count(output, 'told to wait') > 0);
});
