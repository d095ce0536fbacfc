import pg from 'pg';
import { until } from '../../support/client.ts';
import type { Row } from '../row.ts';
import type { World } from '../world.ts';

/** What a server may have open: those that write, read, follow the log and listen. */
const MAX_CONNECTIONS = 9;

const alter = (world: World, setting: string): Promise<unknown> =>
  // Each by itself: ALTER SYSTEM refuses to be part of several statements.
  world.sql(`alter system ${setting}`).then(() => world.sql('select pg_reload_conf()'));

/** Takes a lock in a transaction that stays open until the fault is healed. */
async function holdLock(world: World, ...statements: string[]): Promise<void> {
  const operator = await world.connection();
  for (const statement of ['begin', ...statements]) await operator.query(statement);
  world.onHeal(() => operator.query('rollback'));
}

async function assertNoPileUp(world: World): Promise<void> {
  const backends = await world.backends();
  world.t.ok(backends.length <= MAX_CONNECTIONS, `connections do not pile up: ${backends.length}`);
}

/** Opens connections until there are none left, and takes those of the servers as well, again and again. */
async function takeAllConnections(world: World): Promise<void> {
  const holders: pg.Client[] = [];
  const takeOne = async (): Promise<boolean> => {
    const holder = new pg.Client({ connectionString: world.url });
    holder.on('error', () => {});
    await holder.connect();
    holders.push(holder);
    return true;
  };
  const admin = await world.connection();
  let held = true;
  const holding = (async () => {
    while (held) {
      while (await takeOne().catch(() => false));
      await admin.query(
        `select pg_terminate_backend(pid) from pg_stat_activity
         where application_name like 'minutebook%' and datname = current_database()`,
      );
    }
  })();
  world.onHeal(async () => {
    held = false;
    await holding;
    await Promise.all(holders.map((holder) => holder.end()));
  });
}

/** Faults that somebody with rights in the database brings about. */
export const settings: readonly Row[] = [
  {
    id: '19',
    title: 'an operator holds a lock on the log (LOCK TABLE audit_event)',
    expected: 'refused for certain after the lock time-outs; connections do not pile up',
    refusals: ['audit_unavailable'],
    certain: true,
    strike: async (world) => {
      await holdLock(world, 'lock table audit_event in exclusive mode');
      world.onHeal(() => assertNoPileUp(world));
    },
  },
  {
    id: '20',
    title: 'a long report, a vacuum, and an index built in a transaction that stays open',
    expected:
      'the report harms nobody; the index blocks writing, so messages are refused, and reading goes on',
    refusals: ['audit_unavailable'],
    certain: true,
    strike: async (world) => {
      await holdLock(
        world,
        'set transaction isolation level repeatable read',
        'select count(*) from audit_event a join audit_event b using (action)',
      );
      await world.sql('vacuum analyze audit_event');
      const since = performance.now();
      await world.acknowledged(20);
      world.t.strictSame(
        world.load.answersSince('fail', since),
        [],
        'a snapshot that stays open harms nobody',
      );
      await holdLock(world, 'create index a_report on audit_event (timestamp)');
    },
  },
  {
    id: '25',
    title: 'others take every connection that Postgres has (53300)',
    expected: 'refused for certain; back by itself when there are connections again',
    refusals: ['audit_unavailable'],
    world: {
      cluster: async () => ({
        settings: { max_connections: '25', superuser_reserved_connections: '0', reserved_connections: '0' },
      }),
    },
    strike: takeAllConnections,
  },
  {
    id: '26',
    title: 'the database is switched to read-only (25006)',
    expected: 'refused for certain; reading goes on',
    refusals: ['audit_unavailable'],
    certain: true,
    strike: async (world) => {
      await alter(world, 'set default_transaction_read_only = on');
      world.onHeal(() => alter(world, 'reset default_transaction_read_only'));
    },
  },
  {
    id: '28a',
    title: 'the synchronous standby is gone: no commit is answered',
    expected: 'in doubt after 5 s; the truth when commits go on',
    // The commit that stands still first may be that of a read; then those behind it are refused for certain.
    refusals: ['outcome_unknown', 'audit_unavailable'],
    strike: async (world) => {
      await alter(world, `set synchronous_standby_names = 'gone'`);
      world.onHeal(() => alter(world, 'reset synchronous_standby_names'));
    },
  },
  {
    id: '28b',
    title: 'the same, and somebody cancels the waiting commits (WARNING 01000)',
    expected: 'what Postgres calls committed is durable on the primary, and acknowledged; nothing else is',
    strike: async (world) => {
      await alter(world, `set synchronous_standby_names = 'gone'`);
      world.onHeal(() => alter(world, 'reset synchronous_standby_names'));
    },
    lasts: async (world) => {
      const admin = await world.connection();
      let cancelled = 0;
      await until('ten waits were cancelled', async () => {
        const { rowCount } = await admin.query(
          `select pg_cancel_backend(pid) from pg_stat_activity where wait_event = 'SyncRep'`,
        );
        cancelled += rowCount ?? 0;
        return cancelled >= 10;
      });
    },
  },
  {
    id: '30',
    title: 'the database refuses single messages (22021), in the midst of batches',
    expected: 'only these are refused (`invalid_text`); their neighbours are delivered',
    world: { load: { rate: 200 } },
    strike: async (world) => {
      await world.sql(`create function poison() returns trigger language plpgsql as $$ begin
        if new.message like '%7' then
          raise exception 'poison' using errcode = 'character_not_in_repertoire';
        end if;
        return new; end $$;
        create trigger poison before insert on audit_event for each row execute function poison()`);
      world.onHeal(() => world.sql('drop trigger poison on audit_event'));
    },
    lasts: async (world, since) => {
      await until('a dozen are refused', () => world.load.answersSince('fail', since).length >= 12);
      const refused = world.load.answersSince('fail', since);
      world.t.strictSame([...new Set(refused.map(({ code }) => code))], ['invalid_text']);
      world.t.ok(
        refused.every(({ text }) => text.endsWith('7')),
        'none of their neighbours',
      );
      await world.acknowledged(20);
    },
  },
];
