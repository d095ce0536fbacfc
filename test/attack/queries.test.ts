import fc from 'fast-check';
import { test } from 'tap';
import { actionNames } from '../../src/core/actions.ts';
import { errorCodes } from '../../src/core/errors.ts';
import {
  type AuditEvent,
  type AuditPage,
  AuditQuery,
  ExportQuery,
  OwnAuditQuery,
  type Problem,
  StatsQuery,
} from '../../src/core/schemas.ts';
import { build, type TestApp } from '../support/app.ts';
import { connect } from '../support/client.ts';
import { noLimits } from '../support/limits.ts';
import { anyText, holds, mutated } from '../support/property.ts';

const USER = 'alice';

/** The names that each path knows. */
const known: Record<string, string[]> = {
  '/audit': Object.keys(AuditQuery.properties),
  '/audit/me': Object.keys(OwnAuditQuery.properties),
  '/audit/stats': Object.keys(StatsQuery.properties),
  '/audit/export': Object.keys(ExportQuery.properties),
};
const namesOf = (path: string): string[] => known[path] ?? [];

const good: Record<string, string[]> = {
  action: ['MESSAGE_SENT', 'JOINED', 'CONNECTED'],
  user_id: ['alice', 'bob', 'nobody', '__proto__', '%'],
  target_user_id: ['alice'],
  involves: ['alice', 'bob'],
  room: ['lobby', 'other', 'nowhere'],
  session_id: ['0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11'],
  ip: ['127.0.0.1', '::1', '::ffff:127.0.0.1'],
  q: ['of', 'OF ALICE', 'ob', '%', '_', '\\'],
  from: ['-1h', '-999999w', '2020-01-01T00:00:00Z', '2026-01-01T00:00:00+02:00'],
  to: ['-0s', '9999-01-01T00:00:00Z', '2021-01-01T00:00:00.123456Z'],
  limit: ['1', '2', '1000'],
  order: ['asc', 'desc'],
  total: ['none', 'exact'],
  buckets: ['1', '1000'],
  format: ['ndjson', 'csv'],
};

/** By name; some of the names made up are those that every object has. */
const goodValues = (name: string): string[] => (Object.hasOwn(good, name) ? (good[name] ?? []) : ['x']);

const nameFor = (path: string) =>
  fc.oneof(
    {
      weight: 12,
      arbitrary: fc.constantFrom(...namesOf(path).filter((name) => Object.hasOwn(good, name))),
    },
    { weight: 1, arbitrary: fc.constantFrom(...namesOf(path)).chain(mutated) },
    {
      weight: 1,
      arbitrary: fc.constantFrom(
        ...['user', 'user_id[]', 'room[0]', '__proto__', 'constructor', 'offset', '', 'user_id', 'format'],
      ),
    },
  );

