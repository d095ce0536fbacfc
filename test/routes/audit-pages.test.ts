import { test } from 'tap';
import type { AuditEvent, AuditPage } from '../../src/core/schemas.ts';
import { build, problemIn, type TestApp } from '../support/app.ts';
import { query } from '../support/postgres.ts';

/** Records messages of several users in several rooms; resolves with all events of the log, oldest first. */
async function fill(server: TestApp, count: number): Promise<AuditEvent[]> {
  const { audit } = server.app;
  for (let n = 0; n < count; n += 10) {
    await Promise.all(
      Array.from({ length: 10 }, (_, index) =>
        audit.record({
          action: index % 5 === 0 ? 'JOINED' : 'MESSAGE_SENT',
          user_id: `user${(n + index) % 7}`,
          room: `room${(n + index) % 3}`,
          target_user_id: index === 3 ? 'user1' : null,
          message: index % 5 === 0 ? null : `${n + index}`,
          session_id: `00000000-0000-4000-8000-00000000000${index}`,
          ip: index % 2 === 0 ? '10.0.0.1' : '2001:db8::1',
        }),
      ),
    );
  }
  return server.events();
}

const numbers = (events: readonly AuditEvent[]): number[] => events.map(({ seq }) => seq);

test('pages follow each other without loss or repeat, in both orders, at any size', async (t) => {
  const server = await build(t);
  const all = await fill(server, 100);
  const filter = 'action=MESSAGE_SENT';
  const matching = all.filter(({ action }) => action === 'MESSAGE_SENT');
  for (const order of ['asc', 'desc']) {
    for (const limit of [1, 7, 80, 1000]) {
      const seen: number[] = [];
      let pages = 0;
      for (let cursor = ''; ; ) {
        const page = await server.page(`${filter}&order=${order}&limit=${limit}${cursor}`);
        seen.push(...numbers(page.data));
        pages += 1;
        if (!page.has_more) {
          t.equal(page.next_cursor === null, order === 'desc', 'after the last, only asc has a cursor');
          break;
        }
        cursor = `&cursor=${page.next_cursor}`;
      }
      const expected = order === 'asc' ? numbers(matching) : numbers(matching.toReversed());
      t.strictSame(seen, expected, `${order} by ${limit}`);
      t.equal(pages, Math.ceil(matching.length / limit), 'no empty page at the end');
    }
  }
});

test('every filter gives exactly the events that match', async (t) => {
  const server = await build(t);
  const all = await fill(server, 100);
  const session_id = '00000000-0000-4000-8000-000000000004';
  const cases: [query: string, matches: (event: AuditEvent) => boolean][] = [
    ['action=JOINED', ({ action }) => action === 'JOINED'],
    ['action=JOINED&action=SERVER_STARTED', ({ action }) => ['JOINED', 'SERVER_STARTED'].includes(action)],
    ['user_id=user3', ({ user_id }) => user_id === 'user3'],
    ['user_id=user3&user_id=user5', ({ user_id }) => user_id === 'user3' || user_id === 'user5'],
    ['target_user_id=user1', ({ target_user_id }) => target_user_id === 'user1'],
    ['involves=user1', ({ user_id, target_user_id }) => user_id === 'user1' || target_user_id === 'user1'],
    ['room=room2', ({ room }) => room === 'room2'],
    [`session_id=${session_id}`, (event) => event.session_id === session_id],
    ['ip=10.0.0.1&action=MESSAGE_SENT', ({ ip, action }) => ip === '10.0.0.1' && action === 'MESSAGE_SENT'],
    ['ip=2001:DB8:0:0::1', ({ ip }) => ip === '2001:db8::1'],
    ['user_id=user3&action=JOINED', (event) => event.user_id === 'user3' && event.action === 'JOINED'],
    [
      'user_id=user3&room=room0&action=MESSAGE_SENT',
      (event) => event.user_id === 'user3' && event.room === 'room0' && event.action === 'MESSAGE_SENT',
    ],
    ['user_id=nobody', () => false],
  ];
  for (const [filter, matches] of cases) {
    const expected = all.filter(matches);
    const page = await server.page(`${filter}&order=asc&limit=1000&total=exact`);
    t.strictSame(numbers(page.data), numbers(expected), filter);
    t.strictSame(page.total, { value: expected.length, exact: true }, filter);
  }
  const [one] = all.filter(({ action }) => action === 'MESSAGE_SENT');
  t.strictSame(
    await (await server.get(`/audit/${one?.seq}`)).json(),
    one,
    'one event is as it is in the list',
  );
});

