import { test } from 'tap';
import type { Slice } from '../../bench/load/orders.ts';
import { addSlice, type Series } from '../../bench/parts/rounds.ts';
import { against } from '../../bench/parts/snapshot.ts';
import { type CpuProfile, groupOf, summariseProfiles } from '../../bench/profile.ts';
import { cpuPerMessage, othersShare } from '../../bench/slices.ts';
import { digits, table } from '../../bench/table.ts';
import { judge, verdictTable } from '../../bench/verdict.ts';

const slice = (messages: number, p99 = 1, p50 = 1): Slice => ({
  window: { fromUs: 0, toUs: 2_000_000 },
  seconds: 2,
  messages,
  latency: { count: messages, p50, p99, max: p99 },
  used: { server: 1_000_000, postgres: 500_000, generator: 300_000, machine: 2_000_000, stolen: 0 },
});

test('a table can be read as it is', async (t) => {
  const text = table(
    ['arm', 'rate'],
    [
      ['bare', '1,000'],
      ['“ours”', '7'],
    ],
  );
  t.equal(
    text,
    ['| arm    |  rate |', '| ------ | ----: |', '| bare   | 1,000 |', '| “ours” |     7 |'].join('\n'),
  );
});

test('numbers are shown with three digits that count', async (t) => {
  t.same([0, 0.01234, 0.5, 1.234, 12.34, 123.4, 12_345].map(digits), [
    '0',
    '0.012',
    '0.500',
    '1.23',
    '12.3',
    '123',
    '12,345',
  ]);
  t.equal(digits(Number.NaN), '-');
});

test('CPU per message is that of the server and of Postgres', async (t) => {
  t.same(cpuPerMessage(slice(1_000)), { server: 1_000, postgres: 500, both: 1_500 });
  t.equal(othersShare(slice(1_000)), 10);
  const unseen = { ...slice(1_000), used: { ...slice(1).used, postgres: null } };
  t.same(cpuPerMessage(unseen), { server: 1_000, postgres: null, both: null });
  t.equal(othersShare(unseen), null);
});

test('slices are gathered by arm and setting', async (t) => {
  const all: Series<Slice, { connections: number }>[] = [];
  addSlice(all, 'ws', { connections: 1 }, slice(1));
  addSlice(all, 'ws', { connections: 10 }, slice(2));
  addSlice(all, 'minutebook', { connections: 1 }, slice(3));
  addSlice(all, 'ws', { connections: 1 }, slice(4));
  t.same(
    all.map(({ arm, connections, slices }) => [arm, connections, slices.map(({ messages }) => messages)]),
    [
      ['ws', 1, [1, 4]],
      ['ws', 10, [2]],
      ['minutebook', 1, [3]],
    ],
  );
});

test('writing beside a snapshot is held against the mean of before and after', async (t) => {
  t.same(against([slice(90)], [slice(100)], [slice(80)]), { median: 1, min: 1, max: 1 });
  t.same(against([slice(45), slice(50)], [slice(100), slice(100)], [slice(80)]), {
    median: 0.5,
    min: 0.5,
    max: 0.5,
  });
  t.equal(against([], [slice(1)], [slice(1)]), null);
});

const memory = (full: number) => ({ empty: 1_000, full, collected: full, openSeconds: 1 });
const nothing = {
  write: [],
  fanout: [],
  instances: [],
  reads: null,
  stream: null,
  idle: null,
  snapshot: null,
};
type Measured = Parameters<typeof judge>[0];

