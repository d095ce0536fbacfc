import { type Test, test } from 'tap';
import { build, type TestApp } from '../../support/app.ts';
import { connect, until } from '../../support/client.ts';
import { openStream } from '../../support/event-stream.ts';
import { endsOf, fill } from '../../support/export.ts';
import { type Issuer, issuer, makeKey, type SigningKey, signWith } from '../../support/issuer.ts';
import { buy, open, withTicket } from '../../support/ticket.ts';

const [old, renewed, stranger] = [makeKey('ES256', 'old'), makeKey('ES256', 'new'), makeKey('ES256', '?')];
const ENDED = { code: 4401, reason: 'the key of the token was withdrawn' };
/** What a withdrawn key let in ends within this time of the server’s learning of it, in milliseconds. */
const GONE_MS = 1_000;

/** Asks for something with a token by a key. */
const ask = async ({ url }: TestApp, key: SigningKey, path = '/audit/actions'): Promise<Response> =>
  fetch(url + path, { headers: { authorization: `Bearer ${await signWith(key)}` } });

/** Has an instance fetch the keys: who comes with one that is not known makes it do so. */
async function learn(server: TestApp, status = 401): Promise<void> {
  const answer = await ask(server, stranger);
  if (answer.status !== status) throw new Error(`${answer.status}: ${await answer.text()}`);
}

/** Two instances that know both keys. */
async function pair(t: Test): Promise<{ theirs: Issuer; one: TestApp; two: TestApp }> {
  const theirs = await issuer(t, old, renewed);
  const one = await build(t, { JWKS_URL: theirs.url });
  const two = await build(t, { JWKS_URL: theirs.url, DATABASE_URL: one.databaseUrl });
  for (const server of [one, two]) await ask(server, old);
  return { theirs, one, two };
}

/** Opens all that can stay open, by a key: sessions by token and by ticket, a stream and an export that nobody reads. */
async function openAll(t: Test, server: TestApp, elsewhere: TestApp, key: SigningKey) {
  const token = await signWith(key);
  const sessions = [
    await connect(t, server, 'alice', { token }),
    await open(t, server, withTicket(await buy(elsewhere, token))),
  ];
  for (const session of sessions) await session.next('welcome');
  const stream = await openStream(t, server, '', { token });
  const exported = await ask(server, key, '/audit/export?action=MESSAGE_SENT');
  t.teardown(() => exported.body?.cancel().catch(() => {}));
  t.strictSame([stream.status, exported.status], [200, 200]);
  return { sessions, stream, exported };
}

test('all that a withdrawn key let in ends within a second, and nothing else does', async (t) => {
  const { theirs, one, two } = await pair(t);
  await fill(one, 24);
  const gone = await openAll(t, one, two, old);
  const kept = await openAll(t, one, two, renewed);
  theirs.publish(renewed);
  await learn(one);
  const learnedAt = performance.now();
  for (const { closed } of gone.sessions) t.strictSame(await closed, ENDED);
  await gone.stream.closed;
  await until('the ends are on record', async () => (await endsOf(one)).length === 2);
  const took = performance.now() - learnedAt;
  t.ok(took < GONE_MS, `${Math.round(took)} ms`);
  await t.rejects(gone.exported.text(), 'the export has no end');
  t.strictSame(await endsOf(one), ['denied', 'token_withdrawn']);
  for (const session of kept.sessions) await session.ask({ type: 'message', text: 'still here' });
  t.match(await kept.stream.next('audit'), { data: {} });
  t.notOk(kept.stream.ended);
  t.match((await kept.exported.text()).slice(-250), '"end":true');
});

test('while the issuer is away, nothing ends that a known key let in', async (t) => {
  const { theirs, one, two } = await pair(t);
  await fill(one, 24);
  const { sessions, stream, exported } = await openAll(t, one, two, old);
  await theirs.goAway();
  await learn(one, 503);
  for (const session of sessions) await session.ask({ type: 'message', text: 'still here' });
  t.match(await stream.next('audit'), { data: {} });
  t.match((await exported.text()).slice(-250), '"end":true');
  t.notOk(stream.ended);
});

test('who is let in while their key is withdrawn does not stay', async (t) => {
  const { theirs, one } = await pair(t);
  const { promise: learned, resolve: goOn } = Promise.withResolvers<void>();
  let waiting = 0;
  one.app.auth.addGuard(async () => {
    waiting += 1;
    await learned;
  });
  const token = await signWith(old);
  const session = connect(t, one, 'alice', { token });
  const stream = openStream(t, one, '', { token });
  const exported = ask(one, old, '/audit/export');
  await until('their tokens were looked at', () => waiting === 3);
  theirs.publish(renewed);
  await learn(one);
  goOn();
  t.equal((await stream).status, 503);
  t.equal((await exported).status, 403);
  t.strictSame(await (await session).closed, ENDED);
  await until('the end is on record', async () => (await one.events('action=DISCONNECTED')).length === 1);
});

test('a ticket is worth no more than the key of the token that bought it', async (t) => {
  const { theirs, one, two } = await pair(t);
  const refused = (status: number) => ({ message: `refused: ${status}` });
  const tickets = await Promise.all(
    Array.from({ length: 2 }, async () => withTicket(await buy(two, await signWith(old)))),
  );
  theirs.publish(renewed);
  await learn(one);
  await t.rejects(open(t, one, tickets[0] ?? []), refused(401), 'where that is known');
  await (await open(t, two, tickets[1] ?? [])).next('welcome');

  const late = makeKey('ES256', 'late');
  theirs.publish(renewed, late);
  t.equal((await ask(two, late)).status, 200);
  const ticket = withTicket(await buy(two, await signWith(late)));
  await (await open(t, one, ticket)).next('welcome');
  t.pass('a key that is not known yet is asked for');
  const other = await build(t, { DATABASE_URL: one.databaseUrl });
  const elsewhere = withTicket(await buy(two, await signWith(late)));
  await t.rejects(
    open(t, other, elsewhere),
    refused(401),
    'an instance without the issuer believes none of it',
  );
});
