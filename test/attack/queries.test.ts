import fc from 'fast-check';
import { test } from 'tap';
import { actionNames } from '../../src/core/actions.ts';
import { errorCodes } from '../../src/core/errors.ts';
import { type AuditEvent, type AuditPage, AuditQuery, type Problem } from '../../src/core/schemas.ts';
import { build, type TestApp } from '../support/app.ts';
import { connect } from '../support/client.ts';
import { noLimits } from '../support/limits.ts';
import { anyText, holds, mutated } from '../support/property.ts';

const known = Object.keys(AuditQuery.properties);
const good: Record<string, string[]> = {
  action: ['MESSAGE_SENT', 'JOINED', 'CONNECTED'],
  user_id: ['alice', 'bob', 'nobody', '__proto__', '%'],
  target_user_id: ['alice'],
  involves: ['alice', 'bob'],
  room: ['lobby', 'other', 'nowhere'],
  session_id: ['0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11'],
  ip: ['127.0.0.1', '::1', '::ffff:127.0.0.1'],
  from: ['-1h', '-999999w', '2020-01-01T00:00:00Z', '2026-01-01T00:00:00+02:00'],
  to: ['-0s', '9999-01-01T00:00:00Z', '2021-01-01T00:00:00.123456Z'],
  limit: ['1', '2', '1000'],
  order: ['asc', 'desc'],
  total: ['none', 'exact'],
};

/** By name; some of the names made up are those that every object has. */
const goodValues = (name: string): string[] => (Object.hasOwn(good, name) ? (good[name] ?? []) : ['x']);

const name = fc.oneof(
  { weight: 12, arbitrary: fc.constantFrom(...Object.keys(good)) },
  { weight: 1, arbitrary: fc.constantFrom(...known).chain(mutated) },
  {
    weight: 1,
    arbitrary: fc.constantFrom('user', 'user_id[]', 'room[0]', '__proto__', 'constructor', 'offset', ''),
  },
);

const pair = name.chain((key) =>
  fc.tuple(
    fc.constant(key),
    fc.oneof(
      { weight: 10, arbitrary: fc.constantFrom(...goodValues(key)) },
      { weight: 2, arbitrary: fc.constantFrom(...goodValues(key)).chain(mutated) },
      { weight: 1, arbitrary: anyText(20) },
      { weight: 1, arbitrary: fc.constantFrom(...actionNames, '', ' ', '-1', '1e2', 'null', '[]', '{}') },
    ),
  ),
);

const encoded = (text: string): string => encodeURIComponent(Buffer.from(text).toString());

/** Query strings: good ones, bad ones, and any bytes that HTTP lets pass. */
const query = fc.oneof(
  {
    weight: 9,
    arbitrary: fc
      .array(pair, { maxLength: 5 })
      .map((pairs) => pairs.map(([key, value]) => `${encoded(key)}=${encoded(value)}`).join('&')),
  },
  {
    weight: 1,
    arbitrary: fc.string({
      unit: fc.constantFrom(...'user_id=alice&%+?/;[]0123456789ABCDEF-'),
      maxLength: 60,
    }),
  },
);

const isKnown = (code: string): boolean => Object.hasOwn(errorCodes, code);

/** Why an event should not be on a page of this query; undefined: it should. */
function mismatch(event: AuditEvent, asked: URLSearchParams, page: AuditPage): string | undefined {
  const is = (key: string, ...values: (string | null)[]): boolean =>
    !asked.has(key) || asked.getAll(key).some((one) => values.includes(one));
  if (!is('action', event.action)) return 'action';
  if (!is('user_id', event.user_id)) return 'user_id';
  if (!is('target_user_id', event.target_user_id)) return 'target_user_id';
  if (!is('involves', event.user_id, event.target_user_id)) return 'involves';
  if (!is('room', event.room)) return 'room';
  if (asked.has('session_id') && asked.get('session_id')?.toLowerCase() !== event.session_id)
    return 'session_id';
  if (asked.has('from') && !(page.from !== undefined && event.timestamp >= page.from)) return 'from';
  if (asked.has('to') && !(page.to !== undefined && event.timestamp < page.to)) return 'to';
  return undefined;
}

async function checkAnswer(server: TestApp, authorization: string, text: string): Promise<void> {
  const answer = await server.get(`/audit?${text}`, { authorization });
  if (answer.status === 400) {
    const { code, parameter, status } = (await answer.json()) as Problem;
    if (!isKnown(code) || status !== 400) throw new Error(`the code ${code}`);
    // Only what is not even a query string has no parameter to blame.
    if (parameter === undefined && code !== 'bad_request') throw new Error('no parameter is named');
    return;
  }
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  const page = (await answer.json()) as AuditPage;
  // As the browser's own parser reads it (WHATWG URL 5.1), another one than the server's.
  const asked = new URLSearchParams(text);
  for (const key of asked.keys()) if (!known.includes(key)) throw new Error(`“${key}” was ignored`);
  for (const key of known) {
    if (!['action', 'user_id'].includes(key) && asked.getAll(key).length > 1)
      throw new Error(`“${key}” twice`);
  }
  for (const event of page.data) {
    const why = mismatch(event, asked, page);
    if (why !== undefined) throw new Error(`event ${event.seq} does not match “${why}”`);
  }
}

test('any query string gets what it asks for, or a 400 that names what is wrong', async (t) => {
  const server = await build(t, noLimits);
  for (const [user, room] of [
    ['alice', 'lobby'],
    ['bob', 'lobby'],
    ['bob', 'other'],
  ] as const) {
    const client = await connect(t, server, user, { room });
    await client.ask({ type: 'message', text: `of ${user}` });
  }
  const authorization = `Bearer ${await server.token('auditor', 'audit:read')}`;
  await holds(query, (text) => checkAnswer(server, authorization, text));
  t.equal((await server.get('/health/ready')).status, 200);
});
