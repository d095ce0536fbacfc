import type { FastifyError, FastifyInstance } from 'fastify';
import { test } from 'tap';
import { sendProblem, toCodedError } from '../../plugins/errors.ts';
import { build, problemIn } from '../support/app.ts';
import { until } from '../support/client.ts';
import { openStream } from '../support/event-stream.ts';
import { proxy } from '../support/proxy.ts';
import { makeSlow, readSlowly } from '../support/slow-log.ts';

const bearer = async (token: Promise<string>): Promise<Record<string, string>> => ({
  authorization: `Bearer ${await token}`,
});

test('a user may make so many requests in a minute, over all routes, and not one more', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '4' });
  const alice = await bearer(server.token('alice', 'audit:read'));
  const fields = ({ headers }: Response) => [headers.get('ratelimit-policy'), headers.get('ratelimit')];
  for (const [index, path] of ['/audit', '/audit/0', '/sessions', '/audit/actions'].entries()) {
    const answer = await server.get(path, alice);
    t.equal(answer.status, 200, path);
    const [policy, limit] = fields(answer);
    t.equal(policy, '"queries";q=4;w=60', path);
    t.match(limit, new RegExp(`^"queries";r=${3 - index};t=\\d+$`), path);
  }
  const refused = await server.get('/audit', alice);
  t.match(await problemIn(refused), { status: 429, code: 'rate_limited' });
  const after = Number(refused.headers.get('retry-after'));
  t.ok(after > 50 && after <= 60, `Retry-After: ${after}`);
  t.equal(fields(refused)[1], `"queries";r=0;t=${after}`, 'both say the same');
  const bob = await server.get('/audit', await bearer(server.token('bob', 'audit:read')));
  t.equal(bob.status, 200, 'others are not held up');
});

test('who they are and whether they may is looked at before the limit, and what they ask for after it', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '1' });
  const alice = await bearer(server.token('alice', 'audit:read'));
  t.equal((await server.get('/audit?acton=x', alice)).status, 400, 'a request that is refused counts');
  t.equal((await server.get('/audit?acton=x', alice)).status, 429);
  t.equal((await server.get('/audit', await bearer(server.token('alice', 'chat')))).status, 403);
  t.equal((await server.get('/audit', {})).status, 401);
});

test('a request beyond the limit is on record as refused, with its user, and not as a read', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '2' });
  const alice = await bearer(server.token('alice', 'audit:read'));
  for (let number = 0; number < 5; number += 1) await server.get(`/audit?room=canary-${number}`, alice);
  await server.app.close();
  const after = await build(t, { DATABASE_URL: server.databaseUrl });
  t.equal((await after.events('action=AUDIT_READ&user_id=alice')).length, 2);
  const refused = await after.events('action=REQUEST_REFUSED&user_id=alice');
  t.strictSame(
    refused.map(({ details: { since, ...details }, ip }) => ({ ...details, ip })),
    [1, 2].map((count) => ({ code: 'rate_limited', count, method: 'GET', route: '/audit', ip: '127.0.0.1' })),
  );
  t.notMatch(JSON.stringify(refused), 'canary');
});

test('a limit of 0 counts nothing and says nothing', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '0' });
  const answers = await Promise.all(Array.from({ length: 350 }, () => server.get('/audit/actions')));
  t.ok(answers.every(({ status }) => status === 200));
  t.ok(answers.every(({ headers }) => headers.get('ratelimit') === null));
});

test('what needs no token is not counted', async (t) => {
  const server = await build(t, { LIMIT_QUERIES_PER_MINUTE: '1' });
  for (let number = 0; number < 3; number += 1) {
    t.equal((await server.get('/health/live', {})).status, 200);
    t.equal((await server.get('/openapi.json', {})).status, 200);
  }
});

/** A stream as a route would make one: it ends when the test says so. */
function streams() {
  const open = new Set<() => void>();
  const register = (app: FastifyInstance): void => {
    app.register(async (instance) => {
      // Registered before all others, it has none of theirs.
      instance.setErrorHandler((error: FastifyError, request, reply) =>
        sendProblem(reply, toCodedError(error, request)),
      );
      instance.get('/stream', {
        onRequest: (request, reply) => app.auth.requireScope('audit:read').call(app, request, reply),
        handler: (request, reply) => {
          app.limits.openStream(request, reply);
          reply.hijack();
          reply.raw.writeHead(200).write('open');
          open.add(() => reply.raw.end());
        },
      });
    });
  };
  return { open, register };
}

test('a user may have so many streams open, and not one more, until one is over', async (t) => {
  const { open, register } = streams();
  const server = await build(t, { LIMIT_STREAMS_PER_USER: '2' }, register);
  const alice = await bearer(server.token('alice', 'audit:read'));
  const readers = [new AbortController(), new AbortController()];
  const start = (signal?: AbortSignal): Promise<Response> =>
    fetch(`${server.url}/stream`, { headers: alice, signal: signal ?? null });
  for (const { signal } of readers) t.equal((await start(signal)).status, 200);
  const refused = await start();
  t.match(await problemIn(refused), { status: 429, code: 'rate_limited' });
  t.ok(Number(refused.headers.get('retry-after')) > 0);
  t.equal((await server.get('/stream', await bearer(server.token('bob', 'audit:read')))).status, 200);

  const [first] = open;
  first?.();
  await until('one that ended makes room', async () => (await start()).status === 200);
  t.equal((await start()).status, 429, 'for one');
  readers[1]?.abort();
  await until('one whose reader is gone makes room', async () => (await start()).status === 200);
  t.equal((await start()).status, 429, 'for one');
  for (const end of open) end();
});

