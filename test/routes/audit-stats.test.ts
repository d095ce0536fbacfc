import { test } from 'tap';
import { indexNext } from '../../db/search-index.ts';
import { countByTime, countByValue } from '../../db/stats.ts';
import type { AuditEvent, Stats } from '../../src/core/schemas.ts';
import { BLOCK_SIZE } from '../../src/core/search/offsets.ts';
import { build, type TestApp } from '../support/app.ts';
import { until } from '../support/client.ts';
import { openDb } from '../support/log-store.ts';
import { createDatabase, query } from '../support/postgres.ts';

const START = Date.parse('2026-01-02T00:00:00Z');
/** A batch of 100 every second, two whole blocks and a part of a third. */
const BATCH = 100;
const EVENTS = 330 * BATCH;
const HOLE = 200;

type Row = Pick<AuditEvent, 'seq' | 'timestamp' | 'action' | 'user_id' | 'room' | 'message'>;

const secondOf = (seq: number): number => {
  const second = Math.floor(seq / BATCH);
  // An hour of silence in the middle.
  return second < HOLE ? second : second + 3_600;
};

function row(seq: number): Row {
  const mixed = Math.imul(seq + 1, 0x9e37_79b1) >>> 8;
  return {
    seq,
    timestamp: new Date(START + 1_000 * secondOf(seq)).toISOString(),
    action: mixed % 4 === 0 ? 'JOINED' : 'MESSAGE_SENT',
    user_id: `user-${Math.floor(Math.sqrt(mixed % 400))}`,
    room: mixed % 9 === 0 ? null : `room-${mixed % 5}`,
    message: mixed % 4 === 0 ? null : mixed % 100 === 1 ? 'a needle' : 'hay',
  };
}

async function fill(url: string): Promise<Row[]> {
  const rows = Array.from({ length: EVENTS }, (_, seq) => row(seq));
  await query(
    url,
    'begin; set local session_replication_role = replica; truncate audit_event, audit_batch; commit',
  );
  await query(
    url,
    `insert into audit_event (seq, timestamp, occurred_at, action, user_id, room, message, instance)
     select seq, timestamp, timestamp, action, user_id, room, message, 'test'
     from jsonb_populate_recordset(null::audit_event, $1)`,
    [JSON.stringify(rows)],
  );
  await query(
    url,
    `insert into audit_batch (first_seq, count, timestamp, writer, number)
     select min(seq), count(*), timestamp, 'test', row_number() over (order by min(seq)) from audit_event
     group by timestamp`,
  );
  return rows;
}

const stats = async (server: TestApp, parameters: string): Promise<Stats> => {
  const response = await server.get(`/audit/stats?${parameters}`);
  if (response.status !== 200) throw new Error(await response.text());
  return (await response.json()) as Stats;
};

const FILTERS: [parameters: string, matches: (row: Row) => boolean][] = [
  ['', () => true],
  ['&action=JOINED', ({ action }) => action === 'JOINED'],
  ['&user_id=user-3&user_id=user-4', ({ user_id }) => user_id === 'user-3' || user_id === 'user-4'],
  [
    '&user_id=user-19&action=MESSAGE_SENT',
    ({ user_id, action }) => user_id === 'user-19' && action === 'MESSAGE_SENT',
  ],
  ['&room=room-1&q=NEEDLE', ({ room, message }) => room === 'room-1' && message === 'a needle'],
  ['&user_id=nobody', () => false],
];
const TO = new Date(START + 1_000 * (secondOf(EVENTS) + 7)).toISOString();
const INTERVALS: [parameters: string, from: string, to: string][] = [
  [`&to=${TO}`, row(0).timestamp, TO],
  [
    '&from=2026-01-02T00:01:40.5Z&to=2026-01-02T01:02:00Z',
    '2026-01-02T00:01:40.500Z',
    '2026-01-02T01:02:00.000Z',
  ],
  [
    '&from=2026-01-02T00:00:10Z&to=2026-01-02T00:00:11Z',
    '2026-01-02T00:00:10.000Z',
    '2026-01-02T00:00:11.000Z',
  ],
];

