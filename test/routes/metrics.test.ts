import { request } from 'node:http';
import { connect, createServer } from 'node:net';
import { networkInterfaces } from 'node:os';
import { type Test, test } from 'tap';
import { build, problemIn, SECRET, temporaryFolder } from '../support/app.ts';
import { until } from '../support/client.ts';
import { readScrape } from '../support/exposition.ts';
import { createDatabase } from '../support/postgres.ts';
import { type RunningServer, type ServerOptions, startServer } from '../support/server.ts';

/** An address of this machine that is not loopback; undefined on a machine without a network. */
const outerAddress = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === 'IPv4' && !address.internal)?.address;

/** A server on a database of its own; without an embedded one it starts soon. */
const start = async (
  t: Test,
  env: Record<string, string>,
  options: ServerOptions = {},
): Promise<RunningServer> =>
  startServer(t, { ...options, env: { DATABASE_URL: await createDatabase(t), ...env } });

/** Where a server says that its metrics are; its log may come later than the line that it listens. */
async function metricsUrl(server: RunningServer): Promise<string> {
  const said = (): string | undefined => /metrics are served on (http:[^"\s]+)"/.exec(server.output())?.[1];
  await until('it says where its metrics are', () => said() !== undefined);
  return said() ?? '';
}

test('/metrics is there for this machine, as Prometheus asks for it', async (t) => {
  const server = await build(t);
  const answer = await server.get('/metrics', {});
  t.equal(answer.status, 200);
  t.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.equal(answer.headers.get('cache-control'), 'no-store');
  t.equal(readScrape(await answer.text()).value('minutebook_log_writable'), 1);
  t.equal((await fetch(`${server.url}/metrics`, { method: 'HEAD' })).status, 200);
  const misspelt = await server.get('/metrics?name[]=x', {});
  t.equal(misspelt.status, 400);
  t.match(await problemIn(misspelt), { code: 'invalid_parameter' });
});

test('the address of the connection decides, and no header makes another machine this one', async (t) => {
  const { app, events } = await build(t);
  const ask = async (remoteAddress: string, headers: Record<string, string> = {}) =>
    (await app.inject({ url: '/metrics', remoteAddress, headers })).statusCode;
  for (const address of ['127.0.0.1', '127.8.9.10', '::1', '::ffff:127.0.0.1'])
    t.equal(await ask(address), 200, address);
  for (const address of ['192.0.2.7', '::ffff:192.0.2.7', '10.0.0.1', '2001:db8::1', 'fe80::1']) {
    t.equal(await ask(address), 403, address);
    for (const name of ['x-forwarded-for', 'x-real-ip', 'forwarded', 'host']) {
      t.equal(await ask(address, { [name]: '127.0.0.1' }), 403, `${address}, ${name}`);
    }
  }
  for (const name of ['x-forwarded-for', 'x-real-ip', 'forwarded', 'via']) {
    t.equal(await ask('127.0.0.1', { [name]: '192.0.2.7' }), 403, `a proxy of this machine, ${name}`);
  }
  await until('it is on record', async () => (await events('action=ACCESS_DENIED')).length > 0);
  t.match((await events('action=ACCESS_DENIED'))[0]?.details, { code: 'forbidden', route: '/metrics' });
});

test('who connects over the network gets no metrics without METRICS_PORT, and with it from there', async (t) => {
  if (outerAddress === undefined) {
    t.comment('skipped: this machine has no address but loopback');
    t.pass();
    return;
  }
  const env = { HOST: '0.0.0.0', JWT_SECRET: SECRET };
  const over = (url: string): string => url.replace(/\/\/[^:]+:/, `//${outerAddress}:`);

  const plain = await start(t, env);
  t.equal((await fetch(over(`${plain.url}/health/live`))).status, 200);
  const refused = await fetch(over(`${plain.url}/metrics`), { headers: { 'x-forwarded-for': '127.0.0.1' } });
  t.equal(refused.status, 403);
  t.match(await problemIn(refused), { code: 'forbidden', detail: /METRICS_PORT/ });
  t.equal((await fetch(`${plain.url.replace('0.0.0.0', '127.0.0.1')}/metrics`)).status, 200);

  const apart = await start(t, { ...env, METRICS_PORT: '0' });
  const scraped = await fetch(over(await metricsUrl(apart)));
  t.equal(scraped.status, 200);
  readScrape(await scraped.text());
});

test('with METRICS_PORT it is there and nowhere else, and nothing else is there', async (t) => {
  const server = await start(t, { METRICS_PORT: '0' });
  const url = await metricsUrl(server);
  t.not(new URL(url).port, new URL(server.url).port);
  t.equal(new URL(url).hostname, '127.0.0.1', 'HOST');
  const answer = await fetch(url);
  t.equal(answer.headers.get('content-type'), 'text/plain; version=0.0.4; charset=utf-8');
  t.equal(readScrape(await answer.text()).value('minutebook_log_writable'), 1);
  const elsewhere = await fetch(`${server.url}/metrics`);
  t.equal(elsewhere.status, 404);
  for (const path of ['/', '/audit', '/health/ready', '/docs', '/metrics/x']) {
    const other = await fetch(new URL(path, url));
    t.equal(other.status, 404, path);
    t.match(await problemIn(other), { code: 'not_found' });
  }
  // In development mode, a page whose own name resolves to 127.0.0.1 must not read it.
  const status = await new Promise((resolve) => {
    request(url, { headers: { host: 'evil.example' } }, (response) => {
      response.resume();
      resolve(response.statusCode);
    }).end();
  });
  t.equal(status, 403);

  // The connections of fetch are kept alive, and one has a request that never ends; they must not hold up the end.
  const { port, hostname } = new URL(url);
  const stuck = connect(Number(port), hostname);
  stuck.on('error', () => {});
  t.teardown(() => stuck.destroy());
  await new Promise((resolve) => stuck.write('GET /metrics HTTP/1.1\r\nHost: ', resolve));
  const startedAt = performance.now();
  server.child.kill('SIGTERM');
  t.equal(await server.exited, 0);
  t.ok(performance.now() - startedAt < 5_000);
});

test('a METRICS_PORT that cannot be had stops the start with one line that names it', async (t) => {
  const taken = createServer();
  await new Promise<void>((resolve) => taken.listen(0, '127.0.0.1', resolve));
  t.teardown(() => taken.close());
  const { port } = taken.address() as { port: number };
  for (const [env, expected] of [
    [{ METRICS_PORT: `${port}` }, `Port ${port} on 127.0.0.1 is in use. Set METRICS_PORT`],
    [{ METRICS_PORT: '70000' }, 'METRICS_PORT must be at most 65535'],
    [{ METRICS_PORT: 'http' }, 'METRICS_PORT is not valid'],
    [{ METRICS_PORT: '4000', PORT: '4000' }, 'METRICS_PORT and PORT are both 4000'],
  ] as [Record<string, string>, string][]) {
    const server = await start(t, { LOG_LEVEL: 'warn', ...env });
    t.equal(await server.exited, 1, expected);
    t.ok(server.output().startsWith(expected), server.output());
    t.equal(server.output().trim().split('\n').length, 1, `one line: ${server.output()}`);
  }
});

test('an empty METRICS_PORT counts as unset', async (t) => {
  const server = await build(t, { METRICS_PORT: '', DATA_DIR: await temporaryFolder(t) });
  t.equal((await server.get('/metrics', {})).status, 200);
});