test('fifty users of the longest names are not too many, however they are written', async (t) => {
  const server = await build(t);
  const users = Array.from({ length: 50 }, (_, n) => `${'ก'.repeat(42)}${String(n).padStart(2, '0')}`);
  const room = 'ห้อง'.repeat(10);
  for (const user_id of [users[0] ?? '', users[49] ?? '', 'somebody else']) {
    await server.app.audit.record({ action: 'JOINED', room, user_id });
  }
  const query = new URLSearchParams({ room, limit: '1' });
  for (const user of users) query.append('user_id', user);
  t.ok(query.toString().length > 16_384, `${query.toString().length} bytes`);
  const first = await server.get(`/audit?${query}`);
  t.equal(first.headers.get('link'), null, 'which would be longer than clients take');
  const page = (await first.json()) as AuditPage;
  t.match(page, { data: [{ user_id: users[49] }], has_more: true });
  query.set('cursor', page.next_cursor ?? '');
  t.match(await (await server.get(`/audit?${query}`)).json(), {
    data: [{ user_id: users[0] }],
    has_more: false,
  });
});

test('from is inclusive and to is not, to the microsecond, and the interval is answered as resolved', async (t) => {
  const server = await build(t);
  const all = (await fill(server, 60)).filter(({ action }) => action !== 'AUDIT_READ');
  const times = [...new Set(all.map(({ timestamp }) => timestamp))];
  const [from, to] = [times[2] ?? '', times[5] ?? ''];
  const page = await server.page(`from=${from}&to=${to}&order=asc&limit=1000`);
  t.strictSame(
    numbers(page.data),
    numbers(all.filter(({ timestamp }) => timestamp >= from && timestamp < to)),
  );
  t.match(page, { from, to });
  t.strictSame((await server.page(`from=${times.at(-1)}&to=9999-01-01T00:00:00Z&limit=1`)).has_more, true);
  t.strictSame((await server.page('from=9999-01-01T00:00:00Z')).data, []);
  t.strictSame((await server.page('to=1999-01-01T00:00:00Z')).data, []);
  const recent = await server.page('from=-1h&limit=1000&order=asc');
  t.strictSame(numbers(recent.data).slice(0, 20), numbers(await server.events()).slice(0, 20));
  t.match(recent.from, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  t.match(await server.page('from=-999999w&limit=1'), { from: '1970-01-01T00:00:00.000000Z' });
});

test('a walk keeps its interval and its head, whatever is written meanwhile', async (t) => {
  const server = await build(t);
  await fill(server, 50);
  for (const order of ['asc', 'desc']) {
    const head = (await server.page('limit=1')).data[0]?.seq ?? 0;
    const first = await server.page(`order=${order}&limit=20&from=-1h`);
    const seen = numbers(first.data);
    let page = first;
    while (page.has_more) {
      await fill(server, 10);
      page = await server.page(`order=${order}&limit=20&from=-1h&cursor=${page.next_cursor}`);
      t.equal(page.from, first.from, 'the interval is that of the first page');
      seen.push(...numbers(page.data));
    }
    const upTo = seen.filter((seq) => seq <= head).toSorted((a, b) => a - b);
    t.strictSame(
      upTo,
      Array.from({ length: head + 1 }, (_, seq) => seq),
      `${order}: each event once`,
    );
    t.equal(new Set(seen).size, seen.length);
  }
});

test('with order=asc, asking again with the last cursor gives what came since: a lossless feed', async (t) => {
  const server = await build(t);
  await fill(server, 20);
  const seen: number[] = [];
  let cursor = '';
  for (let round = 0; round < 5; round += 1) {
    for (;;) {
      const page = await server.page(`order=asc&limit=15&action=MESSAGE_SENT${cursor}`);
      seen.push(...numbers(page.data));
      t.type(page.next_cursor, 'string');
      cursor = `&cursor=${page.next_cursor}`;
      if (!page.has_more) break;
    }
    await fill(server, 10);
  }
  const rest = await server.page(`order=asc&limit=1000&action=MESSAGE_SENT${cursor}`);
  seen.push(...numbers(rest.data));
  t.strictSame(seen, numbers(await server.events('action=MESSAGE_SENT')));
});

test('the Link header leads to the next page', async (t) => {
  const server = await build(t);
  const all = await fill(server, 30);
  const seen: number[] = [];
  let path: string | undefined = '/audit?action=MESSAGE_SENT&user_id=user1&user_id=user2&limit=3&order=asc';
  while (path !== undefined) {
    const answer = await server.get(path);
    seen.push(...numbers(((await answer.json()) as AuditPage).data));
    path = /^<([^>]+)>; rel="next"$/.exec(answer.headers.get('link') ?? '')?.[1];
  }
  const expected = all.filter(
    ({ action, user_id }) => action === 'MESSAGE_SENT' && (user_id === 'user1' || user_id === 'user2'),
  );
  t.strictSame(seen, numbers(expected));
});

test('a cursor is good on another instance, and only for the query that it was made for', async (t) => {
  const server = await build(t);
  await fill(server, 30);
  const { next_cursor } = await server.page('action=MESSAGE_SENT&limit=5');
  const other = await build(t, { DATABASE_URL: server.databaseUrl });
  t.equal((await other.page(`action=MESSAGE_SENT&limit=7&cursor=${next_cursor}`)).data.length, 7);
  for (const query of [
    `cursor=${next_cursor}`,
    `action=JOINED&cursor=${next_cursor}`,
    `action=MESSAGE_SENT&room=room1&cursor=${next_cursor}`,
    `action=MESSAGE_SENT&order=asc&cursor=${next_cursor}`,
    `action=MESSAGE_SENT&cursor=${next_cursor?.slice(0, -1)}`,
    `action=MESSAGE_SENT&cursor=x${next_cursor}`,
  ]) {
    const answer = await other.get(`/audit?${query}`);
    t.equal(answer.status, 400, query.slice(0, 40));
    t.match(await problemIn(answer), { code: 'invalid_cursor', parameter: 'cursor' });
  }
  const stranger = await build(t);
  await query(stranger.databaseUrl, `update audit_log set epoch = 'another-history'`);
  const another = await build(t, { DATABASE_URL: stranger.databaseUrl });
  const answer = await another.get(`/audit?action=MESSAGE_SENT&cursor=${next_cursor}`);
  t.match(await problemIn(answer), { code: 'invalid_cursor' }, 'nor in another history');
});

test('a page of heavy messages ends early, is never empty, and nothing is lost by it', async (t) => {
  const server = await build(t);
  const { audit } = server.app;
  const heavy = 'x'.repeat(60_000);
  for (let n = 0; n < 120; n += 1) {
    await audit.record({
      action: 'MESSAGE_SENT',
      room: 'r',
      user_id: 'u',
      message: n % 10 === 0 ? 'light' : heavy,
    });
  }
  await audit.record({ action: 'MESSAGE_SENT', room: 'r', user_id: 'u', message: 'y'.repeat(1024 * 1024) });
  const first = await server.page('action=MESSAGE_SENT&limit=1000&order=asc');
  t.ok(first.data.length > 0 && first.data.length < 121, `${first.data.length} of 121`);
  t.equal(first.has_more, true);
  t.equal((await server.events('action=MESSAGE_SENT')).length, 121);
});

test('total stops counting at 10,000 and says so', async (t) => {
  const server = await build(t);
  const { audit } = server.app;
  const some = (count: number) =>
    Promise.all(
      Array.from({ length: count }, () => audit.record({ action: 'LEFT', room: 'r', user_id: 'u' })),
    );
  await some(10_000);
  t.strictSame((await server.page('action=LEFT&total=exact&limit=1')).total, { value: 10_000, exact: true });
  await some(1);
  t.strictSame((await server.page('action=LEFT&total=exact&limit=1')).total, { value: 10_000, exact: false });
  t.equal((await server.page('action=LEFT&limit=1')).total, undefined, 'only when asked');
  for (const [filter, value] of [
    ['action=EPOCH_STARTED&action=SERVER_STARTED', 2],
    ['to=2020-01-01T00:00:00Z', 0],
  ]) {
    const asked = `${filter}&total=exact&limit=1`;
    const first = await server.page(asked);
    t.match(first, { data: { length: Math.min(1, Number(value)) }, total: { value, exact: true } }, asked);
    if (first.next_cursor === null) continue;
    const second = await server.page(`${asked}&cursor=${first.next_cursor}`);
    t.strictSame(second.total, { value, exact: true }, 'on each page it is that of all');
    t.not(second.data[0]?.seq, first.data[0]?.seq);
  }
});

test('a query that takes too long is ended by the server and answered too_slow', async (t) => {
  const server = await build(t);
  await fill(server, 10);
  // A view of the table's name that sleeps stands in for a log of billions.
  await query(
    server.databaseUrl,
    `alter table audit_event rename to slow_event; create view audit_event as
     select * from slow_event where pg_sleep(10) is not null`,
  );
  const answer = await server.get('/audit?user_id=user1');
  t.equal(answer.status, 503);
  t.match(await problemIn(answer), { code: 'too_slow' });
});

test('the registry says every action and what it carries', async (t) => {
  const server = await build(t);
  const { data } = (await (await server.get('/audit/actions')).json()) as {
    data: { action: string; description: string; details: { type: string } }[];
  };
  t.equal(data.length, 24);
  for (const { action, description, details } of data) {
    t.ok(description.endsWith('.'), action);
    t.equal(details.type, 'object', action);
  }
  t.strictSame(await server.events('action=AUDIT_READ'), [], 'which is not a read of the log');
});
