import { test } from 'tap';
import { IssuerKeys } from '../../../plugins/auth/issuer-keys.ts';
import { build, problemIn, type TestApp } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { issuer, makeKey, type SigningKey, signWith } from '../../support/issuer.ts';

const [first, second, third] = [makeKey('RS256', '1'), makeKey('ES256', '2'), makeKey('EdDSA', '3')];

const audit = async (server: TestApp, token: string): Promise<Response> =>
  server.get('/audit', { authorization: `Bearer ${token}` });
const statusFor = async (server: TestApp, key: SigningKey): Promise<number> =>
  (await audit(server, await signWith(key))).status;

test('keys rotate without a restart, for the API and for WebSockets', async (t) => {
  const theirs = await issuer(t, first);
  const server = await build(t, { JWKS_URL: theirs.url });
  t.equal(await statusFor(server, first), 200);
  t.equal(await statusFor(server, second), 401, 'not published yet');
  theirs.publish(first, second);
  t.equal(await statusFor(server, second), 200, 'published since');
  theirs.publish(second, third);
  const alice = await connect(t, server, 'alice', { token: await signWith(third) });
  await alice.next('welcome');
  t.equal(await statusFor(server, first), 401, 'withdrawn');
});

test('while the issuer is away, known keys are good, and an unknown one is 503, until it is back', async (t) => {
  const theirs = await issuer(t, first);
  const server = await build(t, { JWKS_URL: theirs.url });
  t.equal(await statusFor(server, first), 200);
  await theirs.goAway();
  const answer = await audit(server, await signWith(second));
  t.equal(answer.status, 503);
  t.match(await problemIn(answer), { code: 'keys_unavailable' });
  await t.rejects(connect(t, server, 'alice', { token: await signWith(second) }), {
    message: 'refused: 503',
  });
  t.equal(await statusFor(server, first), 200);
  const alice = await connect(t, server, 'alice', { token: await signWith(first) });
  await alice.next('welcome');
  t.equal(
    (await audit(server, await signWith(first, {}, { alg: 'RS512' }))).status,
    401,
    'what could not be good anyway is refused as such',
  );
  for (const action of ['REQUEST_REFUSED', 'CONNECTION_REFUSED']) {
    await until(`${action} is on record`, async () => (await server.events(`action=${action}`)).length > 0);
    t.match(await server.events(`action=${action}`), [
      { user_id: null, details: { code: 'keys_unavailable' } },
    ]);
  }
  theirs.publish(first, second);
  await theirs.comeBack();
  t.equal(await statusFor(server, second), 200);
});

test('a server may start before the issuer', async (t) => {
  const theirs = await issuer(t, first);
  await theirs.goAway();
  const server = await build(t, { JWKS_URL: theirs.url });
  t.equal(await statusFor(server, first), 503);
  await theirs.comeBack();
  t.equal(await statusFor(server, first), 200);
});

/** The keys of an issuer, with what failed so far. */
function keysOf(url: string, options: { refreshMs?: number; missMs?: number } = {}) {
  const failures: string[] = [];
  const keys = new IssuerKeys({
    url: new URL(url),
    onFailure: (error) => failures.push(error.message),
    ...options,
  });
  return { keys, failures };
}

test('whoever names unknown keys has the set fetched a few times, and not again for a while', async (t) => {
  const theirs = await issuer(t, first);
  const { keys } = keysOf(theirs.url);
  t.teardown(() => keys.close());
  await keys.fetch();
  for (let n = 0; n < 200; n += 1) t.strictSame(await keys.find('RS256', `made up ${n}`), []);
  await Promise.all(Array.from({ length: 200 }, (_, n) => keys.find('RS256', `made up as well ${n}`)));
  t.ok(theirs.requests() <= 6, `asked for ${theirs.requests()} times`);
  t.equal((await keys.find('RS256', '1')).length, 1, 'known keys need no asking');
});

test('many who wait for the same key wait for one answer', async (t) => {
  const theirs = await issuer(t, first);
  const { keys } = keysOf(theirs.url);
  t.teardown(() => keys.close());
  const found = await Promise.all(Array.from({ length: 50 }, () => keys.find('RS256', '1')));
  t.ok(found.every(({ length }) => length === 1));
  t.equal(theirs.requests(), 1);
});

test('after a while unknown keys are asked for again', async (t) => {
  const theirs = await issuer(t, first);
  const { keys } = keysOf(theirs.url, { missMs: 50 });
  t.teardown(() => keys.close());
  for (let n = 0; n < 20; n += 1) await keys.find('RS256', `made up ${n}`);
  theirs.publish(second);
  await until('it is found', async () => (await keys.find('ES256', '2')).length === 1);
});

test('a key that was withdrawn is forgotten at the next refresh, and kept while there is no answer', async (t) => {
  const theirs = await issuer(t, first, second);
  const { keys, failures } = keysOf(theirs.url, { refreshMs: 20 });
  t.teardown(() => keys.close());
  await keys.fetch();
  await theirs.goAway();
  await until('it failed a few times', () => failures.length > 3);
  t.equal((await keys.find('RS256', '1')).length, 1);
  theirs.publish(second);
  await theirs.comeBack();
  await until('it is gone', async () => (await keys.find('RS256', '1')).length === 0);
  t.equal((await keys.find('ES256', '2')).length, 1);
});

test('an answer that is no set of keys is none: what was known stays', async (t) => {
  const theirs = await issuer(t, first);
  const { keys, failures } = keysOf(theirs.url);
  t.teardown(() => keys.close());
  await keys.fetch();
  const elsewhere = await issuer(t, second);
  const set = JSON.stringify({ keys: [second.jwk] });
  const answers: [RegExp, Parameters<typeof theirs.answer>[0]][] = [
    [/status 500/, (_request, response) => void response.writeHead(500).end(set)],
    [/status 204/, (_request, response) => void response.writeHead(204).end()],
    [/fetch failed/, (_request, response) => void response.writeHead(302, { location: elsewhere.url }).end()],
    [/JSON/, (_request, response) => void response.end('<html>')],
    [/not a JWK Set/, (_request, response) => void response.end('{}')],
    [/longer than/, (_request, response) => void response.end(`${' '.repeat(300 * 1024)}${set}`)],
    [
      /terminated|fetch failed/,
      (_request, response) => {
        response.write('{');
        response.destroy();
      },
    ],
  ];
  for (const [message, answer] of answers) {
    theirs.answer(answer);
    await keys.fetch();
    t.match(failures.at(-1), message);
    t.equal((await keys.find('RS256', '1')).length, 1, 'the known key is kept');
    t.equal(failures.length, answers.findIndex(([, any]) => any === answer) + 1);
  }
  t.equal(elsewhere.requests(), 0, 'and a redirection is not followed');
  await t.rejects(keys.find('ES256', '2'), { code: 'keys_unavailable' });
});

test('an issuer that takes the request and says nothing is given up', async (t) => {
  const theirs = await issuer(t, first);
  theirs.answer(() => {});
  const { keys, failures } = keysOf(theirs.url);
  const startedAt = performance.now();
  await t.rejects(keys.find('RS256', '1'), { code: 'keys_unavailable' });
  t.ok(performance.now() - startedAt < 8_000);
  t.match(failures, [/timeout/]);
  const waiting = keys.fetch();
  keys.close();
  await waiting;
  t.equal(failures.length, 1, 'what is given up at the end is no failure');
});
