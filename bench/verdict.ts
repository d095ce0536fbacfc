import type { Arm } from './arms.ts';
import type { ReadKind, Slice } from './load/orders.ts';
import { againstOne, OWN_ROOMS, SHARED_ROOMS } from './parts/instances.ts';
import type { Results } from './results.ts';
import { rateOf } from './slices.ts';
import { ratios, type Spread, spread } from './stats.ts';
import { digits, table } from './table.ts';

/** A bound that the finished server must keep to, and how it stands to it. */
export type Verdict = {
  what: string;
  /** A ratio, unless there is a unit; null when it was not measured in this run. */
  measured: Spread | null;
  atLeast: number;
  aim: number;
  /** Whether more is better. */
  more: boolean;
  /** Of what is measured, such as ms. */
  unit?: string;
};

const CONNECTIONS = 50;

/** Slices of an arm with so many connections. */
function writes({ write }: Pick<Results, 'write'>, arm: Arm, connections: number): Slice[] {
  return write.find((one) => one.arm === arm && one.connections === connections)?.slices ?? [];
}

const rates = (slices: readonly Slice[]): number[] => slices.map(rateOf);
const p99s = (slices: readonly Slice[]): number[] => slices.map(({ latency }) => latency.p99);
const p50s = (slices: readonly Slice[]): number[] => slices.map(({ latency }) => latency.p50);

/** Reads cannot slow down the writing of the log, whoever reads in whatever way. */
const besideReaders: readonly [kind: ReadKind, what: string][] = [
  ['pages', 'writing beside one who reads as much as the limit allows, against without'],
  ['burst', 'the same beside one who does so as fast as they are answered'],
  ['stats', 'the same beside as many counts, two at a time'],
  ['search', 'the same beside as many searches by q, two at a time'],
  ['exports', 'the same beside two exports of one user'],
  ['history', 'the same beside a stream that reads from history'],
  ['live', 'the same beside a live stream of everything'],
  ['streams', 'the same beside twenty of those, of one user'],
  ['limited', 'the same beside 2,000 reads/s beyond the limit'],
  ['denied', 'the same beside 2,000 reads/s without a right to it'],
  ['hasty', 'the same beside 2,000 connections/s, a read without a right to it on each'],
];

/** Holds what was measured against the bounds. */
export function judge(results: Omit<Results, 'verdicts'>): Verdict[] {
  const own = writes(results, 'minutebook', CONNECTIONS);
  const seed = writes(results, 'seed', CONNECTIONS);
  const fan = (arm: Arm): number[] =>
    rates(results.fanout.find((one) => one.arm === arm && one.members === 1_000)?.slices ?? []);
  const memory = (arm: Arm): number[] =>
    (results.idle?.memory.find((one) => one.arm === arm)?.rounds ?? []).map(
      ({ full, empty }) => full - empty,
    );
  const besideReads = (kind: ReadKind): Spread | null =>
    results.reads?.kinds.find((one) => one.kind === kind)?.ratio ?? null;
  return [
    {
      what: 'audited messages/s, 50 connections, against one INSERT per message (pool on demand)',
      measured: ratios(rates(own), rates(seed)),
      atLeast: 30,
      aim: 60,
      more: true,
    },
    {
      what: 'its p99 latency against the same',
      measured: ratios(p99s(own), p99s(seed)),
      atLeast: 1 / 20,
      aim: 1 / 60,
      more: false,
    },
    {
      what: 'a lone sender’s p50 latency against the same',
      measured: ratios(p50s(writes(results, 'minutebook', 1)), p50s(writes(results, 'seed', 1))),
      atLeast: 2,
      aim: 1.2,
      more: false,
    },
    {
      what: 'audited messages/s, 50 connections, against bare @fastify/websocket echo',
      measured: ratios(rates(own), rates(writes(results, 'fastify', CONNECTIONS))),
      atLeast: 0.25,
      aim: 0.5,
      more: true,
    },
    {
      what: 'writing while a foreign snapshot stays open, against without',
      measured: results.snapshot?.ratio ?? null,
      atLeast: 0.8,
      aim: 0.95,
      more: true,
    },
    {
      what: 'resident memory of an idle connection against bare ws',
      measured: ratios(memory('minutebook'), memory('ws')),
      atLeast: 1.5,
      aim: 1.1,
      more: false,
    },
    {
      what: 'one message to a room of 1,000 against bare ws broadcast',
      measured: ratios(fan('minutebook'), fan('ws')),
      atLeast: 0.6,
      aim: 0.9,
      more: true,
    },
    {
      what: 'two instances on one database against one, the same load, a room for each connection',
      measured: againstOne(results.instances, OWN_ROOMS),
      atLeast: 0.8,
      aim: 1,
      more: true,
    },
    {
      what: 'the same in rooms whose members are on both',
      measured: againstOne(results.instances, SHARED_ROOMS),
      atLeast: 0.8,
      aim: 1,
      more: true,
    },
    {
      what: 'commit to the live stream’s reader, p99, at 1,000 messages/s',
      measured: spread(results.stream?.ages.map(({ p99 }) => p99) ?? []),
      atLeast: 50,
      aim: 15,
      more: false,
      unit: 'ms',
    },
    ...besideReaders.map(([kind, what]) => ({
      what,
      measured: besideReads(kind),
      atLeast: 0.8,
      aim: 0.95,
      more: true,
    })),
  ];
}

function figure(value: number, unit: string | undefined): string {
  if (unit !== undefined) return `${digits(value)} ${unit}`;
  return value < 0.1 ? `1/${digits(1 / value)}` : `${digits(value)} x`;
}

function standing({ measured, atLeast, aim, more }: Verdict): string {
  if (measured === null) return 'not measured';
  const reaches = (bound: number): boolean => (more ? measured.median >= bound : measured.median <= bound);
  if (reaches(aim)) return 'aim reached';
  return reaches(atLeast) ? 'met' : 'NOT MET';
}

export function verdictTable(verdicts: readonly Verdict[]): string {
  const rows = verdicts.map((verdict) => {
    const { what, measured, atLeast, aim, unit } = verdict;
    const range =
      measured === null || measured.min === measured.max
        ? ''
        : `${figure(measured.min, unit)}..${figure(measured.max, unit)}`;
    return [
      what,
      measured === null ? '-' : figure(measured.median, unit),
      range,
      figure(atLeast, unit),
      figure(aim, unit),
      standing(verdict),
    ];
  });
  return table(['what', 'measured', 'rounds', 'at least', 'aim', ''], rows);
}
