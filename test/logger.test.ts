import { connect } from 'node:net';
import { test } from 'tap';
import { until } from './support/client.ts';
import { createDatabase } from './support/postgres.ts';
import { handshake, head } from './support/raw.ts';
import { startServer } from './support/server.ts';

/** What would forge a line of the log, or talk to the terminal of who reads it. */
const INJECTIONS = [
  'bob\r\n{"level":60,"msg":"fake"}',
  'bob%0d%0a{"level":60,"msg":"fake"}',
  'bob%0A%7B%22level%22%3A60%2C%22msg%22%3A%22fake%22%7D',
  '"},"level":60,"msg":"fake"',
  '\u001b[2J\u001b]0;owned\u0007',
  '%1b[2J',
  '\u009b2J',
  '%C2%9B2J',
  'nul\0nul',
  '%00',
  'bell\u0007 back\b\b\b\b delete\u007f',
  'a\u0085b',
  '\u2028\u2029\u202e',
  '\\u000a\\',
];

test('no path, name or header forges a line of the process’s log, or speaks to a terminal', async (t) => {
  const server = await startServer(t, {
    env: { DATABASE_URL: await createDatabase(t), LOG_LEVEL: 'trace', TRUST_PROXY: '127.0.0.1' },
  });
  const { port } = new URL(server.url);
  /** Sends bytes of both encodings that a client may mean; a server that refuses to read them has not been fooled. */
  const send = (text: string): Promise<void> =>
    new Promise((resolve) => {
      const socket = connect(Number(port), '127.0.0.1');
      socket.on('error', () => {});
      socket.on('close', () => resolve());
      socket.setTimeout(500, () => socket.destroy());
      socket.resume();
      socket.write(Buffer.from(text, 'latin1'));
    });
  for (const text of INJECTIONS) {
    for (const spelling of [text, Buffer.from(text).toString('latin1')]) {
      await Promise.all([
        send(head(`GET /${spelling}`)),
        send(head(`GET /audit/${spelling}`)),
        send(head(`${spelling} /audit`)),
        send(head(`GET /health/live?${spelling}`)),
        send(head('GET /health/live', { 'user-agent': spelling, 'x-request-id': spelling })),
        send(head('GET /audit', { authorization: spelling, 'x-forwarded-for': spelling })),
        send(head('GET /audit', { host: `localhost${spelling}` })),
        send(handshake(`/ws?user=${spelling}`, { 'user-agent': spelling })),
        send(handshake('/ws?user=bob', { 'user-agent': spelling, origin: spelling })),
      ]);
    }
  }
  await until(
    'the last is answered',
    async () => (await fetch(`${server.url}/health/live?end`)).status === 400,
  );
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);

  const lines = server.output().trim().split('\n');
  const jsonLines = lines.filter((line) => line.startsWith('{"level":'));
  t.ok(jsonLines.length > 50, `${jsonLines.length} lines`);
  for (const line of jsonLines) {
    const entry = JSON.parse(line) as { level: number; msg: string };
    t.not(entry.level, 60, line);
    t.not(entry.msg, 'fake', line);
  }
  // The rest is the banner.
  t.ok(lines.length - jsonLines.length < 20, 'no line of anybody else');
  // biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is looked for
  t.notMatch(server.output(), /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u2028\u2029\u202e]/);
});
