import { test } from 'tap';
import { UsageError } from '../../bench/options.ts';
import { type Case, casesOf, filterNames } from '../../bench/read/cases.ts';
import type { LogFacts } from '../../bench/read/facts.ts';
import type { Reading } from '../../bench/read/measure.ts';
import { readOptions } from '../../bench/read/options.ts';
import { pageOf } from '../../bench/read/pages.ts';
import { describeReads } from '../../bench/read/report.ts';
import type { CaseReading, LogReadings, ReadResults } from '../../bench/read/results.ts';
import { growth, judgeReads } from '../../bench/read/verdicts.ts';
import { statsOf } from '../../bench/read/whole.ts';
import { decodeCursor, filterKey } from '../../src/core/cursor.ts';
import { parseFilter } from '../../src/core/filter.ts';

const day = (number: number): string => `2026-11-0${number}T00:00:00.000000Z`;
const facts: LogFacts = {
  epoch: 'epoch-1',
  cursorKey: Buffer.alloc(32, 7),
  range: { from: 0, to: 90_000 },
  commonRange: { from: 30_000, to: 60_000 },
  times: {
    common: { from: day(3), to: day(6) },
    rare: { from: day(2), to: day(3) },
    single: { from: day(1), to: day(2) },
    never: { from: '1980-01-01T00:00:00Z', to: '1981-01-01T00:00:00Z' },
  },
  early: { with: { from: day(1), to: day(3) }, before: { from: day(1), to: day(2) } },
  sessions: {
    common: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c11',
    rare: '0b8f8a4e-9d3b-4c43-8a60-5a3d9f1f3c12',
  },
  target: 'user-9',
};
const cases = casesOf(facts);
const named = (name: string): Case => cases.find((one) => one.name === name) as Case;

test('every filter is asked for by common and rare values, and with every other', async (t) => {
  for (const [index, one] of filterNames.entries()) {
    for (const kind of ['common', 'rare', 'never']) t.ok(named(`${one} ${kind}`), `${one} ${kind}`);
    t.ok(named(`total, ${one} common`), one);
    for (const other of filterNames.slice(index + 1)) {
      for (const [a, b] of [
        ['common', 'common'],
        ['rare', 'common'],
        ['common', 'rare'],
        ['never', 'common'],
      ]) {
        const { query } = named(`${one} ${a}, ${other} ${b}`);
        t.ok(Object.keys(query).length >= 2, `${one} ${a}, ${other} ${b}: ${JSON.stringify(query)}`);
      }
    }
  }
  t.equal(new Set(cases.map(({ name }) => name)).size, cases.length, 'no name stands for two');
});

test('what is bound to be fast is any one filter, and pairs of action, user, room and time', async (t) => {
  const bounds = (...names: string[]) => names.map((name) => named(name).bound);
  t.strictSame(bounds('ip common', 'session_id rare', 'time common'), ['fast', 'fast', 'fast']);
  t.strictSame(bounds('involves common', 'q common', 'total, no filter'), ['bounded', 'bounded', 'bounded']);
  t.strictSame(bounds('action common, user_id common', 'room rare, time common'), ['fast', 'fast']);
  t.strictSame(bounds('action common, ip common', 'user_id common, q common'), ['bounded', 'bounded']);
  t.equal(named('a busy user who never did a common action').bound, 'fast');
});

test('the server takes every question, and every cursor as one of its own', async (t) => {
  for (const one of cases) {
    const { total: _, ...filters } = one.query;
    parseFilter(filters as Parameters<typeof parseFilter>[0]);
    for (const place of one.places) {
      const url = new URL(pageOf(facts, one, place), 'http://localhost');
      const cursor = url.searchParams.get('cursor');
      if (place === 'first') {
        t.equal(cursor, null);
        continue;
      }
      const { seq, from } = decodeCursor(facts.cursorKey, cursor ?? '', {
        epoch: 'epoch-1',
        order: 'desc',
        filters: filterKey(filters),
      });
      const within = one.query.from === undefined ? facts.range : facts.commonRange;
      t.ok(within.from < seq && seq < within.to);
      t.equal(from, one.query.from);
    }
  }
  t.strictSame(named('time single').places, ['first'], 'what is on one page has no middle');
  const url = new URL(pageOf(facts, named('every action'), 'first'), 'http://localhost');
  t.ok(url.searchParams.getAll('action').length > 20);
  t.equal(
    new URL(pageOf(facts, named('50 busy users'), 'end'), 'http://localhost').searchParams.getAll('user_id')
      .length,
    50,
  );
  t.equal(statsOf(facts).length, 16);
});