test('without a limit any number of streams may be open', async (t) => {
  const { open, register } = streams();
  const server = await build(t, { LIMIT_STREAMS_PER_USER: '0' }, register);
  const answers = await Promise.all(Array.from({ length: 30 }, () => server.get('/stream')));
  t.ok(answers.every(({ status }) => status === 200));
  for (const end of open) end();
});

test('what the server cannot do now says when to ask again', async (t) => {
  const { databaseUrl } = await build(t);
  const between = await proxy(t, databaseUrl);
  const server = await build(t, { DATABASE_URL: between.url });
  between.setMode('refuse');
  const answer = await server.get('/audit');
  t.equal(answer.status, 503);
  t.match(await problemIn(answer), { code: 'audit_unavailable' });
  t.equal(answer.headers.get('retry-after'), '5');
});

test('a user has two reads under way at a time; others wait, and nobody else for them', async (t) => {
  const server = await build(t);
  await makeSlow(server, 0.8);
  const busy = () => {
    const { open, idle } = server.app.database.pools().read;
    return open - idle;
  };
  let answered = 0;
  const since = performance.now();
  const reads = Array.from({ length: 4 }, () =>
    readSlowly(server, 'alice').finally(() => {
      answered += 1;
    }),
  );
  await until('two are under way', () => busy() === 2);
  const bob = await server.get('/audit?user_id=bob', await bearer(server.token('bob', 'audit:read')));
  t.equal(bob.status, 200);
  t.equal(answered, 0, 'another one is answered before');
  let most = 0;
  await until('all are answered', () => {
    most = Math.max(most, busy());
    return answered === 4;
  });
  t.equal(most, 2);
  t.ok(performance.now() - since > 1_600, 'two by two');
  t.strictSame(
    (await Promise.all(reads)).map(({ status }) => status),
    [200, 200, 200, 200],
  );
});

test('a read that would wait too long is refused, on whatever route', async (t) => {
  const server = await build(t);
  await makeSlow(server, 4);
  const alice = await bearer(server.token('alice', 'audit:read', 'chat'));
  const reads = [readSlowly(server, 'alice'), readSlowly(server, 'alice')];
  await until('two are under way', () => {
    const { open, idle } = server.app.database.pools().read;
    return open - idle === 2;
  });
  const since = performance.now();
  const paths = ['/audit', '/audit/0', '/audit/me', '/sessions'];
  const answers = await Promise.all(paths.map((path) => server.get(path, alice)));
  const waited = performance.now() - since;
  for (const answer of answers) {
    t.match(await problemIn(answer), { status: 429, code: 'rate_limited' }, answer.url);
    t.equal(answer.headers.get('retry-after'), '5');
  }
  t.ok(waited > 1_900 && waited < 3_500, `after ${waited} ms`);
  t.equal((await server.get('/audit/actions', alice)).status, 200, 'which is no read of the log');
  t.strictSame(
    (await Promise.all(reads)).map(({ status }) => status),
    [200, 200],
  );
  t.equal((await server.get('/audit?user_id=alice', alice)).status, 200);
});

test('whatever one user has under way, exports and streams included, another one’s page is answered meanwhile', async (t) => {
  const server = await build(t);
  await makeSlow(server, 0.8);
  const alice = await bearer(server.token('alice', 'audit:read'));
  const busy = () => {
    const { open, idle } = server.app.database.pools().read;
    return open - idle;
  };
  let answered = 0;
  const count = <T>(answer: T): T => {
    answered += 1;
    return answer;
  };
  const follow = () => openStream(t, server, 'user_id=slow&from=-1h', { user: 'alice' });
  const streams = await Promise.all([follow(), follow()]);
  const exports = [1, 2].map(() => server.get('/audit/export?user_id=slow', alice).then(count));
  const pages = [1, 2, 3].map(() => readSlowly(server, 'alice').then(count));
  await until('as much is under way as one user may have', () => busy() === 3);
  const bob = await server.get('/audit?user_id=bob', await bearer(server.token('bob', 'audit:read')));
  t.equal(bob.status, 200);
  t.equal(answered, 0, 'another one is answered before');
  let most = 0;
  await until('all are answered', () => {
    most = Math.max(most, busy());
    return answered === 5;
  });
  t.equal(most, 3);
  for (const { status } of await Promise.all([...exports, ...pages])) t.equal(status, 200);
  for (const answer of await Promise.all(exports)) t.match(await answer.text(), '"end":true');
  for (const stream of streams) t.match(await stream.next('audit'), { data: { user_id: 'slow' } });
});

test('exports and streams of any number of users read two pages at a time', async (t) => {
  const server = await build(t);
  await makeSlow(server, 0.4);
  const busy = () => {
    const { open, idle } = server.app.database.pools().read;
    return open - idle;
  };
  const users = ['alice', 'bob', 'carol'];
  const exports = users.map(async (user) =>
    server.get('/audit/export?user_id=slow', await bearer(server.token(user, 'audit:read'))),
  );
  const streams = await Promise.all(
    users.map((user) => openStream(t, server, 'user_id=slow&from=-1h', { user })),
  );
  // From when the first have had their page: what is asked before a stream or export begins is over by then.
  await until('one has its page', () => streams.some(({ events }) => events.length === 1));
  let most = 0;
  const watch = setInterval(() => {
    most = Math.max(most, busy());
  }, 5);
  await until('all have their page', () => streams.every(({ events }) => events.length === 1));
  for (const answer of await Promise.all(exports)) t.match(await answer.text(), '"end":true');
  clearInterval(watch);
  t.equal(most, 2);
});