const pairFor = (path: string) =>
  nameFor(path).chain((key) =>
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
const queryFor = (path: string) =>
  fc.oneof(
    {
      weight: 9,
      arbitrary: fc
        .array(pairFor(path), { maxLength: 5 })
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

/** What is asked: a path and a query string. Counts need to be told of what. */
const target = fc
  .oneof(
    { weight: 6, arbitrary: fc.constant(['/audit', '']) },
    { weight: 2, arbitrary: fc.constant(['/audit/me', '']) },
    {
      weight: 2,
      arbitrary: fc.constantFrom('time', 'room').map((by) => ['/audit/stats', `group_by=${by}&`]),
    },
    { weight: 1, arbitrary: fc.constant(['/audit/export', '']) },
  )
  .chain(([path = '', start = '']) => queryFor(path).map((text) => `${path}?${start}${text}`));

const isKnown = (code: string): boolean => Object.hasOwn(errorCodes, code);

/** What an answer shows: events, whether they are all that match, and between which times they must be. */
type Found = { events: AuditEvent[]; all: boolean; from?: string | undefined; to?: string | undefined };

/** The events in an answer; none of counts and of CSV. */
async function foundIn(answer: Response, path: string): Promise<Found> {
  const text = await answer.text();
  if (answer.headers.get('content-type')?.startsWith('application/x-ndjson')) {
    const lines = text.trim().split('\n');
    const end = JSON.parse(lines.pop() ?? '') as { end?: boolean; count?: number };
    if (end.end !== true || end.count !== lines.length) throw new Error('the export is cut');
    return { events: lines.map((line) => JSON.parse(line) as AuditEvent), all: true };
  }
  if (path === '/audit/stats' || path === '/audit/export') return { events: [], all: false };
  const { data, has_more, from, to } = JSON.parse(text) as AuditPage;
  return { events: data, all: !has_more, from, to };
}

/** Why an event should not be in the answer to this query; undefined: it should. */
function mismatch(event: AuditEvent, asked: URLSearchParams, { from, to }: Found): string | undefined {
  const is = (key: string, ...values: (string | null)[]): boolean =>
    !asked.has(key) || asked.getAll(key).some((one) => values.includes(one));
  if (!is('action', event.action)) return 'action';
  if (!is('user_id', event.user_id)) return 'user_id';
  if (!is('target_user_id', event.target_user_id)) return 'target_user_id';
  if (!is('involves', event.user_id, event.target_user_id)) return 'involves';
  if (!is('room', event.room)) return 'room';
  if (asked.has('session_id') && asked.get('session_id')?.toLowerCase() !== event.session_id)
    return 'session_id';
  // All here have one address, however it is written.
  if (asked.has('ip') && !(event.ip === '127.0.0.1' && asked.get('ip')?.endsWith('127.0.0.1'))) return 'ip';
  // What is said here has no letter that folds in another way.
  const q = asked.get('q')?.toLowerCase();
  if (q !== undefined && !event.message?.toLowerCase().includes(q)) return 'q';
  if (asked.has('from') && from !== undefined && !(event.timestamp >= from)) return 'from';
  if (asked.has('to') && to !== undefined && !(event.timestamp < to)) return 'to';
  return undefined;
}

/** @param log events that were there before, each of which must be in the answer if it matches */
async function checkAnswer(
  server: TestApp,
  authorization: string,
  log: AuditEvent[],
  what: string,
): Promise<void> {
  const answer = await server.get(what, { authorization });
  if (answer.status === 400) {
    const { code, parameter, status } = (await answer.json()) as Problem;
    if (!isKnown(code) || status !== 400) throw new Error(`the code ${code}`);
    // Only what is not even a query string has no parameter to blame.
    if (parameter === undefined && code !== 'bad_request') throw new Error('no parameter is named');
    return;
  }
  if (answer.status !== 200) throw new Error(`${answer.status}: ${await answer.text()}`);
  // As the browser's own parser reads it (WHATWG URL 5.1), another one than the server's.
  const { pathname: path, searchParams: asked } = new URL(what, server.url);
  for (const key of asked.keys()) if (!namesOf(path).includes(key)) throw new Error(`“${key}” was ignored`);
  for (const key of namesOf(path)) {
    if (!['action', 'user_id'].includes(key) && asked.getAll(key).length > 1)
      throw new Error(`“${key}” twice`);
  }
  const found = await foundIn(answer, path);
  for (const end of ['from', 'to'] as const) {
    if (!asked.has(end) || found[end] !== undefined) continue;
    if (path === '/audit' || path === '/audit/me') throw new Error(`“${end}” is not told`);
    // An export does not tell as what it took a span back.
    found.all = false;
  }
  for (const event of found.events) {
    if (path === '/audit/me' && event.user_id !== USER) throw new Error(`event ${event.seq} is another’s`);
    const why = mismatch(event, asked, found);
    if (why !== undefined) throw new Error(`event ${event.seq} does not match “${why}”`);
  }
  if (!found.all) return;
  const seqs = new Set(found.events.map(({ seq }) => seq));
  for (const event of log) {
    const isMeant = path !== '/audit/me' || event.user_id === USER;
    if (isMeant && !seqs.has(event.seq) && mismatch(event, asked, found) === undefined)
      throw new Error(`event ${event.seq} is missing`);
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
  const details = { reason: null };
  await server.app.audit.record({ action: 'USER_KICKED', user_id: 'bob', target_user_id: USER, details });
  const authorization = `Bearer ${await server.token(USER, 'audit:read', 'chat')}`;
  const log = await server.events();
  t.ok(log.length > 9, `${log.length} events`);
  await holds(target, (what) => checkAnswer(server, authorization, log, what));
  t.equal((await server.get('/health/ready')).status, 200);
});