const reading = (p99: number, tooSlow = 0): Reading => ({
  latency: { count: 10, p50: p99 / 2, p99, max: p99 },
  rows: 50,
  tooSlow,
});
const page = (p99: number, tooSlow = 0): CaseReading['pages'][number] => ({
  place: 'first',
  alone: reading(p99, tooSlow),
  together: reading(2 * p99, tooSlow),
});
const caseOf = (name: string, bound: CaseReading['bound'], ...pages: CaseReading['pages']): CaseReading => ({
  part: 'filters',
  name,
  bound,
  pages,
});
const log = (events: number, ...all: CaseReading[]): LogReadings => ({
  events,
  cases: all,
  stats: 'not there',
  exports: 'not there',
  size: null,
});

test('the slowest page counts, and too_slow only where an answer was promised', async (t) => {
  const logs = [
    log(1_000, caseOf('a', 'fast', page(4)), caseOf('b', 'fast', page(10)), caseOf('q', 'bounded', page(90))),
    log(
      9_000,
      caseOf('a', 'fast', page(10)),
      caseOf('b', 'fast', page(21)),
      caseOf('q', 'bounded', page(5_000, 10)),
      caseOf('r', 'bounded', page(150)),
    ),
  ];
  const verdicts = judgeReads(logs);
  t.match(
    verdicts.map(({ what, measured }) => [what, measured?.median]),
    [
      [/1,000 events \(slowest: b, first page\)/, 10],
      [/1,000 events \(slowest: q/, 90],
      [/9,000 events \(slowest: b/, 21],
      [/9,000 events \(slowest: r/, 150],
      [/9,000 events against 1,000 \(worst: a/, 2.5],
    ],
  );
  t.match(growth(logs), [{ value: 2.5 }, { value: 2.1 }]);
  t.strictSame(judgeReads([log(1_000)]), [], 'what was not measured is not judged');
});

test('the table says what stands where, and what is not there', async (t) => {
  const logs = [
    log(100_000, caseOf('a', 'fast', page(4))),
    log(1_000_000, caseOf('a', 'fast', page(30)), caseOf('q', 'bounded', page(900, 3))),
  ];
  const results: ReadResults = {
    stopped: null,
    machine: {
      ...{
        at: '',
        cpu: '',
        cpus: 2,
        memoryGiB: 1,
        system: '',
        node: '',
        ws: '',
        fastify: '',
        pg: '',
        git: '',
      },
      '@fastify/websocket': '',
    },
    postgres: '18',
    options: {
      events: [],
      dataDir: '',
      parts: ['filters', 'stats', 'export'],
      requests: 1,
      seconds: 1,
      json: undefined,
    },
    fsync: { before: reading(1).latency, after: reading(1).latency },
    load: { before: 0, after: 0 },
    logs,
    verdicts: judgeReads(logs),
  };
  const text = describeReads(results);
  const row = (name: string): string => text.split('\n').find((line) => line.startsWith(`| ${name} `)) ?? '';
  t.match(row('a'), /2\.00 \/ 4\.00 .* 15\.0 \/ 30\.0 .* 60\.0 .* 7\.50 .*NOT MET/);
  t.match(row('q'), /450 \/ 900, 3 of 10 too_slow .*NOT MET/);
  t.match(text, /\| 1M +\| +not there/);
});

test('what is wrong on the command line is named', async (t) => {
  t.match(readOptions([]), { events: [100_000, 1_000_000, 10_000_000], requests: 100 });
  t.match(readOptions(['--events', '2000,1000,2000', '--only', 'traps,filters']), {
    events: [1_000, 2_000],
    parts: ['filters', 'traps'],
  });
  t.equal(readOptions(['--help']), undefined);
  const wrong: [args: string[], message: RegExp][] = [
    [['--events', '10'], /--events: “10” is not a whole number from 1000/],
    [['--only', 'speed'], /--only: “speed” is none of: filters/],
    [['--requests', '0'], /--requests/],
    [['--fast'], /--fast/],
  ];
  for (const [args, message] of wrong) {
    const error = t.throws(() => readOptions(args), { message }, args.join(' '));
    t.ok(error instanceof UsageError);
  }
});