test('counts over time and by value are those of a look at every event, indexed or not', async (t) => {
  const databaseUrl = await createDatabase(t);
  const rows = await fill(databaseUrl);
  const db = openDb(t, databaseUrl);
  const check = async (server: TestApp): Promise<void> => {
    for (const [parameters, matches] of FILTERS) {
      for (const [interval, from, to] of INTERVALS) {
        const found = rows.filter((each) => each.timestamp >= from && each.timestamp < to && matches(each));
        const what = `${parameters} ${interval}`;
        const buckets = 7;
        const width = (Date.parse(to) - Date.parse(from)) / buckets;
        const expected = new Array(buckets).fill(0);
        for (const { timestamp } of found) {
          expected[Math.floor((Date.parse(timestamp) - Date.parse(from)) / width)] += 1;
        }
        const time = await stats(server, `group_by=time&buckets=${buckets}${parameters}${interval}`);
        t.strictSame(
          time.data.map(({ count }) => count),
          expected,
          `over time: ${what}`,
        );
        t.equal(time.complete, true);
        t.match(time, { from: from.replace('Z', '000Z'), to: to.replace('Z', '000Z') }, what);
        for (const column of ['action', 'user_id', 'room'] as const) {
          const counts = new Map<string, number>();
          for (const each of found) {
            const value = each[column];
            if (value !== null) counts.set(value, (counts.get(value) ?? 0) + 1);
          }
          const top = [...counts]
            .map(([value, count]) => ({ value, count }))
            .sort((a, b) => b.count - a.count || (a.value < b.value ? -1 : 1));
          const byValue = await stats(server, `group_by=${column}&limit=3${parameters}${interval}`);
          t.strictSame(byValue.data, top.slice(0, 3), `by ${column}: ${what}`);
          t.equal(byValue.complete, true);
          const told = { ...(interval.includes('from=') && { from }), to };
          const wanted = Object.entries(told).map(([name, time]) => [name, time.replace('Z', '000Z')]);
          t.match(byValue, Object.fromEntries(wanted), what);
        }
      }
    }
  };
  const server = await build(t, { DATABASE_URL: databaseUrl });
  // The server may have begun already; the results must not depend on it.
  await check(server);
  while (await indexNext(db));
  t.strictSame(await query(databaseUrl, 'select next_block from audit_index'), [
    { next_block: Math.floor(EVENTS / BLOCK_SIZE) },
  ]);
  await check(server);
});

test('counting that takes too long gives what there is, and says that it is not complete', async (t) => {
  const databaseUrl = await createDatabase(t);
  await fill(databaseUrl);
  // A view of the table's name that sleeps stands in for a log of billions.
  await query(
    databaseUrl,
    `alter table audit_event rename to slow_event; create view audit_event as
     select * from slow_event where pg_sleep(10) is not null`,
  );
  const db = openDb(t, databaseUrl, 'read');
  const filter = { user_id: ['user-3'] };
  const range = { from: 0, to: EVENTS };
  for (const count of [
    () => countByTime(db, filter, range, { from: row(0).timestamp, to: TO }, 3),
    () => countByValue(db, filter, range, 'room', 3),
  ]) {
    const counting = count();
    // The database would end the statement by itself, later.
    await until('it is ended', async () => {
      const [ended] = await query(
        databaseUrl,
        `select pg_cancel_backend(pid) from pg_stat_activity
         where datname = current_database() and wait_event = 'PgSleep'`,
      );
      return ended !== undefined;
    });
    t.equal((await counting).complete, false);
  }
});

test('without to, events are counted over time that are ahead of the clock, for it went back', async (t) => {
  const server = await build(t);
  await query(
    server.databaseUrl,
    `begin; set local session_replication_role = replica;
     update audit_batch set timestamp = timestamp + interval '1 minute';
     update audit_event set timestamp = timestamp + interval '1 minute'; commit`,
  );
  await server.app.audit.record({ action: 'MESSAGE_SENT', user_id: 'alice', room: 'lobby', message: 'hi' });
  for (const more of ['', '&from=-1h', '&action=MESSAGE_SENT']) {
    const { data } = await stats(server, `group_by=time&buckets=3${more}`);
    const byAction = await stats(server, `group_by=action${more}`);
    const sum = (counts: Stats['data']): number => counts.reduce((all, { count }) => all + count, 0);
    // The read of the first is one of what the second counts.
    t.equal(sum(data), sum(byAction.data) - (more.includes('action=') ? 0 : 1), more);
  }
});

test('the read is recorded, without from it begins with the log, and what means nothing is refused', async (t) => {
  const server = await build(t);
  const [first] = await server.events();
  const { data, from } = await stats(server, 'group_by=time');
  t.equal(data.length, 60);
  t.equal(from, first?.timestamp);
  t.match(await server.events('action=AUDIT_READ'), [
    { details: { path: '/audit' } },
    { details: { path: '/audit/stats', filters: { group_by: 'time' }, rows: 60 } },
  ]);
  const refused: [parameters: string, parameter: string, detail?: RegExp][] = [
    ['', 'group_by'],
    ['group_by=day', 'group_by'],
    ['group_by=time&buckets=0', 'buckets'],
    ['group_by=time&buckets=1001', 'buckets'],
    ['group_by=time&limit=5', 'limit'],
    ['group_by=room&buckets=5', 'buckets'],
    ['group_by=room&limit=101', 'limit'],
    ['group_by=time&from=2999-01-01T00:00:00Z', 'from', /must be before now/],
    ['group_by=time&to=2000-01-01T00:00:00Z', 'to', /must be after the first event/],
    ['group_by=room&cursor=x', 'cursor'],
    ['group_by=room&actoin=x', 'actoin'],
  ];
  for (const [parameters, parameter, detail = /./] of refused) {
    const response = await server.get(`/audit/stats?${parameters}`);
    t.equal(response.status, 400, parameters);
    t.match(await response.json(), { code: 'invalid_parameter', parameter, detail }, parameters);
  }
  t.equal((await server.get('/audit/stats?group_by=room', { authorization: '' })).status, 401);
});