test('what was measured is held against the bounds', async (t) => {
  const measured = {
    ...nothing,
    write: [
      { arm: 'seed', connections: 50, slices: [slice(100, 40), slice(10, 400)] },
      { arm: 'seed', connections: 1, slices: [slice(100, 1, 2), slice(100, 1, 2)] },
      { arm: 'fastify', connections: 50, slices: [slice(10_000), slice(1_000)] },
      { arm: 'minutebook', connections: 50, slices: [slice(4_000, 1), slice(400, 10)] },
      { arm: 'minutebook', connections: 1, slices: [slice(90, 1, 5), slice(90, 1, 5)] },
    ],
    fanout: [
      { arm: 'ws', members: 1_000, slices: [slice(10)] },
      { arm: 'minutebook', members: 1_000, slices: [slice(9)] },
    ],
    instances: [
      { instances: 1, rooms: 50, slices: [slice(100), slice(10)] },
      { instances: 2, rooms: 50, slices: [slice(90), slice(9)] },
      { instances: 1, rooms: 10, slices: [slice(100)] },
      { instances: 2, rooms: 10, slices: [slice(79)] },
    ],
    reads: {
      kinds: [
        { kind: 'pages', ratio: { median: 0.97, min: 0.9, max: 1 } },
        { kind: 'burst', ratio: { median: 0.79, min: 0.7, max: 1 } },
        { kind: 'stats', ratio: { median: 0.81, min: 0.8, max: 1 } },
        { kind: 'search', ratio: { median: 0.82, min: 0.8, max: 1 } },
        { kind: 'exports', ratio: { median: 0.83, min: 0.8, max: 1 } },
        { kind: 'history', ratio: { median: 0.84, min: 0.8, max: 1 } },
        { kind: 'live', ratio: { median: 0.96, min: 0.8, max: 1 } },
        { kind: 'streams', ratio: { median: 0.5, min: 0.4, max: 1 } },
        { kind: 'limited', ratio: { median: 0.85, min: 0.8, max: 0.9 } },
        { kind: 'denied', ratio: { median: 0.7, min: 0.6, max: 0.8 } },
        { kind: 'hasty', ratio: { median: 0.86, min: 0.8, max: 0.9 } },
      ],
    },
    idle: {
      connections: 10,
      memory: [
        { arm: 'ws', rounds: [memory(2_000)] },
        { arm: 'minutebook', rounds: [memory(2_100)] },
      ],
      life: null,
    },
    snapshot: { ratio: { median: 0.79, min: 0.7, max: 0.9 } },
    stream: { ages: [{ p99: 40 }, { p99: 60 }, { p99: 45 }] },
  } as unknown as Measured;
  const verdicts = judge(measured);
  t.same(
    verdicts.map(({ measured: one }) => one?.median),
    [
      40,
      1 / 40,
      2.5,
      0.4,
      0.79,
      1.1,
      0.9,
      0.9,
      0.79,
      45,
      0.97,
      0.79,
      0.81,
      0.82,
      0.83,
      0.84,
      0.96,
      0.5,
      0.85,
      0.7,
      0.86,
    ],
  );
  const standings = verdictTable(verdicts)
    .split('\n')
    .slice(2)
    .map((line) => line.split('|').at(-2)?.trim());
  t.same(standings, [
    ...['met', 'met', 'NOT MET', 'met', 'NOT MET', 'aim reached', 'aim reached'],
    ...['met', 'NOT MET', 'met'],
    ...['aim reached', 'NOT MET', 'met', 'met', 'met', 'met', 'aim reached', 'NOT MET'],
    ...['met', 'NOT MET', 'met'],
  ]);
});

test('what was not measured is not met either', async (t) => {
  const verdicts = judge(nothing as unknown as Measured);
  t.equal(verdicts.length, 21);
  t.ok(verdicts.every(({ measured }) => measured === null));
  t.notMatch(verdictTable(verdicts), /NOT MET|\bmet\b/);
});

const frame = (functionName: string, url = ''): CpuProfile['nodes'][number]['callFrame'] => ({
  functionName,
  url,
  lineNumber: 0,
});

test('a function belongs to its package or to our file', async (t) => {
  const group = (name: string, url?: string): string => groupOf(frame(name, url), '/app');
  t.equal(group('send', 'file:///app/node_modules/ws/lib/sender.js'), 'ws');
  t.equal(group('f', 'file:///app/node_modules/@fastify/websocket/index.js'), '@fastify/websocket');
  t.equal(group('f', 'file:///app/node_modules/pg/node_modules/pg-pool/index.js'), 'pg-pool');
  t.equal(group('frameBytes', 'file:///app/src/core/frames.ts'), 'src/core/frames.ts');
  t.equal(group('onStreamRead', 'node:internal/stream_base_commons'), 'Node’s own JavaScript');
  t.equal(group('writev'), 'built in to V8 and Node');
  t.equal(group('(garbage collector)'), '(garbage collector)');
});

test('a profile counts only what ran within the windows', async (t) => {
  const profile: CpuProfile = {
    nodes: [
      { id: 1, callFrame: frame('(idle)') },
      { id: 2, callFrame: frame('writev') },
      { id: 3, callFrame: frame('send', 'file:///x/node_modules/ws/lib/sender.js') },
    ],
    startTime: 1_000,
    // At 1,010, 1,020, 1,030, 1,040 and 1,050.
    samples: [2, 3, 2, 1, 3],
    timeDeltas: [10, 10, 10, 10, 10],
  };
  const { busy, idle, groups, functions } = summariseProfiles([profile], [{ fromUs: 1_015, toUs: 1_045 }]);
  t.equal(busy, 20);
  t.equal(idle, 10);
  t.same(
    new Map(groups),
    new Map([
      ['ws', 10],
      ['built in to V8 and Node', 10],
    ]),
  );
  t.same(functions[0], ['send ws/lib/sender.js:1', 10]);
});
